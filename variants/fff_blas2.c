/*
 * FFF with BLAS level 2, one token at a time. The logits of a path come one after the other, but its
 * outputs need not: the visited rows of w_out are gathered, and one matrix-vector product sums them, so the
 * output row is passed over once instead of once per node.
 */
#include "kernels/blas.h"
#include "kernels/gelu.h"
#include <string.h>

/* 32 rows of width 768 are 98 KB; more visited rows than that (many trees) are summed in portions. */
enum { GATHERED_MAX = 32 };

typedef struct gathered {
    float *rows, *activations;
    size_t count;
} gathered;

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    plan->scratch_bytes = GATHERED_MAX * (layer->width_out + 1) * sizeof(float);
    return ffl_blas_prepare(layer, machine, plan);
}

static void sum(const ffl_layer *l, const ffl_blas *blas, gathered *g, float *y)
{
    const int width = (int)l->width_out;
    blas->sgemv(FFL_ROW_MAJOR, FFL_TRANS, (int)g->count, width, 1.0f, g->rows, width, g->activations, 1, 1.0f,
                y, 1);
    g->count = 0;
}

/* One token; without y it is a trace. */
static void walk(const ffl_layer *l, const ffl_blas *blas, const float *x, float *y, gathered *g,
                 int32_t *nodes, float *logits)
{
    for (size_t tree = 0; tree < l->trees; tree++) {
        size_t node = 0;
        for (size_t level = 0; level < l->levels; level++) {
            const size_t row = tree * l->nodes + node;
            const float z = blas->sdot((int)l->width_in, x, 1, l->w_in + row * l->width_in, 1) + l->b_in[row];
            if (y) {
                g->activations[g->count] = ffl_activate(l->activation, z);
                memcpy(g->rows + g->count * l->width_out, l->w_out + row * l->width_out,
                       l->width_out * sizeof *g->rows);
                if (++g->count == GATHERED_MAX)
                    sum(l, blas, g, y);
            } else {
                *nodes++ = (int32_t)node;
                *logits++ = z;
            }
            node = 2 * node + 1 + (z > 0.0f);
        }
    }
    if (y && g->count)
        sum(l, blas, g, y);
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    float *scratch = exec->scratch;
    gathered g = {.rows = scratch, .activations = scratch + GATHERED_MAX * l->width_out};
    ffl_blas_use(plan->state, 1);
    for (size_t t = 0; t < tokens; t++, x += ldx, y += ldy) {
        memset(y, 0, l->width_out * sizeof *y);
        walk(l, plan->state, x, y, &g, NULL, NULL);
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
        walk(plan->layer, plan->state, x, NULL, NULL, nodes + t * visited, logits + t * visited);
    return FFL_OK;
}

#define ROW(provider, provider_name)                                                                         \
    {                                                                                                        \
        .name = "fff_blas2_" provider_name, .source = "arXiv:2311.10770, level 2",                           \
        .summary = "walk per token, outputs of the path summed by one gemv", .operation = FFL_FFF,           \
        .place = FFL_HOST, .family = FFL_BLAS2, .isa = FFL_ISA_BASE, .library = provider,                    \
        .contract = FFL_CONTRACT_F32, .supports = ffl_blas_supports, .prepare = prepare, .run = run,         \
        .trace = trace                                                                                       \
    }

FFL_VARIANTS(fff_blas2) = {
    ROW(FFL_OPENBLAS, "openblas"),
    ROW(FFL_BLIS, "blis"),
    ROW(FFL_CBLAS, "cblas"),
    {0},
};
