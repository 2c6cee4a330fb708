/*
 * FFF with BLAS level 1, one token at a time: at each node one dot product and one axpy. The published
 * "level 1" form; the library sees one short row per call and has nothing to reuse.
 */
#include "kernels/blas.h"
#include "kernels/gelu.h"
#include <string.h>

/* One token; y may be NULL (trace only), as may nodes and logits. */
static void walk(const ffl_layer *l, const ffl_blas *blas, const float *x, float *y, int32_t *nodes,
                 float *logits)
{
    for (size_t tree = 0; tree < l->trees; tree++) {
        size_t node = 0;
        for (size_t level = 0; level < l->levels; level++) {
            const size_t row = tree * l->nodes + node;
            const float z = blas->sdot((int)l->width_in, x, 1, l->w_in + row * l->width_in, 1) + l->b_in[row];
            if (y)
                blas->saxpy((int)l->width_out, ffl_activate(l->activation, z), l->w_out + row * l->width_out,
                            1, y, 1);
            if (nodes)
                *nodes++ = (int32_t)node;
            if (logits)
                *logits++ = z;
            node = 2 * node + 1 + (z > 0.0f);
        }
    }
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    (void)exec;
    ffl_blas_use(plan->state, 1);
    for (size_t t = 0; t < tokens; t++, x += ldx, y += ldy) {
        memset(y, 0, l->width_out * sizeof *y);
        walk(l, plan->state, x, y, NULL, NULL);
    }
    return FFL_OK;
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    const size_t visited = plan->layer->trees * plan->layer->levels;
    (void)exec;
    ffl_blas_use(plan->state, 1);
    for (size_t t = 0; t < tokens; t++, x += ldx)
        walk(plan->layer, plan->state, x, NULL, nodes + t * visited, logits + t * visited);
    return FFL_OK;
}

#define ROW(provider, provider_name)                                                                         \
    {                                                                                                        \
        .name = "fff_blas1_" provider_name, .source = "arXiv:2311.10770, level 1",                           \
        .summary = "tree walk per token, BLAS dot and axpy", .operation = FFL_FFF, .place = FFL_HOST,        \
        .family = FFL_BLAS1, .isa = FFL_ISA_BASE, .library = provider, .contract = FFL_CONTRACT_F32,         \
        .supports = ffl_blas_supports, .prepare = ffl_blas_prepare, .run = run, .trace = trace               \
    }

FFL_VARIANTS(fff_blas1) = {
    ROW(FFL_OPENBLAS, "openblas"),
    ROW(FFL_BLIS, "blis"),
    ROW(FFL_CBLAS, "cblas"),
    {0},
};
