/*
 * FFF, one token at a time, in two steps: descend and collect the visited rows and their logits; then one
 * vector activation and one pass over y, which sums all collected rows in registers. The descent waits for
 * nothing but its dot products, and y is written once, never read. Layers of many trees do so in chunks.
 */
#include "kernels/simd/avx2.h"
#include "kernels/variant.h"

enum { CHUNK = 64 }; /* at least FFL_LEVELS_MAX; more rows than that gain nothing */

typedef struct visited {
    size_t count;
    float g[CHUNK];
    const float *w[CHUNK];
} visited;

/* Descends one tree. */
static inline void descend(const ffl_layer *l, size_t tree, const float *x, visited *v)
{
    size_t node = 0;
    for (size_t level = 0; level < l->levels; level++) {
        const size_t row = tree * l->nodes + node;
        const float z = ffl_dot_avx2(x, l->w_in + row * l->width_in, l->width_in) + l->b_in[row];
        v->g[v->count] = z;
        v->w[v->count++] = l->w_out + row * l->width_out;
        node = 2 * node + 1 + (z > 0.0f);
    }
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    (void)exec;
    for (size_t t = 0; t < tokens; t++, x += ldx, y += ldy) {
        size_t tree = 0;
        for (bool add = false; tree < l->trees; add = true) {
            visited v;
            v.count = 0;
            do
                descend(l, tree++, x, &v);
            while (tree < l->trees && v.count + l->levels <= CHUNK);
            ffl_activate_avx2(l->activation, v.g, v.count);
            ffl_rows_avx2(v.g, v.w, v.count, y, l->width_out, add);
        }
    }
    return FFL_OK;
}

/* The nodes as run visits them: the same dot products in the same order. */
static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    const ffl_layer *l = plan->layer;
    (void)exec;
    for (size_t t = 0; t < tokens; t++, x += ldx)
        for (size_t tree = 0; tree < l->trees; tree++) {
            size_t node = 0;
            for (size_t level = 0; level < l->levels; level++) {
                const size_t row = tree * l->nodes + node;
                const float z = ffl_dot_avx2(x, l->w_in + row * l->width_in, l->width_in) + l->b_in[row];
                *nodes++ = (int32_t)node;
                *logits++ = z;
                node = 2 * node + 1 + (z > 0.0f);
            }
        }
    return FFL_OK;
}

FFL_VARIANTS(fff_walk_fused_avx2) = {
    {.name = "fff_walk_fused_avx2",
     .source = "this lab",
     .summary = "tree walk per token, one output pass at the end, AVX2",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX2,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = ffl_prepare_nothing,
     .run = run,
     .trace = trace},
    {0},
};
