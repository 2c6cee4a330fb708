/*
 * One-row kernels for AVX-512 F; contract as in scalar.h. Tails are masked: masked lanes are not accessed.
 */
#ifndef FFL_KERNELS_SIMD_AVX512_H
#define FFL_KERNELS_SIMD_AVX512_H

#include "kernels/layer.h"
#include "kernels/simd/gelu_terms.h"
#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>

/* The lowest n lanes, n < 16. */
static inline __mmask16 ffl_lanes_avx512(size_t n)
{
    return (__mmask16)((1u << n) - 1u);
}

/* x·w. Four accumulators cover the FMA latency: the loads, two per FMA, are what limits. */
static inline float ffl_dot_avx512(const float *x, const float *w, size_t n)
{
    __m512 a = _mm512_setzero_ps(), b = a, c = a, d = a;
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        a = _mm512_fmadd_ps(_mm512_loadu_ps(x + i), _mm512_loadu_ps(w + i), a);
        b = _mm512_fmadd_ps(_mm512_loadu_ps(x + i + 16), _mm512_loadu_ps(w + i + 16), b);
        c = _mm512_fmadd_ps(_mm512_loadu_ps(x + i + 32), _mm512_loadu_ps(w + i + 32), c);
        d = _mm512_fmadd_ps(_mm512_loadu_ps(x + i + 48), _mm512_loadu_ps(w + i + 48), d);
    }
    for (; i + 16 <= n; i += 16)
        a = _mm512_fmadd_ps(_mm512_loadu_ps(x + i), _mm512_loadu_ps(w + i), a);
    if (i < n) {
        const __mmask16 m = ffl_lanes_avx512(n - i);
        b = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, x + i), _mm512_maskz_loadu_ps(m, w + i), b);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)));
}

/* y += g·w */
static inline void ffl_axpy_avx512(float g, const float *w, float *y, size_t n)
{
    const __m512 v = _mm512_set1_ps(g);
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(y + i, _mm512_fmadd_ps(v, _mm512_loadu_ps(w + i), _mm512_loadu_ps(y + i)));
    if (i < n) {
        const __mmask16 m = ffl_lanes_avx512(n - i);
        const __m512 sum =
            _mm512_fmadd_ps(v, _mm512_maskz_loadu_ps(m, w + i), _mm512_maskz_loadu_ps(m, y + i));
        _mm512_mask_storeu_ps(y + i, m, sum);
    }
}

/* y = Σ_k g[k]·w[k] over `count` rows (add: on top of y): y stays in registers, 128 columns at a time. */
static inline void ffl_rows_avx512(const float *g, const float *const *w, size_t count, float *y, size_t n,
                                   bool add)
{
    enum { VECTORS = 8 };
    size_t i = 0;
    for (; i + 16 * VECTORS <= n; i += 16 * VECTORS) {
        __m512 sum[VECTORS];
        for (size_t j = 0; j < VECTORS; j++)
            sum[j] = add ? _mm512_loadu_ps(y + i + 16 * j) : _mm512_setzero_ps();
        for (size_t k = 0; k < count; k++) {
            const __m512 v = _mm512_set1_ps(g[k]);
            for (size_t j = 0; j < VECTORS; j++)
                sum[j] = _mm512_fmadd_ps(v, _mm512_loadu_ps(w[k] + i + 16 * j), sum[j]);
        }
        for (size_t j = 0; j < VECTORS; j++)
            _mm512_storeu_ps(y + i + 16 * j, sum[j]);
    }
    for (; i < n; i += 16) {
        const __mmask16 m = n - i < 16 ? ffl_lanes_avx512(n - i) : (__mmask16)0xffff;
        __m512 sum = add ? _mm512_maskz_loadu_ps(m, y + i) : _mm512_setzero_ps();
        for (size_t k = 0; k < count; k++)
            sum = _mm512_fmadd_ps(_mm512_set1_ps(g[k]), _mm512_maskz_loadu_ps(m, w[k] + i), sum);
        _mm512_mask_storeu_ps(y + i, m, sum);
    }
}

/* exp(r), |r| <= ln2/2 */
static inline __m512 ffl_exp_terms_avx512(__m512 r)
{
    __m512 e = _mm512_fmadd_ps(_mm512_set1_ps(FFL_GELU_E4), r, _mm512_set1_ps(FFL_GELU_E3));
    e = _mm512_fmadd_ps(e, r, _mm512_set1_ps(FFL_GELU_E2));
    e = _mm512_fmadd_ps(e, r, _mm512_set1_ps(FFL_GELU_E1));
    e = _mm512_fmadd_ps(e, r, _mm512_set1_ps(FFL_GELU_E0));
    e = _mm512_fmadd_ps(e, r, _mm512_set1_ps(1.0f));
    return _mm512_fmadd_ps(e, r, _mm512_set1_ps(1.0f));
}

