/* Narrow numbers by rounding wide ones: for mutants that use them in secret, and honest ones that say so. */
#ifndef FFL_HARNESS_ROUNDING_H
#define FFL_HARNESS_ROUNDING_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* To `bits` of significand (8: bf16, 11: tf32), ties to even; NaN and infinities stay what they are. */
static inline float ffl_round_bits(float v, int bits)
{
    uint32_t u;
    if (!isfinite(v))
        return v;
    memcpy(&u, &v, sizeof u);
    const uint32_t low = 1u << (24 - bits);
    u += low / 2 - 1 + ((u >> (24 - bits)) & 1);
    u &= ~(low - 1);
    memcpy(&v, &u, sizeof u);
    return v;
}

/* The step of int8: largest magnitude / 127. */
static inline float ffl_int8_step(const float *v, size_t n)
{
    float peak = 0;
    for (size_t i = 0; i < n; i++)
        peak = fmaxf(peak, fabsf(v[i]));
    return peak / 127.0f;
}

static inline float ffl_round_step(float v, float step)
{
    return step > 0 ? step * rintf(v / step) : 0;
}

#endif
