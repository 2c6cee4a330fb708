/* bfloat16 as bits: the upper half of a float. Two of them in a word, the first in the lower half. */
#ifndef FFL_CUDA_BF16_CUH
#define FFL_CUDA_BF16_CUH

#include "cuda/launch.cuh"
#include <stdint.h>

__device__ static inline float ffl_bf16_low(uint32_t pair)
{
    return __uint_as_float(pair << 16);
}

__device__ static inline float ffl_bf16_high(uint32_t pair)
{
    return __uint_as_float(pair & 0xffff0000u);
}

__device__ static inline float ffl_bf16_to_float(uint16_t value)
{
    return __uint_as_float((uint32_t)value << 16);
}

/* To nearest, ties to even; NaN stays NaN. */
__device__ static inline uint32_t ffl_bf16_pair(float first, float second)
{
#ifdef FFL_CUDA_EMULATED
    return ffl_emulated_bf16(first) | (uint32_t)ffl_emulated_bf16(second) << 16;
#else
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
#endif
}

__device__ static inline uint16_t ffl_bf16_from_float(float value)
{
    return (uint16_t)ffl_bf16_pair(value, 0.0f);
}

#endif
