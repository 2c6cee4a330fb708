/*
 * GELU, exact and tanh, as GPU kernels evaluate it: the terms of kernels/simd/fit_gelu.py with the operations
 * of ffl_gelu_avx512 and ffl_gelu_tanh_avx512 (kernels/simd/avx512.h), so its accuracy is known without a
 * GPU: |error| <= 4u·|z|, which CUDA's erfcf (4 ulp of a value up to 2) cannot promise. Plain C, so that
 * tests/test_simd.c can sweep it.
 */
#ifndef FFL_CUDA_ACTIVATION_H
#define FFL_CUDA_ACTIVATION_H

#include "kernels/layer.h"
#include "kernels/simd/gelu_terms.h"
#include <math.h>

#ifdef __CUDACC__
#define FFL_ON_DEVICE __host__ __device__
#else
#define FFL_ON_DEVICE
#endif

/* exp(r), |r| <= ln2/2, times 2^n */
FFL_ON_DEVICE static inline float ffl_exp_terms_device(float r, float n)
{
    float e = fmaf(FFL_GELU_E4, r, FFL_GELU_E3);
    e = fmaf(e, r, FFL_GELU_E2);
    e = fmaf(e, r, FFL_GELU_E1);
    e = fmaf(e, r, FFL_GELU_E0);
    e = fmaf(e, r, 1.0f);
    e = fmaf(e, r, 1.0f);
    return ldexpf(e, (int)n);
}

FFL_ON_DEVICE static inline float ffl_gelu_device(float z)
{
    const float a = fminf(fabsf(z), 16.0f);
    float p = fmaf(FFL_GELU_P4, a, FFL_GELU_P3);
    p = fmaf(p, a, FFL_GELU_P2);
    p = fmaf(p, a, FFL_GELU_P1);
    p = fmaf(p, a, FFL_GELU_P0);
    float q = fmaf(FFL_GELU_Q5, a, FFL_GELU_Q4);
    q = fmaf(q, a, FFL_GELU_Q3);
    q = fmaf(q, a, FFL_GELU_Q2);
    q = fmaf(q, a, FFL_GELU_Q1);
    q = fmaf(q, a, FFL_GELU_Q0);
    const float b = fmaxf(a, 0x1p-14f);
    const float square = b * b, low = fmaf(b, b, -square);
    const float n = rintf(square * FFL_GELU_MINUS_HALF_LOG2E);
    float r = fmaf(n, FFL_GELU_MINUS_LN2, square * -0.5f);
    r = fmaf(n, FFL_GELU_MINUS_LN2_LOW, r);
    r = fmaf(low, -0.5f, r);
    const float e = a < 13.1f ? ffl_exp_terms_device(r, n) : 0.0f;
    /* z <= 0 ends in -0, NaN fails the comparison and stays. */
    const float relu = z < 0.0f ? -0.0f : z;
    return fmaf(-(a * p / q), e, relu);
}

FFL_ON_DEVICE static inline float ffl_gelu_tanh_device(float z)
{
    const float a = fminf(fabsf(z), 16.0f);
    const float t = a * fmaf(a * a, FFL_GELU_T3, FFL_GELU_T1);
    const float n = rintf(t * FFL_GELU_MINUS_LOG2E);
    const float r = fmaf(n, FFL_GELU_MINUS_LN2_LOW, fmaf(n, FFL_GELU_MINUS_LN2, -t));
    const float e = t < 80.0f ? ffl_exp_terms_device(r, n) : 0.0f;
    const float relu = z < 0.0f ? -0.0f : z;
    return fmaf(-a, e / (e + 1.0f), relu);
}

FFL_ON_DEVICE static inline float ffl_activate_device(ffl_activation activation, float z)
{
    if (activation == FFL_RELU)
        return z > 0.0f ? z : 0.0f;
    return activation == FFL_GELU ? ffl_gelu_device(z) : ffl_gelu_tanh_device(z);
}

#endif
