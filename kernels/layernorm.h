/*
 * LayerNorm with an optional residual, one of the fixed parts of the encoder. Per row:
 *
 *     x += add (+ add_bias)                                           where `add` is given
 *     y = (x - mean(x)) / sqrt(variance(x) + eps) · weight + bias     biased variance, two passes
 *
 *   x [tokens][ldx] float, read; written only where `add` is given   add [tokens][lda] float, read only, or
 * NULL y [tokens][ldy] float, overwritten; may be x (y == x, ldy == ldx)
 *
 * Memory bound. Rows depend on no other row, the result not on the number of threads.
 */
#ifndef FFL_KERNELS_LAYERNORM_H
#define FFL_KERNELS_LAYERNORM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ffl_layernorm {
    size_t width;
    const float *weight, *bias; /* [width] */
    double eps;
    const float *add_bias; /* [width] or NULL */
} ffl_layernorm;

void ffl_layernorm_run(const ffl_layernorm *norm, float *x, size_t ldx, const float *add, size_t lda,
                       float *y, size_t ldy, size_t tokens, int threads);

/* One row, per instruction set: only for layernorm.c, which knows what the machine has. */
typedef void ffl_layernorm_row_function(const ffl_layernorm *norm, float *x, const float *add, float *y);
ffl_layernorm_row_function ffl_layernorm_row_avx2, ffl_layernorm_row_avx512;

#ifdef __cplusplus
}
#endif
#endif
