/*
 * A mixture of experts, as the equation reads: one token at a time, all gates, the largest of them one after
 * the other, then the chosen experts in ascending order.
 */
#include "kernels/experts.h"
#include "kernels/gelu.h"
#include <stdbool.h>

static float dot(const float *x, const float *w, size_t n)
{
    float z = 0.0f;
    for (size_t i = 0; i < n; i++)
        z += x[i] * w[i];
    return z;
}

/* Shares are not negative: what an expert has that was not chosen. */
static const float not_chosen = -1.0f;

/* NaN comes last, and of equals the first. */
static bool is_larger(float z, float best)
{
    return z > best || (isnan(best) && !isnan(z));
}

/* share [experts]: softmax over the chosen gates. */
static void choose(const ffl_layer *l, const float *gate, float *share)
{
    double first = 0, sum = 0;
    for (size_t e = 0; e < l->experts; e++)
        share[e] = not_chosen;
    for (size_t c = 0; c < l->chosen; c++) {
        size_t best = l->experts;
        for (size_t e = 0; e < l->experts; e++)
            if (share[e] == not_chosen && (best == l->experts || is_larger(gate[e], gate[best])))
                best = e;
        if (c == 0)
            first = (double)gate[best];
        share[best] = (float)exp((double)gate[best] - first);
        sum += (double)share[best];
    }
    for (size_t e = 0; e < l->experts; e++)
        if (share[e] != not_chosen)
            share[e] = (float)((double)share[e] / sum);
}

static void add_expert(const ffl_layer *expert, float share, const float *x, float *y)
{
    for (size_t row = 0; row < expert->neurons; row++) {
        const float *w_out = expert->w_out + row * expert->width_out;
        const float z = dot(x, expert->w_in + row * expert->width_in, expert->width_in) + expert->b_in[row];
        const float g = share * ffl_activate(expert->activation, z);
        for (size_t j = 0; j < expert->width_out; j++)
            y[j] += g * w_out[j];
    }
    for (size_t j = 0; expert->b_out && j < expert->width_out; j++)
        y[j] += share * expert->b_out[j];
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    plan->scratch_bytes = 2 * layer->experts * sizeof(float);
    return ffl_prepare_nothing(layer, machine, plan);
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    float *gate = exec->scratch, *share = gate + l->experts;
    for (size_t t = 0; t < tokens; t++, x += ldx, y += ldy) {
        for (size_t e = 0; e < l->experts; e++)
            gate[e] = dot(x, l->w_gate + e * l->width_in, l->width_in) + l->b_gate[e];
        choose(l, gate, share);
        for (size_t j = 0; j < l->width_out; j++)
            y[j] = 0.0f;
        for (size_t e = 0; e < l->experts; e++) {
            const ffl_layer expert = ffl_layer_expert(l, e);
            if (share[e] != not_chosen)
                add_expert(&expert, share[e], x, y);
        }
    }
    return FFL_OK;
}

FFL_VARIANTS(moe_naive) = {
    {.name = "moe_naive",
     .source = "arXiv:1701.06538, without noise",
     .summary = "all gates per token, then the chosen experts, plain C",
     .operation = FFL_MOE,
     .place = FFL_HOST,
     .family = FFL_NAIVE,
     .isa = FFL_ISA_BASE,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = prepare,
     .run = run},
    {0},
};
