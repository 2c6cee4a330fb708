/*
 * Measured kernel families, kept between runs (harness/cache_folder.h). An entry holds as long as the CPU, the
 * way libraries are found (ld.so.cache, LD_LIBRARY_PATH), and the library's file are the same. A cache that
 * cannot be read or written is no error: one measures again.
 */
#ifndef FFL_HARNESS_BLAS_CACHE_H
#define FFL_HARNESS_BLAS_CACHE_H

#include "kernels/variant.h"
#include <jansson.h>

/* The entry (harness/blas_probe.h), a new reference; NULL when there is none that still holds. */
json_t *ffl_blas_cache_find(ffl_library library, const char *path);

void ffl_blas_cache_store(ffl_library library, const char *path, const json_t *entry);

#endif
