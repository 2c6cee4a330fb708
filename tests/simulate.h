/*
 * Kernels that compute as a numerics contract says, slowly: the honest side of the judge's tests. Broken
 * kernels are honest ones with one flaw.
 */
#ifndef FFL_TESTS_SIMULATE_H
#define FFL_TESTS_SIMULATE_H

#include "kernels/variant.h"

typedef enum flaw {
    NO_FLAW = 0,
    TIE_GOES_RIGHT,
    LAST_LEVEL_DROPPED,
    MIRRORED, /* token 1 only */
    STALE,    /* token 1 keeps what the buffer had */
    TANH_GELU,
    NO_BIAS,
    NAN_ELEMENT,  /* token 1, last element */
    SLIGHTLY_OFF, /* token 1, last element, by 1e-3 of its value */
    FLIPPED       /* token 1: the first decision of every tree that `flip` marks */
} flaw;

typedef struct simulation {
    ffl_contract contract;
    size_t lanes;    /* partial sums of each dot product; 1 = by index */
    bool fused;      /* multiply-add with one rounding */
    bool bias_first; /* the sum starts from the bias */
    bool bias_last;  /* the output bias is added to what was rounded to the output's type */
    flaw flaw;
    const bool *flip;        /* [trees] */
    float step_in, step_out; /* int8 weights with one scale per tensor; see simulate_tensor_scale */
} simulation;

/*
 * y [tokens][width_out], x [tokens][width_in]. int8 inputs and hidden values have one scale per token, int8
 * weights what the contract says.
 */
void simulate(const simulation *how, const ffl_layer *layer, const float *x, float *y, size_t tokens);

/* Reads the steps of int8 weights with one scale from the layer; needed before such a simulation. */
void simulate_tensor_scale(simulation *how, const ffl_layer *layer);

/* One logit. */
float simulate_logit(const simulation *how, const ffl_layer *layer, const float *x, size_t neuron);

#endif
