/* Built with contraction: a multiplication and an addition are one instruction with one rounding. */
#include "harness/selftest/block_lanes.h"

FFL_INLINE void sum_in(ffl_sum_order order, const float *x, const float *w, size_t width, const float *start,
                       ffl_block_floats out)
{
    if (order == FFL_SUM_FUSED)
        ffl_sum_in_lanes(FFL_BLOCK_TOKENS, 1, x, w, width, start, out);
    else
        for (size_t t = 0; t < FFL_BLOCK_TOKENS; t++)
            ffl_sum_in_lanes(1, 16, x + t * width, w, width, start, out + t);
}

#define DEFINE(suffix, target)                                                                               \
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

void ffl_block_sum_fused(ffl_sum_order order, const float *x, const float *w, size_t width,
                         const float *start, ffl_block_floats sum)
{
    FFL_BLOCK_CALL(sum, order, x, w, width, start, sum);
}
