/*
 * Vectors of FFL_VECTOR_LANES floats by the compiler's own extension: one source for every instruction set,
 * compiled once per set with its flags and its number of lanes (kernels/attention.c and its twins).
 */
#ifndef FFL_KERNELS_SIMD_VECTORS_H
#define FFL_KERNELS_SIMD_VECTORS_H

#include <stddef.h>
#include <stdint.h>

#ifndef FFL_VECTOR_LANES
#define FFL_VECTOR_LANES 4
#endif

typedef float ffl_vector __attribute__((vector_size(4 * FFL_VECTOR_LANES)));
typedef int32_t ffl_vector_mask __attribute__((vector_size(4 * FFL_VECTOR_LANES)));
typedef float ffl_vector_anywhere __attribute__((vector_size(4 * FFL_VECTOR_LANES), aligned(4), may_alias));

#define FFL_VECTOR_SPLAT(value) ((value) - (ffl_vector){0})

static inline ffl_vector ffl_vector_load(const float *from)
{
    return *(const ffl_vector_anywhere *)from;
}

static inline void ffl_vector_store(float *to, ffl_vector v)
{
    *(ffl_vector_anywhere *)to = v;
}

/* The larger one; b where a is NaN. */
static inline ffl_vector ffl_vector_max(ffl_vector a, ffl_vector b)
{
    const ffl_vector_mask larger = a > b;
    return (ffl_vector)(((ffl_vector_mask)a & larger) | ((ffl_vector_mask)b & ~larger));
}

static inline float ffl_vector_sum(ffl_vector v)
{
    float sum = 0;
    for (size_t i = 0; i < FFL_VECTOR_LANES; i++)
        sum += v[i];
    return sum;
}

static inline float ffl_vector_largest(ffl_vector v)
{
    float largest = v[0];
    for (size_t i = 1; i < FFL_VECTOR_LANES; i++)
        largest = v[i] > largest ? v[i] : largest;
    return largest;
}

/*
 * exp(x) for x <= 0, within 2 units in the last place; 0 below -87.3, where it would be denormal. NaN stays.
 * x = n·ln2 + r, |r| <= ln2/2; the sum to r^7/7! leaves 5e-9.
 */
static inline ffl_vector ffl_vector_exp(ffl_vector x)
{
    const ffl_vector_mask vanishes = x < -87.3f;
    const ffl_vector limited = ffl_vector_max(x, FFL_VECTOR_SPLAT(-87.3f));
    /* Adding 1.5·2^23 rounds to a whole number and leaves it in the low bits. */
    const ffl_vector shifted = limited * 1.44269504f + 12582912.0f;
    const ffl_vector n = shifted - 12582912.0f;
    const ffl_vector r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    ffl_vector p = 1.98412698e-4f * r + 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const ffl_vector_mask power = ((ffl_vector_mask)shifted - (0x4B400000 - 127)) << 23;
    return (ffl_vector)((ffl_vector_mask)(p * (ffl_vector)power) & ~vanishes);
}

#endif
