/* IEEE half precision as bits, and tf32: floats whose low 13 bits are zero. */
#ifndef FFL_CUDA_F16_CUH
#define FFL_CUDA_F16_CUH

#include "cuda/launch.cuh"
#include <stdint.h>

__device__ static inline float ffl_f16_to_float(uint16_t value)
{
#ifdef FFL_CUDA_EMULATED
    return ffl_emulated_f16_to_float(value);
#else
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(value));
    return f;
#endif
}

/* To nearest, ties to even; NaN stays NaN, too large becomes infinite. */
__device__ static inline uint16_t ffl_f16_from_float(float value)
{
#ifdef FFL_CUDA_EMULATED
    return ffl_emulated_f16(value);
#else
    uint16_t h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(value));
    return h;
#endif
}

/* To nearest, ties to even. Tensor cores cut the low bits off: without this every product is too small. */
__device__ static inline float ffl_tf32_round(float value)
{
    const uint32_t bits = __float_as_uint(value);
    if ((bits & 0x7f800000u) == 0x7f800000u)
        return value;
    return __uint_as_float((bits + 0xfffu + (bits >> 13 & 1)) & 0xffffe000u);
}

#endif
