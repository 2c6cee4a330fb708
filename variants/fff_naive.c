/*
 * FFF, as the equation reads: one token at a time, one dot product and one axpy per visited node.
 */
#include "kernels/gelu.h"
#include "kernels/variant.h"

static ffl_status walk(const ffl_layer *l, const float *x, size_t ldx, float *y, size_t ldy, size_t tokens,
                       int32_t *nodes, float *logits)
{
    for (size_t t = 0; t < tokens; t++, x += ldx) {
        for (size_t j = 0; y && j < l->width_out; j++)
            y[t * ldy + j] = 0.0f;
        for (size_t tree = 0; tree < l->trees; tree++) {
            size_t node = 0;
            for (size_t level = 0; level < l->levels; level++) {
                const size_t row = tree * l->nodes + node;
                const float *w_in = l->w_in + row * l->width_in, *w_out = l->w_out + row * l->width_out;
                float z = 0.0f;
                for (size_t i = 0; i < l->width_in; i++)
                    z += x[i] * w_in[i];
                z += l->b_in[row];
                if (y) {
                    const float g = ffl_activate(l->activation, z);
                    for (size_t j = 0; j < l->width_out; j++)
                        y[t * ldy + j] += g * w_out[j];
                } else {
                    *nodes++ = (int32_t)node;
                    *logits++ = z;
                }
                node = 2 * node + 1 + (z > 0.0f);
            }
        }
    }
    return FFL_OK;
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    (void)exec;
    return walk(plan->layer, x, ldx, y, ldy, tokens, NULL, NULL);
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    (void)exec;
    return walk(plan->layer, x, ldx, NULL, 0, tokens, nodes, logits);
}

FFL_VARIANTS(fff_naive) = {
    {.name = "fff_naive",
     .source = "arXiv:2311.10770, FFF inference",
     .summary = "tree walk per token, plain C",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_NAIVE,
     .isa = FFL_ISA_BASE,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = ffl_prepare_nothing,
     .run = run,
     .trace = trace},
    {0},
};
