/*
 * How many pairs of slices a comparison takes. `fflab selftest --timing` measures how many find a slowdown of
 * one twentieth in at least 95 of 100 cases on this machine, and keeps the answer in the cache folder
 * (timing.json). Without one it is the number from harness/bench/README.md, "Is a difference one?".
 */
#ifndef FFL_HARNESS_SAMPLING_H
#define FFL_HARNESS_SAMPLING_H

#include <stddef.h>

/* The same in the self-test and in `compare`, or the answer would be to another question. */
#define FFL_SLICE_SECONDS 2e-3
enum { FFL_SEATS = 4, FFL_PAIRS_DEFAULT = 120, FFL_PAIRS_MOST = 100000 };

/* Kept for this processor, else FFL_PAIRS_DEFAULT; of a row by itself. */
size_t ffl_sampling_pairs(void);
void ffl_sampling_store(size_t pairs);

#endif
