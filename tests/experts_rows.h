/*
 * Leaf FFF and mixtures of experts, a row at a time in plain floats: right, or with one mistake. For at most
 * 64 experts per mixture.
 */
#ifndef FFL_TESTS_EXPERTS_ROWS_H
#define FFL_TESTS_EXPERTS_ROWS_H

#include "kernels/gelu.h"
#include "kernels/layer.h"
#include <math.h>
#include <stdint.h>

typedef enum mistake {
    RIGHT,
    TIE,          /* leaf: right when z is 0; mixture: the higher index */
    ALL_TURNS,    /* leaf: every turn */
    NEIGHBOUR,    /* the expert after the right one */
    BIAS_OF_NEXT, /* its output bias alone */
    REVERSED,     /* mixture: shares */
    UNWEIGHTED,   /* mixture: shares of 1 */
    OF_ALL,       /* mixture: softmax over all experts */
    BIAS_WHOLE,   /* mixture: biases are not weighted */
    SECOND_BEST,  /* mixture: chooses from the second on */
    WRONG_NUMBER  /* NaN */
} mistake;

static inline float dot(const float *x, const float *w, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * w[i];
    return sum;
}

static inline void add_expert(const ffl_layer *l, size_t e, const float *x, float share, mistake m, float *y)
{
    const ffl_layer own = ffl_layer_expert(l, e), next = ffl_layer_expert(l, (e + 1) % l->experts);
    const float *bias = m == BIAS_OF_NEXT ? next.b_out : own.b_out;
    for (size_t k = 0; k < own.neurons; k++) {
        const float z = dot(x, own.w_in + k * own.width_in, own.width_in) + own.b_in[k];
        const float g = share * (own.activation == FFL_RELU ? fmaxf(z, 0) : ffl_gelu(z));
        for (size_t j = 0; j < own.width_out; j++)
            y[j] += g * own.w_out[k * own.width_out + j];
    }
    for (size_t j = 0; bias && j < own.width_out; j++)
        y[j] += (m == BIAS_WHOLE ? 1 : share) * bias[j];
}

static inline void leaf_row(const ffl_layer *l, const float *x, mistake m, float *y)
{
    size_t node = 0;
    for (size_t level = 0; level < l->levels; level++) {
        const float z = dot(x, l->w_gate + node * l->width_in, l->width_in) + l->b_gate[node];
        const bool right = m == TIE ? z >= 0 : z > 0;
        node = 2 * node + 1 + (right != (m == ALL_TURNS));
    }
    add_expert(l, (node - l->gates + (m == NEIGHBOUR)) % l->experts, x, 1, m, y);
}

static inline void mixture_row(const ffl_layer *l, const float *x, mistake m, float *y)
{
    float z[64], share[64], sum = 0, all = 0;
    size_t set[64];
    bool taken[64] = {0};
    for (size_t e = 0; e < l->experts; e++)
        z[e] = dot(x, l->w_gate + e * l->width_in, l->width_in) + l->b_gate[e];
    for (size_t k = 0; k < l->chosen + (m == SECOND_BEST); k++) {
        size_t best = l->experts;
        for (size_t e = 0; e < l->experts; e++)
            if (!taken[e] && (best == l->experts || (m == TIE ? z[e] >= z[best] : z[e] > z[best])))
                best = e;
        taken[best] = true;
        set[m == SECOND_BEST && k > 0 ? k - 1 : k] = best;
    }
    for (size_t e = 0; e < l->experts; e++)
        all += expf(z[e] - z[set[0]]);
    for (size_t k = 0; k < l->chosen; k++)
        sum += share[k] = expf(z[set[k]] - z[set[0]]);
    for (size_t k = 0; k < l->chosen; k++) {
        const float p = share[m == REVERSED ? l->chosen - 1 - k : k] / (m == OF_ALL ? all : sum);
        add_expert(l, (set[k] + (m == NEIGHBOUR)) % l->experts, x, m == UNWEIGHTED ? 1 : p, m, y);
    }
}

#endif
