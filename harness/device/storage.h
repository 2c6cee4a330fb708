/*
 * Rows in a variant's storage type: float, or 16 bits that device variants keep them in (contract.storage).
 * Narrowing rounds to nearest, ties to even; NaN stays NaN, what is too large becomes infinite.
 */
#ifndef FFL_HARNESS_STORAGE_H
#define FFL_HARNESS_STORAGE_H

#include "kernels/variant.h"

/* Bytes of an element; 0 for a type that no array is stored in. */
size_t ffl_storage_size(ffl_type storage);

/* Alignment of x and y in bytes that a variant's contract asks for: at least one element. */
size_t ffl_storage_alignment(const ffl_contract *contract);

/* width + padding, rounded up so that every row has that alignment: elements. */
size_t ffl_storage_stride(size_t width, size_t padding, const ffl_contract *contract);

/* `count` elements; `out` and `in` are arrays of the storage type at any address. */
void ffl_storage_narrow(ffl_type storage, const float *in, size_t count, void *out);
void ffl_storage_widen(ffl_type storage, const void *in, size_t count, float *out);

#endif
