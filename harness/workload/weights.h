/* A layer together with the memory of its weights, owned by the harness. */
#ifndef FFL_HARNESS_WEIGHTS_H
#define FFL_HARNESS_WEIGHTS_H

#include "kernels/layer.h"
#include <stdint.h>

typedef struct ffl_weights {
    ffl_layer layer; /* its pointers are the ones below */
    float *w_in, *b_in, *w_out, *b_out, *w_gate, *b_gate;
} ffl_weights;

/* Zeroed weights for a shape; b_out only with output_bias (all but FFF). FFL_NO_MEMORY says how much was
 * asked. */
ffl_status ffl_weights_new(const ffl_layer *shape, bool output_bias, ffl_weights *out);

/*
 * Seeded weights of the scale that trained layers have: w_in and biases such that logits of unit-variance
 * inputs have about unit variance, w_out such that outputs do. The same seed gives the same leading rows
 * whatever the number of neurons.
 */
void ffl_weights_randomise(ffl_weights *weights, uint64_t seed);

void ffl_weights_free(ffl_weights *weights);

#endif
