/*
 * One target per format that comes from outside: reads `size` bytes as if they were that file, uses what was
 * read, and holds the reader to its promises. A broken promise aborts, as a sanitizer's finding does.
 * Returns what the reader said of the input: FFL_OK, or why it was refused.
 */
#ifndef FFL_TESTS_FUZZ_TARGETS_H
#define FFL_TESTS_FUZZ_TARGETS_H

#include "kernels/status.h"
#include <stddef.h>
#include <stdint.h>

typedef ffl_status fuzz_target(const uint8_t *data, size_t size);

fuzz_target fuzz_config;  /* an encoder's config.json */
fuzz_target fuzz_index;   /* model.safetensors.index.json, beside two shards */
fuzz_target fuzz_journal; /* journal.jsonl: --resume, and all that `report` makes of it; refused: has notes */
fuzz_target fuzz_layer;   /* one layer: .safetensors */
fuzz_target fuzz_npy;     /* .npy */
fuzz_target fuzz_problems; /* --problems, of check and bench; refused: when check does */

/* ---- For the targets ---- */

/* The path of a file in memory that holds these bytes, until the next call. */
const char *fuzz_file(const uint8_t *data, size_t size);

/* A folder for this process, removed with its files at exit. */
const char *fuzz_folder(void);

/* Ends the process with the message unless `held`. */
void fuzz_expect(int held, const char *promise);

/* A refusal names the file. */
void fuzz_expect_named(ffl_status status, const char *path);

#endif
