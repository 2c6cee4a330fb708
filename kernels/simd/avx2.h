/*
 * One-row kernels for AVX2 with FMA; contract as in scalar.h. Tails are masked: masked lanes are not
 * accessed.
 */
#ifndef FFL_KERNELS_SIMD_AVX2_H
#define FFL_KERNELS_SIMD_AVX2_H

#include "kernels/layer.h"
#include "kernels/simd/gelu_terms.h"
#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>

/* The lowest n lanes, n <= 8. */
static inline __m256i ffl_lanes_avx2(size_t n)
{
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), index);
}

static inline float ffl_sum_avx2(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* x·w. Four accumulators cover the FMA latency: the loads, two per FMA, are what limits. */
static inline float ffl_dot_avx2(const float *x, const float *w, size_t n)
{
    __m256 a = _mm256_setzero_ps(), b = a, c = a, d = a;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        a = _mm256_fmadd_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(w + i), a);
        b = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + 8), _mm256_loadu_ps(w + i + 8), b);
        c = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + 16), _mm256_loadu_ps(w + i + 16), c);
        d = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + 24), _mm256_loadu_ps(w + i + 24), d);
    }
    for (; i + 8 <= n; i += 8)
        a = _mm256_fmadd_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(w + i), a);
    if (i < n) {
        const __m256i m = ffl_lanes_avx2(n - i);
        b = _mm256_fmadd_ps(_mm256_maskload_ps(x + i, m), _mm256_maskload_ps(w + i, m), b);
    }
    return ffl_sum_avx2(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)));
}

/* y += g·w */
static inline void ffl_axpy_avx2(float g, const float *w, float *y, size_t n)
{
    const __m256 v = _mm256_set1_ps(g);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_fmadd_ps(v, _mm256_loadu_ps(w + i), _mm256_loadu_ps(y + i)));
    if (i < n) {
        const __m256i m = ffl_lanes_avx2(n - i);
        const __m256 sum = _mm256_fmadd_ps(v, _mm256_maskload_ps(w + i, m), _mm256_maskload_ps(y + i, m));
        _mm256_maskstore_ps(y + i, m, sum);
    }
}

/* y = Σ_k g[k]·w[k] over `count` rows (add: on top of y): y stays in registers, 64 columns at a time. */
static inline void ffl_rows_avx2(const float *g, const float *const *w, size_t count, float *y, size_t n,
                                 bool add)
{
    enum { VECTORS = 8 };
    size_t i = 0;
    for (; i + 8 * VECTORS <= n; i += 8 * VECTORS) {
        __m256 sum[VECTORS];
        for (size_t j = 0; j < VECTORS; j++)
            sum[j] = add ? _mm256_loadu_ps(y + i + 8 * j) : _mm256_setzero_ps();
        for (size_t k = 0; k < count; k++) {
            const __m256 v = _mm256_set1_ps(g[k]);
            for (size_t j = 0; j < VECTORS; j++)
                sum[j] = _mm256_fmadd_ps(v, _mm256_loadu_ps(w[k] + i + 8 * j), sum[j]);
        }
        for (size_t j = 0; j < VECTORS; j++)
            _mm256_storeu_ps(y + i + 8 * j, sum[j]);
    }
    for (; i < n; i += 8) {
        const __m256i m = ffl_lanes_avx2(n - i < 8 ? n - i : 8);
        __m256 sum = add ? _mm256_maskload_ps(y + i, m) : _mm256_setzero_ps();
        for (size_t k = 0; k < count; k++)
            sum = _mm256_fmadd_ps(_mm256_set1_ps(g[k]), _mm256_maskload_ps(w[k] + i, m), sum);
        _mm256_maskstore_ps(y + i, m, sum);
    }
}

/* exp(r), |r| <= ln2/2, times 2^n: n goes straight into the exponent field. */
static inline __m256 ffl_exp_terms_avx2(__m256 r, __m256 n)
{
    __m256 e = _mm256_fmadd_ps(_mm256_set1_ps(FFL_GELU_E4), r, _mm256_set1_ps(FFL_GELU_E3));
    e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(FFL_GELU_E2));
    e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(FFL_GELU_E1));
    e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(FFL_GELU_E0));
    e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(1.0f));
    e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(1.0f));
    const __m256i power = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(e), power));
}

