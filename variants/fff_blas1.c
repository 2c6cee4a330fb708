/*
 * FFF with BLAS level 1, one token at a time: at each node one dot product and one axpy. The published
 * "level 1" form; the library sees one short row per call and has nothing to reuse.
 * Level by level is the same arithmetic over a block of tokens, so that a node's rows serve several of them.
 */
#include "kernels/blas.h"
#include "kernels/gelu.h"
#include <string.h>

enum { BLOCK_TOKENS = 1024 };

/* One node's logit; its contribution goes to y unless that is NULL. */
static float visit(const ffl_layer *l, const ffl_blas *blas, size_t row, const float *x, float *y)
{
    const float z = blas->sdot((int)l->width_in, x, 1, l->w_in + row * l->width_in, 1) + l->b_in[row];
    if (y)
        blas->saxpy((int)l->width_out, ffl_activate(l->activation, z), l->w_out + row * l->width_out, 1, y,
                    1);
    return z;
}

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

/* Tree by tree and level by level over a block of tokens: the rows of the upper levels stay in the cache. */
static ffl_status run_by_level(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx,
                               float *y, size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const ffl_blas *blas = plan->state;
    int32_t *node = exec->scratch;
    ffl_blas_use(plan->state, 1);
    for (size_t t = 0; t < tokens; t++)
        memset(y + t * ldy, 0, l->width_out * sizeof *y);
    for (size_t first = 0; first < tokens;
         first += BLOCK_TOKENS, x += BLOCK_TOKENS * ldx, y += BLOCK_TOKENS * ldy) {
        const size_t count = tokens - first < BLOCK_TOKENS ? tokens - first : BLOCK_TOKENS;
        for (size_t tree = 0; tree < l->trees; tree++) {
            memset(node, 0, count * sizeof *node);
            for (size_t level = 0; level < l->levels; level++)
                for (size_t t = 0; t < count; t++) {
                    const size_t row = tree * l->nodes + (size_t)node[t];
                    node[t] = 2 * node[t] + 1 + (visit(l, blas, row, x + t * ldx, y + t * ldy) > 0.0f);
                }
        }
    }
    return FFL_OK;
}

static ffl_status prepare_by_level(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    plan->scratch_bytes = BLOCK_TOKENS * sizeof(int32_t);
    return ffl_blas_prepare(layer, machine, plan);
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

#define ROW(variant_name, text, make, function, provider)                                                    \
    {                                                                                                        \
        .name = variant_name, .source = "arXiv:2311.10770, level 1", .summary = text, .operation = FFL_FFF,  \
        .place = FFL_HOST, .family = FFL_BLAS1, .isa = FFL_ISA_BASE, .library = provider,                    \
        .contract = FFL_CONTRACT_F32, .supports = ffl_blas_supports, .prepare = make, .run = function,       \
        .trace = trace                                                                                       \
    }
#define BY_TOKEN(provider, name)                                                                             \
    ROW("fff_blas1_" name, "tree walk per token, BLAS dot and axpy", ffl_blas_prepare, run, provider)
#define BY_LEVEL(provider, name)                                                                             \
    ROW("fff_levels_blas1_" name, "level by level over the batch, BLAS dot and axpy", prepare_by_level,      \
        run_by_level, provider)

FFL_VARIANTS(fff_blas1) = {
    BY_TOKEN(FFL_OPENBLAS, "openblas"),
    BY_TOKEN(FFL_BLIS, "blis"),
    BY_TOKEN(FFL_CBLAS, "cblas"),
    BY_LEVEL(FFL_OPENBLAS, "openblas"),
    BY_LEVEL(FFL_BLIS, "blis"),
    BY_LEVEL(FFL_CBLAS, "cblas"),
    {0},
};
