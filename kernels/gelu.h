/*
 * Activations. GELU is the exact one, z·Φ(z), through the error function. It is written with erfc of the
 * negated argument: 1 + erf(z/√2) cancels for z < 0, erfc does not. gelu(±0) = ±0; for |z| >= 16 the result
 * is exactly z or -0. Approximations have their own names and are never used by a variant that says GELU.
 */
#ifndef FFL_KERNELS_GELU_H
#define FFL_KERNELS_GELU_H

#include "kernels/layer.h"
#include <math.h>

static inline float ffl_gelu(float z)
{
    return 0.5f * z * erfcf(-z * 0.70710678118654752f);
}

static inline double ffl_gelu_double(double z)
{
    return 0.5 * z * erfc(-z * 0.70710678118654752440);
}

/* The tanh form of BERT's original code (gelu_new): up to 4.8e-4 away from the exact one. */
static inline float ffl_gelu_tanh(float z)
{
    return 0.5f * z * (1.0f + tanhf(0.79788456080286536f * (z + 0.044715f * z * z * z)));
}

static inline float ffl_relu(float z)
{
    return z > 0.0f ? z : 0.0f;
}

/* One scalar through a layer's activation. */
static inline float ffl_activate(ffl_activation activation, float z)
{
    return activation == FFL_RELU ? ffl_relu(z) : ffl_gelu(z);
}

static inline double ffl_activate_double(ffl_activation activation, double z)
{
    if (activation == FFL_RELU)
        return z > 0.0 ? z : 0.0;
    return ffl_gelu_double(z);
}

/* z[i] = act(z[i]) for i < count, with the widest vectors this machine has (AVX-512, AVX2, scalar).
 * Exact GELU to |error| <= 4u·|z|, u = 2^-24. */
void ffl_activate_array(ffl_activation activation, float *z, size_t count);

#endif