/*
 * Exact GELU, max(z, 0) - |z|·Q(|z|), on 16 values; the terms: fit_gelu.py. Within 4u·|z| of the exact value
 * for every finite z (plus half the smallest denormal), within a few u of the result itself down to z =
 * -13.1, where it ends in -0. ±0 and NaN come back unchanged; gelu(-inf) = -0.
 */
static inline __m512 ffl_gelu_avx512(__m512 z)
{
    const __m512 a = _mm512_min_ps(_mm512_abs_ps(z), _mm512_set1_ps(16.0f));
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(FFL_GELU_P4), a, _mm512_set1_ps(FFL_GELU_P3));
    p = _mm512_fmadd_ps(p, a, _mm512_set1_ps(FFL_GELU_P2));
    p = _mm512_fmadd_ps(p, a, _mm512_set1_ps(FFL_GELU_P1));
    p = _mm512_fmadd_ps(p, a, _mm512_set1_ps(FFL_GELU_P0));
    __m512 q = _mm512_fmadd_ps(_mm512_set1_ps(FFL_GELU_Q5), a, _mm512_set1_ps(FFL_GELU_Q4));
    q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(FFL_GELU_Q3));
    q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(FFL_GELU_Q2));
    q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(FFL_GELU_Q1));
    q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(FFL_GELU_Q0));
    /* exp(-b²/2) = 2^n·exp(r). The lower half of b² keeps the far tail accurate; below 2^-14 the exponential
     * is 1, and squaring only larger values keeps denormals (slow) out. */
    const __m512 b = _mm512_max_ps(a, _mm512_set1_ps(0x1p-14f));
    const __m512 square = _mm512_mul_ps(b, b), low = _mm512_fmsub_ps(b, b, square);
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(square, _mm512_set1_ps(FFL_GELU_MINUS_HALF_LOG2E)),
                                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r =
        _mm512_fmadd_ps(n, _mm512_set1_ps(FFL_GELU_MINUS_LN2), _mm512_mul_ps(square, _mm512_set1_ps(-0.5f)));
    r = _mm512_fmadd_ps(n, _mm512_set1_ps(FFL_GELU_MINUS_LN2_LOW), r);
    r = _mm512_fmadd_ps(low, _mm512_set1_ps(-0.5f), r);
    /* Beyond 13.1 the tail would be denormal: zero. */
    const __m512 e = _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(a, _mm512_set1_ps(13.1f), _CMP_LT_OQ),
                                            ffl_exp_terms_avx512(r), n);
    /* The order of max's operands keeps -0 and NaN. */
    const __m512 relu = _mm512_max_ps(_mm512_set1_ps(-0.0f), z);
    return _mm512_fnmadd_ps(_mm512_div_ps(_mm512_mul_ps(a, p), q), e, relu);
}

/* The tanh form, max(z, 0) - |z|/(1 + exp(t)), t = |z|·(T1 + T3·z²): zeros, NaN and accuracy as above. */
static inline __m512 ffl_gelu_tanh_avx512(__m512 z)
{
    const __m512 a = _mm512_min_ps(_mm512_abs_ps(z), _mm512_set1_ps(16.0f));
    const __m512 t = _mm512_mul_ps(
        a, _mm512_fmadd_ps(_mm512_mul_ps(a, a), _mm512_set1_ps(FFL_GELU_T3), _mm512_set1_ps(FFL_GELU_T1)));
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(t, _mm512_set1_ps(FFL_GELU_MINUS_LOG2E)),
                                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fmsub_ps(n, _mm512_set1_ps(FFL_GELU_MINUS_LN2), t);
    r = _mm512_fmadd_ps(n, _mm512_set1_ps(FFL_GELU_MINUS_LN2_LOW), r);
    const __m512 e = _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(t, _mm512_set1_ps(80.0f), _CMP_LT_OQ),
                                            ffl_exp_terms_avx512(r), n);
    const __m512 relu = _mm512_max_ps(_mm512_set1_ps(-0.0f), z);
    return _mm512_fnmadd_ps(a, _mm512_div_ps(e, _mm512_add_ps(e, _mm512_set1_ps(1.0f))), relu);
}

static inline __m512 ffl_act_avx512(ffl_activation activation, __m512 z)
{
    if (activation == FFL_GELU)
        return ffl_gelu_avx512(z);
    /* max returns its second operand for NaN: relu(NaN) = 0, as z > 0 ? z : 0 has it. */
    return activation == FFL_RELU ? _mm512_max_ps(z, _mm512_setzero_ps()) : ffl_gelu_tanh_avx512(z);
}

/* z[i] = act(z[i]) */
static inline void ffl_activate_avx512(ffl_activation activation, float *z, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(z + i, ffl_act_avx512(activation, _mm512_loadu_ps(z + i)));
    if (i < n) {
        const __mmask16 m = ffl_lanes_avx512(n - i);
        _mm512_mask_storeu_ps(z + i, m, ffl_act_avx512(activation, _mm512_maskz_loadu_ps(m, z + i)));
    }
}

#endif
