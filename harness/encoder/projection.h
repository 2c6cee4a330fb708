/* Projections of the encoder, y = x·wᵀ, by the fastest BLAS provider. */
#ifndef FFL_HARNESS_ENCODER_PROJECTION_H
#define FFL_HARNESS_ENCODER_PROJECTION_H

#include "kernels/blas.h"

/* The provider with the fastest product of this shape, measured (tens of milliseconds, once per shape and
 * process). FFL_UNSUPPORTED when there is none. */
ffl_status ffl_projection_blas(size_t tokens, size_t width, int threads, ffl_blas **out);

/* x [tokens][inputs], w [outputs][inputs], y [tokens][outputs]. */
void ffl_project(ffl_blas *blas, int threads, const float *x, size_t inputs, size_t tokens, const float *w,
                 size_t outputs, float *y);

#endif