/* Exact GELU on 8 values: algorithm and accuracy as ffl_gelu_avx512 (avx512.h). */
static inline __m256 ffl_gelu_avx2(__m256 z)
{
    const __m256 magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), z);
    const __m256 a = _mm256_min_ps(magnitude, _mm256_set1_ps(16.0f));
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(FFL_GELU_P4), a, _mm256_set1_ps(FFL_GELU_P3));
    p = _mm256_fmadd_ps(p, a, _mm256_set1_ps(FFL_GELU_P2));
    p = _mm256_fmadd_ps(p, a, _mm256_set1_ps(FFL_GELU_P1));
    p = _mm256_fmadd_ps(p, a, _mm256_set1_ps(FFL_GELU_P0));
    __m256 q = _mm256_fmadd_ps(_mm256_set1_ps(FFL_GELU_Q5), a, _mm256_set1_ps(FFL_GELU_Q4));
    q = _mm256_fmadd_ps(q, a, _mm256_set1_ps(FFL_GELU_Q3));
    q = _mm256_fmadd_ps(q, a, _mm256_set1_ps(FFL_GELU_Q2));
    q = _mm256_fmadd_ps(q, a, _mm256_set1_ps(FFL_GELU_Q1));
    q = _mm256_fmadd_ps(q, a, _mm256_set1_ps(FFL_GELU_Q0));
    const __m256 b = _mm256_max_ps(a, _mm256_set1_ps(0x1p-14f));
    const __m256 square = _mm256_mul_ps(b, b), low = _mm256_fmsub_ps(b, b, square);
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(square, _mm256_set1_ps(FFL_GELU_MINUS_HALF_LOG2E)),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r =
        _mm256_fmadd_ps(n, _mm256_set1_ps(FFL_GELU_MINUS_LN2), _mm256_mul_ps(square, _mm256_set1_ps(-0.5f)));
    r = _mm256_fmadd_ps(n, _mm256_set1_ps(FFL_GELU_MINUS_LN2_LOW), r);
    r = _mm256_fmadd_ps(low, _mm256_set1_ps(-0.5f), r);
    /* Below 13.1 it stays normal; beyond, the result is masked. */
    const __m256 e =
        _mm256_and_ps(ffl_exp_terms_avx2(r, n), _mm256_cmp_ps(a, _mm256_set1_ps(13.1f), _CMP_LT_OQ));
    const __m256 relu = _mm256_max_ps(_mm256_set1_ps(-0.0f), z);
    return _mm256_fnmadd_ps(_mm256_div_ps(_mm256_mul_ps(a, p), q), e, relu);
}

/* The tanh form: as ffl_gelu_tanh_avx512. */
static inline __m256 ffl_gelu_tanh_avx2(__m256 z)
{
    const __m256 magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), z);
    const __m256 a = _mm256_min_ps(magnitude, _mm256_set1_ps(16.0f));
    const __m256 t = _mm256_mul_ps(
        a, _mm256_fmadd_ps(_mm256_mul_ps(a, a), _mm256_set1_ps(FFL_GELU_T3), _mm256_set1_ps(FFL_GELU_T1)));
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(t, _mm256_set1_ps(FFL_GELU_MINUS_LOG2E)),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fmsub_ps(n, _mm256_set1_ps(FFL_GELU_MINUS_LN2), t);
    r = _mm256_fmadd_ps(n, _mm256_set1_ps(FFL_GELU_MINUS_LN2_LOW), r);
    const __m256 e =
        _mm256_and_ps(ffl_exp_terms_avx2(r, n), _mm256_cmp_ps(t, _mm256_set1_ps(80.0f), _CMP_LT_OQ));
    const __m256 relu = _mm256_max_ps(_mm256_set1_ps(-0.0f), z);
    return _mm256_fnmadd_ps(a, _mm256_div_ps(e, _mm256_add_ps(e, _mm256_set1_ps(1.0f))), relu);
}

static inline __m256 ffl_act_avx2(ffl_activation activation, __m256 z)
{
    if (activation == FFL_GELU)
        return ffl_gelu_avx2(z);
    return activation == FFL_RELU ? _mm256_max_ps(z, _mm256_setzero_ps()) : ffl_gelu_tanh_avx2(z);
}

/* z[i] = act(z[i]) */
static inline void ffl_activate_avx2(ffl_activation activation, float *z, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(z + i, ffl_act_avx2(activation, _mm256_loadu_ps(z + i)));
    if (i < n) {
        const __m256i m = ffl_lanes_avx2(n - i);
        _mm256_maskstore_ps(z + i, m, ffl_act_avx2(activation, _mm256_maskload_ps(z + i, m)));
    }
}

#endif
