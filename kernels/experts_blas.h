/*
 * The experts of leaf FFF and mixtures by a BLAS: the tokens of each are gathered, pass through two matrix
 * products with the activation between them, and go back to their places with their shares.
 */
#ifndef FFL_KERNELS_EXPERTS_BLAS_H
#define FFL_KERNELS_EXPERTS_BLAS_H

#include "kernels/blas_products.h"
#include "kernels/experts.h"

typedef struct ffl_experts_blas {
    const ffl_layer *layer;
    const ffl_blas *blas;
    const float *x;
    float *y;
    size_t ldx, ldy;
    const uint32_t *expert; /* [pairs] */
    const float *share;     /* [pairs]; NULL where a token has one expert */
    float *scratch;         /* [ffl_experts_blas_floats] */
} ffl_experts_blas;

size_t ffl_experts_blas_floats(const ffl_layer *layer, size_t max_tokens);

/* All pairs, in order [pairs] by expert: writes every row of y. */
void ffl_experts_blas_run(const ffl_experts_blas *work, const uint32_t *order, size_t pairs);

/* out[t][r] = x[t]·w[r], some rows at a time where that is faster (kernels/blas_products.h). */
void ffl_experts_blas_gates(const ffl_blas *blas, const float *x, size_t ldx, size_t tokens, const float *w,
                            size_t width, size_t rows, float *out);

#endif
