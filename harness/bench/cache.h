/*
 * Cold weights: one sweep over a buffer of at least twice the last-level cache replaces what the caches
 * hold; what must be warm is touched afterwards. One buffer serves every row of a worker.
 */
#ifndef FFL_HARNESS_CACHE_H
#define FFL_HARNESS_CACHE_H

#include "kernels/status.h"
#include <stddef.h>

typedef struct ffl_eviction {
    unsigned char *buffer;
    size_t bytes;
    double seconds; /* that one sweep takes */
} ffl_eviction;

/* FFL_NO_MEMORY. An unknown cache counts as 64 MB. */
ffl_status ffl_eviction_new(ffl_eviction *out);
void ffl_eviction_free(ffl_eviction *eviction);

/* Reads every cache line of the buffer. */
void ffl_eviction_sweep(const ffl_eviction *eviction);

/* Reads every cache line of `bytes` at `data`. */
void ffl_touch(const void *data, size_t bytes);

#endif
