/*
 * Error bounds, from the numerics contract alone: how far may an honest computation be from the exact
 * result? Every bound has two tiers, `statistical` (rounding errors average out) and `worst` (all of them
 * conspire); statistical is never above worst. Equations and derivation: harness/check/README.md.
 */
#ifndef FFL_HARNESS_BOUNDS_H
#define FFL_HARNESS_BOUNDS_H

#include "harness/check/judge.h"

/* A contract on a layer, as numbers. Relative terms are unit roundoffs, `tiny` ones absolute (underflow). */
typedef struct ffl_arithmetic {
    const ffl_layer *layer;
    ffl_data data;
    double input, weights, logit, hidden, output; /* relative rounding; 0 when kept, or int8 */
    double input_tiny, weights_tiny, logit_tiny, hidden_tiny, output_tiny, sum_tiny;
    double roundoff;                  /* u of the accumulator */
    double gamma_in, gamma_out;       /* γ of width_in + 1 and of the neurons summed into an output */
    double input_codes, hidden_codes; /* fixed point: step = largest magnitude / this; else 0 */
    bool int8_weights;
    bool row_steps;                         /* int8 weights with a scale per row */
    double tensor_step_in, tensor_step_out; /* int8 weights with one scale: the quantisation step, else 0 */
    double activation_error, slope;         /* slope bounds |act'| */
    size_t visited;                         /* neurons summed into an output */
    double input_limit, weights_limit, logit_limit, hidden_limit, sum_limit; /* beyond: may overflow */
    bool shares; /* some errors are common to all neurons: rounded inputs, an approximate activation, fixed
                    point */
    bool plain;  /* f32 inputs and weights, denormals kept: norms of single rows are not needed */
} ffl_arithmetic;

ffl_arithmetic ffl_arithmetic_new(const ffl_layer *layer, const ffl_contract *contract, ffl_data data);

/* The same for the gates of leaf FFF and MoE, read as a dense layer `gates`: int8 scales are their own. */
ffl_arithmetic ffl_arithmetic_gates(const ffl_arithmetic *arithmetic, const ffl_layer *gates);

/* One input row. Not finite, or too large for the input type: no bound. */
typedef struct ffl_input {
    const float *x;
    double peak, absolute, squares;
    bool bounded;
} ffl_input;

ffl_input ffl_input_new(const ffl_arithmetic *arithmetic, const float *x);

/* One evaluated neuron: exact logit and activation, and the bounds of the logit. */
typedef struct ffl_node {
    size_t neuron; /* row of w_in and w_out */
    double z, g;
    double statistical, worst;
    double shared; /* the part of `statistical` that all neurons of the row may have in common */
    double step;   /* int8 weights: quantisation step of its row of w_out */
    bool overflows;
} ffl_node;

ffl_node ffl_node_new(const ffl_arithmetic *arithmetic, const ffl_input *input, size_t neuron, double z);

/* What the bounds of a logit are made of, besides those of its input. */
typedef struct ffl_products {
    double absolute, squares;             /* Σ|x_i·w_i|, Σ(x_i·w_i)² */
    double w_peak, w_absolute, w_squares; /* of the weights; unspecified where arithmetic->plain */
    double lost; /* Σx_i·w_i where either factor becomes 0 in fixed point; 0 where there is none */
} ffl_products;

/* Half a step of fixed-point inputs and weights, 0 without: what is not larger becomes 0. */
void ffl_half_steps(const ffl_arithmetic *arithmetic, const ffl_input *input, double w_peak, double *x_half,
                    double *w_half);

/* The part of ffl_node_new that follows from these sums: all bounds, for the node's z and g. */
void ffl_node_bound(const ffl_arithmetic *arithmetic, const ffl_input *input, const ffl_products *products,
                    double bias, ffl_node *node);

/* May the branch at this node go either way, within its statistical (or worst-case) bound? */
bool ffl_node_open(const ffl_arithmetic *arithmetic, const ffl_node *node, bool worst);

/*
 * |g| as an int8 hidden value is quantised. A scale per row of w_out lies inside the sum over neurons: an
 * integer product is possible only if it was multiplied into the hidden value before.
 */
double ffl_node_hidden(const ffl_arithmetic *arithmetic, const ffl_node *node);

/* What bounds of outputs are made of, summed over neurons; arrays of width_out. y and shared may be NULL. */
typedef struct ffl_sums {
    double *y, *worst, *squares, *deviations;
    double *shared;                     /* signed; NULL when nothing is shared */
    double flat_worst, flat_deviations; /* the same amount for each output */
} ffl_sums;

/* Adds a neuron (sign 1) or takes it away (-1). hidden_peak: largest ffl_node_hidden of the row. */
void ffl_sums_add(const ffl_arithmetic *arithmetic, const ffl_node *node, double hidden_peak, double sign,
                  ffl_sums *sums);

/*
 * Bounds of `count` outputs; sums, y (the exact results) and bias all begin at the first of them. bias is
 * b_out, or NULL without.
 */
void ffl_sums_finish(const ffl_arithmetic *arithmetic, const ffl_sums *sums, const double *y,
                     const float *bias, size_t count, double *statistical, double *worst);

/* May the sum of some output overflow? */
bool ffl_sums_overflow(const ffl_arithmetic *arithmetic, const ffl_sums *sums);

/* A bound as a float: rounded up by two units, and by one denormal where there is no such unit. */
static inline float ffl_bound_rounded_up(double bound)
{
    return (float)(bound * (1 + 0x1p-22) + 0x1p-149);
}

#endif
