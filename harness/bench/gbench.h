/*
 * Google Benchmark behind a C interface. It runs the loops: repetitions of all cases in random order, each a
 * fixed number of calls, in manual time. What a call does, and how long it took, is the caller's business.
 *
 * gbench.cc where the library was found; elsewhere gbench_none.c runs the same loops. No exception leaves
 * this interface.
 */
#ifndef FFL_HARNESS_GBENCH_H
#define FFL_HARNESS_GBENCH_H

#include "kernels/status.h"
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ffl_gbench_case {
    const char *name; /* unique among the cases of one run */
    size_t repetitions, calls_per_repetition;
    void *user;
    /* Around the calls of one repetition; not timed. False ends the case: no further calls. */
    bool (*begin)(void *user);
    bool (*end)(void *user);
    /* One call; its duration in seconds, negative to end the case. */
    double (*call)(void *user);
} ffl_gbench_case;

/* "Google Benchmark 1.7.1", or "own loop" without it. */
const char *ffl_gbench_version(void);

/* Runs all cases; interleave: repetitions in random order. FFL_INTERNAL with the library's own words. */
ffl_status ffl_gbench_run(const ffl_gbench_case *cases, size_t count, bool interleave);

#ifdef __cplusplus
}
#endif
#endif
