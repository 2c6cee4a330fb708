/*
 * Activations. GELU is the exact one, z·Φ(z), through the error function. It is written with erfc of the
 * negated argument: 1 + erf(z/√2) cancels for z < 0, erfc does not. gelu(±0) = ±0; for |z| >= 16 the result
 * is exactly z or -0. The tanh form is a function of its own, with a reference of its own: neither stands in
 * for the other.
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

/* (1 + tanh u)/2 is 1/(1 + exp(-2u)), which does not cancel for z < 0. */
static inline double ffl_gelu_tanh_double(double z)
{
    return z / (1 + exp(-1.59576912160573071 * (z + 0.044715 * z * z * z)));
}

static inline float ffl_relu(float z)
{
    return z > 0.0f ? z : 0.0f;
}

/* One scalar through a layer's activation. */
static inline float ffl_activate(ffl_activation activation, float z)
{
    if (activation == FFL_GELU)
        return ffl_gelu(z);
    return activation == FFL_RELU ? ffl_relu(z) : ffl_gelu_tanh(z);
}

static inline double ffl_activate_double(ffl_activation activation, double z)
{
    if (activation == FFL_RELU)
        return z > 0.0 ? z : 0.0;
    return activation == FFL_GELU_TANH ? ffl_gelu_tanh_double(z) : ffl_gelu_double(z);
}

/* z[i] = act(z[i]) for i < count, with the widest vectors this machine has (AVX-512, AVX2, scalar).
 * GELU, exact or tanh, to |error| <= 4u·|z|, u = 2^-24. */
void ffl_activate_array(ffl_activation activation, float *z, size_t count);

#endif
