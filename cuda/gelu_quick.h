/*
 * Exact (erf) GELU in 14 instructions for kernels whose arithmetic is coarser than f32: erfc by
 * formula 7.1.26 of Abramowitz and Stegun, whose error of 1.5e-7 is 1.3u·|z| here, with the GPU's approximate
 * reciprocal and exponential. |error| <= 16u·|z|; z, 0 or -0 exactly where |z| >= 16. ffl_gelu_device
 * (cuda/activation.h) takes three times as many, most of them in its division and its scaling by 2^n, which
 * the arithmetic of a dense layer on tensor cores does not hide. Plain C, so that tests/test_dense_cuda.c can
 * sweep it.
 */
#ifndef FFL_CUDA_GELU_QUICK_H
#define FFL_CUDA_GELU_QUICK_H

#include "cuda/activation.h"

#ifndef FFL_QUICK_EXP2
#ifdef __CUDA_ARCH__
/* Relative errors of 2^-22.5 and one ulp; denormal results are zero. (PTX ISA) */
__device__ static inline float ffl_quick_exp2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ static inline float ffl_quick_inverse(float x)
{
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
#define FFL_QUICK_EXP2(x) ffl_quick_exp2(x)
#define FFL_QUICK_INVERSE(x) ffl_quick_inverse(x)
#else
#define FFL_QUICK_EXP2(x) exp2f(x)
#define FFL_QUICK_INVERSE(x) (1.0f / (x))
#endif
#endif

#define FFL_QUICK_ACTIVATION_ERROR (16 * 0x1p-24)

/* The terms with 1/√2 and 1/2 multiplied in. */
FFL_ON_DEVICE static inline float ffl_gelu_quick(float z)
{
    const float a = fminf(fabsf(z), 16.0f);
    const float t = FFL_QUICK_INVERSE(fmaf(0.231641888f, a, 1.0f));
    float p = fmaf(0.5307027145f, t, -0.7265760135f);
    p = fmaf(p, t, 0.7107068705f);
    p = fmaf(p, t, -0.142248368f);
    p = fmaf(p, t, 0.127414796f);
    const float e = FFL_QUICK_EXP2(a * a * -0.7213475204f);
    /* As ffl_gelu_device: z <= 0 ends in -0, NaN stays. At 16 the exponential is zero. */
    const float relu = z < 0.0f ? -0.0f : z;
    return fmaf(-(a * t) * p, e, relu);
}

/* GELU's tanh form: z times the logistic function of t. */
FFL_ON_DEVICE static inline float ffl_gelu_tanh_quick(float z)
{
    const float a = fminf(fabsf(z), 16.0f);
    const float t = a * fmaf(a * a, FFL_GELU_T3, FFL_GELU_T1);
    const float e = FFL_QUICK_EXP2(t * FFL_GELU_MINUS_LOG2E);
    const float relu = z < 0.0f ? -0.0f : z;
    return fmaf(-(a * e), FFL_QUICK_INVERSE(e + 1.0f), relu);
}

FFL_ON_DEVICE static inline float ffl_activate_quick(ffl_activation activation, float z)
{
    if (activation == FFL_RELU)
        return z > 0.0f ? z : 0.0f;
    return activation == FFL_GELU ? ffl_gelu_quick(z) : ffl_gelu_tanh_quick(z);
}

#endif
