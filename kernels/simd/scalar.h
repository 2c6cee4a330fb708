/*
 * One-row kernels in plain C, for any machine. The sums run in LANES independent accumulators, which the
 * compiler turns into vectors of whatever width it may use.
 *
 * Contract of this header and of its twins avx2.h and avx512.h: any n including 0, any 4-byte address, no
 * byte outside the n elements is read or written, nothing overlaps.
 */
#ifndef FFL_KERNELS_SIMD_SCALAR_H
#define FFL_KERNELS_SIMD_SCALAR_H

#include "kernels/gelu.h"
#include <stdbool.h>
#include <stddef.h>

enum { FFL_SCALAR_LANES = 32 };

/* x·w */
static inline float ffl_dot_scalar(const float *x, const float *w, size_t n)
{
    float sum[FFL_SCALAR_LANES] = {0};
    size_t i = 0;
    for (; i + FFL_SCALAR_LANES <= n; i += FFL_SCALAR_LANES)
        for (size_t k = 0; k < FFL_SCALAR_LANES; k++)
            sum[k] += x[i + k] * w[i + k];
    for (size_t k = 0; i < n; i++, k++)
        sum[k] += x[i] * w[i];
    for (size_t half = FFL_SCALAR_LANES / 2; half > 0; half /= 2)
        for (size_t k = 0; k < half; k++)
            sum[k] += sum[k + half];
    return sum[0];
}

/* y += g·w */
static inline void ffl_axpy_scalar(float g, const float *restrict w, float *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += g * w[i];
}

/* y = Σ_k g[k]·w[k] over `count` rows (add: on top of y), in one pass over y. */
static inline void ffl_rows_scalar(const float *g, const float *const *w, size_t count, float *y, size_t n,
                                   bool add)
{
    size_t i = 0;
    for (; i + FFL_SCALAR_LANES <= n; i += FFL_SCALAR_LANES) {
        float sum[FFL_SCALAR_LANES];
        for (size_t j = 0; j < FFL_SCALAR_LANES; j++)
            sum[j] = add ? y[i + j] : 0.0f;
        for (size_t k = 0; k < count; k++)
            for (size_t j = 0; j < FFL_SCALAR_LANES; j++)
                sum[j] += g[k] * w[k][i + j];
        for (size_t j = 0; j < FFL_SCALAR_LANES; j++)
            y[i + j] = sum[j];
    }
    for (; i < n; i++) {
        float sum = add ? y[i] : 0.0f;
        for (size_t k = 0; k < count; k++)
            sum += g[k] * w[k][i];
        y[i] = sum;
    }
}

/* z[i] = act(z[i]) */
static inline void ffl_activate_scalar(ffl_activation activation, float *z, size_t n)
{
    for (size_t i = 0; i < n; i++)
        z[i] = ffl_activate(activation, z[i]);
}

#endif
