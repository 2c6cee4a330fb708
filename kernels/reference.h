/*
 * The definition of right: double precision, from the original f32 weights, without fast-math.
 *
 *   x  [tokens][ldx] float, read only        y  [tokens][width_out] double, overwritten
 *
 * ffl_reference evaluates every neuron of the layer and, for FFF, selects the path afterwards: masked
 * neurons are selected away, never multiplied by zero, so a NaN in one cannot leak. ffl_reference_walk
 * follows the path only; both run the same arithmetic on the same neurons in the same order, so their
 * results are equal bit for bit (tests/test_reference.c).
 *
 * logits and path may be NULL. Returns FFL_NO_MEMORY or FFL_OK.
 */
#ifndef FFL_KERNELS_REFERENCE_H
#define FFL_KERNELS_REFERENCE_H

#include "kernels/layer.h"
#include <stdint.h>

/* Dense, masked for FFF. logits [tokens][neurons]; path [tokens][trees][levels], node within its tree. Leaf
 * FFF and MoE: ffl_reference_experts, with neither. */
ffl_status ffl_reference(const ffl_layer *layer, const float *x, size_t ldx, size_t tokens, double *y,
                         double *logits, int32_t *path);

/* FFF only: the tree walk. logits and path [tokens][trees][levels]. */
ffl_status ffl_reference_walk(const ffl_layer *layer, const float *x, size_t ldx, size_t tokens, double *y,
                              double *logits, int32_t *path);

/*
 * Leaf FFF and MoE: all gates, then the choice, then the chosen experts. gates [tokens][gates]; chosen
 * [tokens][chosen] experts, of a mixture by descending gate; share [tokens][chosen] what each is weighted
 * with (leaf FFF: 1). Each of the three may be NULL.
 */
ffl_status ffl_reference_experts(const ffl_layer *layer, const float *x, size_t ldx, size_t tokens, double *y,
                                 double *gates, int32_t *chosen, double *share);

/* Their choice alone, of one token's gates. */
void ffl_reference_choose(const ffl_layer *layer, const double *gates, int32_t *chosen, double *share);

/* x·w over n elements in double: the one dot product both of them use. */
double ffl_reference_dot(const float *x, const float *w, size_t n);

#endif
