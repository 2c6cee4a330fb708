/*
 * Leaf FFF, as the equation reads: one token at a time, one dot product per decision; then the leaf's layer.
 */
#include "kernels/experts.h"
#include "kernels/gelu.h"

static float dot(const float *x, const float *w, size_t n)
{
    float z = 0.0f;
    for (size_t i = 0; i < n; i++)
        z += x[i] * w[i];
    return z;
}

static size_t find_leaf(const ffl_layer *l, const float *x)
{
    size_t node = 0;
    for (size_t level = 0; level < l->levels; level++) {
        const float z = dot(x, l->w_gate + node * l->width_in, l->width_in) + l->b_gate[node];
        node = 2 * node + 1 + (z > 0.0f);
    }
    return node - l->gates;
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    (void)exec;
    for (size_t t = 0; t < tokens; t++, x += ldx, y += ldy) {
        const ffl_layer leaf = ffl_layer_expert(l, find_leaf(l, x));
        for (size_t j = 0; j < l->width_out; j++)
            y[j] = leaf.b_out ? leaf.b_out[j] : 0.0f;
        for (size_t row = 0; row < leaf.neurons; row++) {
            const float *w_out = leaf.w_out + row * l->width_out;
            const float z = dot(x, leaf.w_in + row * l->width_in, l->width_in) + leaf.b_in[row];
            const float g = ffl_activate(l->activation, z);
            for (size_t j = 0; j < l->width_out; j++)
                y[j] += g * w_out[j];
        }
    }
    return FFL_OK;
}

FFL_VARIANTS(fff_leaf_naive) = {
    {.name = "fff_leaf_naive",
     .source = "arXiv:2308.14711, inference",
     .summary = "tree walk per token, then its leaf's neurons, plain C",
     .operation = FFL_FFF_LEAF,
     .place = FFL_HOST,
     .family = FFL_NAIVE,
     .isa = FFL_ISA_BASE,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = ffl_prepare_nothing,
     .run = run},
    {0},
};
