/*
 * A node and its two children, times a few tokens that have all reached the node: 8 tokens x 3 rows in 24
 * registers, per 16 columns 11 loads for 24 FMAs. So two levels cost three products at the rate of a dense
 * layer's tile instead of two at the rate of loads. x is read where it lies; nothing is packed.
 *
 * Every logit is one vector of 16 sums over ascending columns, added up in one order whatever the number of
 * tokens: a row's bits do not depend on its neighbours.
 */
#ifndef FFL_KERNELS_SIMD_TRIO_AVX512_H
#define FFL_KERNELS_SIMD_TRIO_AVX512_H

#include "kernels/simd/avx512.h"

enum { FFL_TRIO_TOKENS = 8 };

/* Sums of the lanes of 8 vectors, in their order. */
static inline __m256 ffl_sum_8_avx512(const __m512 s[8])
{
    __m512 q[2];
    for (size_t i = 0; i < 2; i++) {
        const __m512 *a = s + 4 * i;
        const __m512 b = _mm512_add_ps(_mm512_unpacklo_ps(a[0], a[1]), _mm512_unpackhi_ps(a[0], a[1]));
        const __m512 c = _mm512_add_ps(_mm512_unpacklo_ps(a[2], a[3]), _mm512_unpackhi_ps(a[2], a[3]));
        q[i] = _mm512_add_ps(_mm512_shuffle_ps(b, c, 0x44), _mm512_shuffle_ps(b, c, 0xee));
    }
    const __m512 r =
        _mm512_add_ps(_mm512_shuffle_f32x4(q[0], q[1], 0x44), _mm512_shuffle_f32x4(q[0], q[1], 0xee));
    return _mm512_castps512_ps256(
        _mm512_add_ps(_mm512_shuffle_f32x4(r, r, 0x88), _mm512_shuffle_f32x4(r, r, 0xdd)));
}

/*
 * z[row] = the products of 3 rows with `tokens` <= 8 rows of x; the other lanes are zero. Meanwhile a row at
 * `next` is brought to L2.
 */
static inline __attribute__((always_inline)) void ffl_trio_avx512(const size_t tokens, const float *const *x,
                                                                  const float *w0, const float *w1,
                                                                  const float *w2, size_t width,
                                                                  const float *next, __m256 z[3])
{
    __m512 sum[3][FFL_TRIO_TOKENS];
    const float *xi[FFL_TRIO_TOKENS];
#pragma GCC unroll 8
    for (size_t i = 0; i < FFL_TRIO_TOKENS; i++) {
        xi[i] = i < tokens ? x[i] : NULL;
        sum[0][i] = sum[1][i] = sum[2][i] = _mm512_setzero_ps();
    }
    size_t k = 0;
    for (; k + 16 <= width; k += 16) {
        const __m512 a = _mm512_loadu_ps(w0 + k), b = _mm512_loadu_ps(w1 + k), c = _mm512_loadu_ps(w2 + k);
        _mm_prefetch((const char *)(next + k), _MM_HINT_T1);
#pragma GCC unroll 8
        for (size_t i = 0; i < tokens; i++) {
            __m512 v = _mm512_loadu_ps(xi[i] + k);
            __asm__("" : "+v"(v)); /* gcc 12 would load it again for every row */
            sum[0][i] = _mm512_fmadd_ps(v, a, sum[0][i]);
            sum[1][i] = _mm512_fmadd_ps(v, b, sum[1][i]);
            sum[2][i] = _mm512_fmadd_ps(v, c, sum[2][i]);
        }
    }
    if (k < width) {
        const __mmask16 m = ffl_lanes_avx512(width - k);
        const __m512 a = _mm512_maskz_loadu_ps(m, w0 + k), b = _mm512_maskz_loadu_ps(m, w1 + k);
        const __m512 c = _mm512_maskz_loadu_ps(m, w2 + k);
#pragma GCC unroll 8
        for (size_t i = 0; i < tokens; i++) {
            const __m512 v = _mm512_maskz_loadu_ps(m, xi[i] + k);
            sum[0][i] = _mm512_fmadd_ps(v, a, sum[0][i]);
            sum[1][i] = _mm512_fmadd_ps(v, b, sum[1][i]);
            sum[2][i] = _mm512_fmadd_ps(v, c, sum[2][i]);
        }
    }
#pragma GCC unroll 3
    for (size_t r = 0; r < 3; r++)
        z[r] = ffl_sum_8_avx512(sum[r]);
}

#endif
