/* One row of kernels/layernorm.h. Three passes over a row that stays in L1; four accumulators in each sum. */
#ifndef FFL_KERNELS_SIMD_LAYERNORM_ROW_H
#define FFL_KERNELS_SIMD_LAYERNORM_ROW_H

#include "kernels/layernorm.h"
#include "kernels/simd/vectors.h"
#include <math.h>

static inline void ffl_layernorm_add(float *x, const float *add, const float *bias, size_t n)
{
    size_t i = 0;
    for (; i + FFL_VECTOR_LANES <= n; i += FFL_VECTOR_LANES) {
        const ffl_vector sum = ffl_vector_load(x + i) + ffl_vector_load(add + i);
        ffl_vector_store(x + i, bias ? sum + ffl_vector_load(bias + i) : sum);
    }
    for (; i < n; i++)
        x[i] = bias ? x[i] + add[i] + bias[i] : x[i] + add[i];
}

static inline void ffl_layernorm_row(const ffl_layernorm *norm, float *x, const float *add, float *y)
{
    enum { SUMS = 4, STEP = SUMS * FFL_VECTOR_LANES };
    const size_t n = norm->width, whole = n / STEP * STEP;
    ffl_vector sum[SUMS] = {{0}};
    float rest = 0;
    if (add)
        ffl_layernorm_add(x, add, norm->add_bias, n);
    for (size_t i = 0; i < whole; i += STEP)
        for (size_t k = 0; k < SUMS; k++)
            sum[k] += ffl_vector_load(x + i + k * FFL_VECTOR_LANES);
    for (size_t i = whole; i < n; i++)
        rest += x[i];
    const float mean = (ffl_vector_sum((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest) / (float)n;
    for (size_t k = 0; k < SUMS; k++)
        sum[k] = (ffl_vector){0};
    rest = 0;
    for (size_t i = 0; i < whole; i += STEP)
        for (size_t k = 0; k < SUMS; k++) {
            const ffl_vector d = ffl_vector_load(x + i + k * FFL_VECTOR_LANES) - mean;
            sum[k] += d * d;
        }
    for (size_t i = whole; i < n; i++)
        rest += (x[i] - mean) * (x[i] - mean);
    const float squares = ffl_vector_sum((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest;
    const float scale = (float)(1 / sqrt((double)squares / (double)n + norm->eps));
    size_t i = 0;
    for (; i < whole; i += FFL_VECTOR_LANES)
        ffl_vector_store(y + i, (ffl_vector_load(x + i) - mean) * scale * ffl_vector_load(norm->weight + i) +
                                    ffl_vector_load(norm->bias + i));
    for (; i < n; i++)
        y[i] = (x[i] - mean) * scale * norm->weight[i] + norm->bias[i];
}

#endif
