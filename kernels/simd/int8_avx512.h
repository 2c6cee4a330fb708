/*
 * int8 rows with one scale each: w = scale·code, scale = largest |w| of the row / 127. A packed row holds the
 * codes in order, 32 to a block. Widened to floats where inputs stay f32: one conversion to 32-bit integers
 * from memory and one to floats per 16 columns; the scale multiplies the finished sum.
 */
#ifndef FFL_KERNELS_SIMD_INT8_AVX512_H
#define FFL_KERNELS_SIMD_INT8_AVX512_H

#include "kernels/simd/packed_avx512.h"

enum { FFL_INT8_BLOCK_BYTES = 32 };

#define FFL_INT8_MAX 127.0f

static inline float ffl_peak_avx512(const float *v, size_t n)
{
    __m512 peak = _mm512_setzero_ps();
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        peak = _mm512_max_ps(peak, _mm512_abs_ps(_mm512_loadu_ps(v + i)));
    if (i < n)
        peak = _mm512_max_ps(peak, _mm512_abs_ps(_mm512_maskz_loadu_ps(ffl_lanes_avx512(n - i), v + i)));
    return _mm512_reduce_max_ps(peak);
}

/* out = the nearest code of v / scale; finite values of at most 127·scale. */
static inline void ffl_int8_quantise(const float *v, size_t n, float scale, int8_t *out)
{
    /* In two steps: 1 / scale alone may overflow. */
    const float up = scale < 0x1p-100f ? 0x1p100f : 1.0f;
    const __m512 first = _mm512_set1_ps(up), second = _mm512_set1_ps(scale > 0 ? 1.0f / (scale * up) : 0.0f);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = n - i < 16 ? ffl_lanes_avx512(n - i) : (__mmask16)0xffff;
        const __m512 code = _mm512_mul_ps(_mm512_mul_ps(_mm512_maskz_loadu_ps(m, v + i), first), second);
        _mm512_mask_cvtsepi32_storeu_epi8(out + i, m, _mm512_cvtps_epi32(code));
    }
}

/* Packs `n` columns; what lies beyond in the last block stays as it is (zero). Returns the scale. */
static inline float ffl_int8_pack(const float *w, size_t n, char *out)
{
    const float scale = ffl_peak_avx512(w, n) / FFL_INT8_MAX;
    ffl_int8_quantise(w, n, scale, (int8_t *)out);
    return scale;
}

static inline __attribute__((always_inline)) void ffl_int8_unpack(const char *block, __m512 *low,
                                                                  __m512 *high)
{
    *low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_load_si128((const __m128i *)block)));
    *high = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_load_si128((const __m128i *)(block + 16))));
}

#define FFL_PACKING_INT8 ((ffl_packing){ffl_int8_unpack, FFL_INT8_BLOCK_BYTES})

#endif
