/*
 * Aligned buffers for weights, packed weights and scratch: 64-byte aligned, zeroed, with 64 guard bytes at
 * both ends that ffl_free verifies (a damaged guard aborts: inside a worker that is one CRASHED case). From
 * 1 MB on they ask the kernel for huge pages.
 */
#ifndef FFL_KERNELS_MEMORY_H
#define FFL_KERNELS_MEMORY_H

#include "kernels/status.h"
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* NULL, with a message for ffl_error, when `bytes` cannot be had. bytes = 0 gives a valid empty buffer. */
void *ffl_alloc(size_t bytes);

/* `count` items of `size` bytes; NULL when the product overflows or cannot be had. */
void *ffl_alloc_array(size_t count, size_t size);

/*
 * Bytes after the end of x and y that their owner keeps readable, for variants that declare
 * contract.over_read_bytes (a library's kernels that load, and do not use, what lies behind an operand).
 */
enum { FFL_OVER_READ_MAX = 1 << 16 };

/* ffl_alloc_array for x and y: FFL_OVER_READ_MAX bytes after the guard may be read, too. */
void *ffl_alloc_rows(size_t count, size_t size);

/* NULL is allowed. Aborts with one line on stderr when a guard byte was overwritten. */
void ffl_free(void *buffer);

/* Writes the guard bytes again, for a caller that has reported the damage. */
void ffl_memory_restore(void *buffer);

/* False when a guard byte of `buffer` was overwritten. */
int ffl_memory_intact(const void *buffer);

#ifdef __cplusplus
}
#endif
#endif
