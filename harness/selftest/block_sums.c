/* Built without contraction: what is not meant to be fused must not be. */
#include "harness/selftest/block_lanes.h"
#include <math.h>

enum { N = FFL_BLOCK_NEURONS, TOKENS = FFL_BLOCK_TOKENS };

FFL_INLINE void measure(const float *x, const float *w, size_t width, ffl_block_products *out)
{
    for (size_t t = 0; t < TOKENS; t++) {
        double s[N] = {0}, a[N] = {0}, q[N] = {0};
        for (size_t i = 0; i < width; i++)
            for (size_t k = 0; k < N; k++) {
                const double p = (double)x[t * width + i] * (double)w[i * N + k];
                s[k] += p;
                a[k] += fabs(p);
                q[k] += p * p;
            }
        memcpy(out->sum[t], s, sizeof s);
        memcpy(out->absolute[t], a, sizeof a);
        memcpy(out->squares[t], q, sizeof q);
    }
}

typedef double wide __attribute__((vector_size(N * sizeof(double))));

FFL_INLINE void in_double(const float *x, const float *w, size_t width, ffl_block_floats out)
{
    wide sum[TOKENS] = {{0}};
    ffl_neurons row;
    for (size_t i = 0; i < width; i++) {
        memcpy(&row, w + i * N, sizeof row);
        const wide weights = __builtin_convertvector(row, wide);
        for (size_t t = 0; t < TOKENS; t++)
            sum[t] += (double)x[t * width + i] * weights;
    }
    for (size_t t = 0; t < TOKENS; t++)
        for (size_t k = 0; k < N; k++)
            out[t][k] = (float)sum[t][k];
}

FFL_INLINE void sum_in(ffl_sum_order order, const float *x, const float *w, size_t width, const float *start,
                       ffl_block_floats out)
{
    if (order == FFL_SUM_DOUBLE)
        in_double(x, w, width, out);
    else if (order == FFL_SUM_BY_INDEX)
        ffl_sum_in_lanes(TOKENS, 1, x, w, width, start, out);
    else
        for (size_t t = 0; t < TOKENS; t++) {
            if (order == FFL_SUM_16_LANES)
                ffl_sum_in_lanes(1, 16, x + t * width, w, width, start, out + t);
            else
                ffl_sum_in_lanes(1, 64, x + t * width, w, width, start, out + t);
        }
}

#define DEFINE(suffix, target)                                                                               \
    target static void measure_##suffix(const float *x, const float *w, size_t width,                        \
                                        ffl_block_products *out)                                             \
    {                                                                                                        \
        measure(x, w, width, out);                                                                           \
    }                                                                                                        \
    target static void sum_##suffix(ffl_sum_order order, const float *x, const float *w, size_t width,       \
                                    const float *start, ffl_block_floats out)                                \
    {                                                                                                        \
        sum_in(order, x, w, width, start, out);                                                              \
    }

DEFINE(base, )
#if defined(__x86_64__)
DEFINE(avx2, FFL_TARGET_AVX2)
DEFINE(avx512, FFL_TARGET_AVX512)
#endif

void ffl_block_measure(const float *x, const float *w, size_t width, ffl_block_products *out)
{
    FFL_BLOCK_CALL(measure, x, w, width, out);
}

void ffl_block_sum(ffl_sum_order order, const float *x, const float *w, size_t width, const float *start,
                   ffl_block_floats sum)
{
    if (order == FFL_SUM_FUSED || order == FFL_SUM_FUSED_16_LANES)
        ffl_block_sum_fused(order, x, w, width, start, sum);
    else
        FFL_BLOCK_CALL(sum, order, x, w, width, start, sum);
}
