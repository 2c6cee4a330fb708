/*
 * The weights of a tree as walks read them: rows of float or of bfloat16 bits (uint16_t) that begin at a
 * multiple of 16 bytes and end in zeros up to the next one, so that any width is read 16 bytes at a time.
 * Floats whose width is a multiple of 4 stay where they are.
 */
#ifndef FFL_CUDA_PACKED_CUH
#define FFL_CUDA_PACKED_CUH

#include "cuda/launch.cuh"
#include "kernels/variant.h"

typedef struct ffl_packed {
    const void *w_in, *w_out;     /* on the device */
    size_t stride_in, stride_out; /* elements from one row to the next */
    void *own_in, *own_out;       /* what ffl_packed_free frees; NULL: the layer's */
} ffl_packed;

/*
 * Rows of `type`, FFL_F32 or FFL_BF16 (rounded to nearest), for a layer on the device. Adds the bytes that it
 * allocates to *bytes. FFL_NO_MEMORY or FFL_DEVICE; *out is then empty. Returns when the rows are there.
 */
ffl_status ffl_packed_new(const ffl_layer *layer, ffl_type type, ffl_packed *out, size_t *bytes);
void ffl_packed_free(ffl_packed *packed);

#endif
