/*
 * FFF for large batches, in two passes per tree, with AVX2: first all tokens descend the upper levels, whose
 * w_in rows together fit L2, then, sorted by the subtree below, they finish, a few side by side. A subtree's
 * rows come from memory once per batch and serve its tokens from L2. What fff_buckets_avx512 does in register
 * tiles, 16 registers of 8 lanes are too few for: here each token has dot products and an output pass of its
 * own.
 */
#include "kernels/simd/avx2.h"
#include "kernels/simd/walk.h"
#include "kernels/team.h"
#include "kernels/variant.h"
#include <string.h>

enum { GRAIN = 64, TOGETHER = 4, LINE = 16 /* floats in a cache line */ };

/* What one run keeps per token, and per bucket; lies in the scratch. */
typedef struct work {
    float *logits;   /* [tokens][levels] */
    uint32_t *node;  /* [tokens]: where the upper levels lead */
    uint32_t *order; /* [tokens]: tokens by bucket */
    size_t *start;   /* [buckets + 1]: of each bucket in order */
} work;

static size_t upper_levels(const ffl_plan *plan)
{
    return (size_t)(uintptr_t)plan->state;
}

/* `count` tokens from level `first` to `last`, side by side to overlap their misses. */
static inline void descend(const ffl_layer *l, size_t tree, size_t first, size_t last, size_t count,
                           const float *const *x, float *const *logits, size_t *node)
{
    for (size_t level = first; level < last; level++)
        for (size_t i = 0; i < count; i++) {
            const size_t row = tree * l->nodes + node[i];
            const float z = ffl_dot_avx2(x[i], l->w_in + row * l->width_in, l->width_in) + l->b_in[row];
            logits[i][level] = z;
            node[i] = 2 * node[i] + 1 + (z > 0.0f);
        }
}

static void walk_upper(const ffl_layer *l, size_t tree, size_t upper, const float *x, size_t ldx,
                       size_t tokens, const work *w)
{
    const size_t first_bucket = ((size_t)1 << upper) - 1;
    for (size_t t = 0; t < tokens; t += TOGETHER) {
        const size_t count = tokens - t < TOGETHER ? tokens - t : TOGETHER;
        const float *rows[TOGETHER];
        float *logits[TOGETHER];
        size_t node[TOGETHER] = {0};
        for (size_t i = 0; i < count; i++) {
            rows[i] = x + (t + i) * ldx;
            logits[i] = w->logits + (t + i) * l->levels;
        }
        descend(l, tree, 0, upper, count, rows, logits, node);
        for (size_t i = 0; i < count; i++) {
            w->node[t + i] = (uint32_t)node[i];
            w->start[node[i] - first_bucket + 1]++;
        }
    }
}

/* Counting sort; stable, so that tokens of a bucket stay in ascending order. */
static void sort(size_t upper, size_t tokens, const work *w)
{
    const size_t buckets = (size_t)1 << upper, first_bucket = buckets - 1;
    for (size_t b = 0; b < buckets; b++)
        w->start[b + 1] += w->start[b];
    for (size_t t = 0; t < tokens; t++)
        w->order[w->start[w->node[t] - first_bucket]++] = (uint32_t)t;
}

/* y = or += the rows on the path that ends above `node`, a child of the last level. */
static void write_output(const ffl_layer *l, size_t tree, size_t node, float *g, float *y)
{
    const float *rows[FFL_LEVELS_MAX];
    for (size_t level = l->levels; level-- > 0;) {
        node = (node - 1) / 2;
        rows[level] = l->w_out + (tree * l->nodes + node) * l->width_out;
    }
    ffl_activate_avx2(l->activation, g, l->levels);
    ffl_rows_avx2(g, rows, l->levels, y, l->width_out, tree > 0);
}

static void finish_buckets(const ffl_layer *l, size_t tree, size_t upper, const float *x, size_t ldx,
                           float *y, size_t ldy, size_t tokens, const work *w)
{
    for (size_t t = 0; t < tokens; t += TOGETHER) {
        const size_t count = tokens - t < TOGETHER ? tokens - t : TOGETHER;
        const float *rows[TOGETHER];
        float *logits[TOGETHER];
        size_t node[TOGETHER];
        for (size_t i = 0; i < count; i++) {
            const size_t token = w->order[t + i];
            rows[i] = x + token * ldx;
            logits[i] = w->logits + token * l->levels;
            node[i] = w->node[token];
        }
        /* The next rows of x are anywhere: ask for them while these are multiplied. */
        for (size_t i = t + count; i < t + count + TOGETHER && i < tokens; i++)
            for (size_t k = 0; k < l->width_in; k += LINE)
                _mm_prefetch((const char *)(x + w->order[i] * ldx + k), _MM_HINT_T0);
        descend(l, tree, upper, l->levels, count, rows, logits, node);
        for (size_t i = 0; i < count; i++)
            write_output(l, tree, node[i], logits[i], y + w->order[t + i] * ldy);
    }
}

static void part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                 size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const size_t upper = upper_levels(plan), buckets = (size_t)1 << upper;
    work w = {.start = scratch};
    w.logits = (float *)(w.start + buckets + 1);
    w.node = (uint32_t *)(w.logits + tokens * l->levels);
    w.order = w.node + tokens;
    for (size_t tree = 0; tree < l->trees; tree++) {
        memset(w.start, 0, (buckets + 1) * sizeof *w.start);
        walk_upper(l, tree, upper, x, ldx, tokens, &w);
        sort(upper, tokens, &w);
        finish_buckets(l, tree, upper, x, ldx, y, ldy, tokens, &w);
    }
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, GRAIN, part, x, ldx, y, ldy, tokens);
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    (void)exec;
    ffl_walk_trace(plan->layer, ffl_dot_avx2, x, ldx, tokens, nodes, logits);
    return FFL_OK;
}

/* As many upper levels as half of L2 holds rows of w_in for. */
static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    const size_t l2 = machine->l2_bytes ? machine->l2_bytes : (size_t)1 << 20;
    size_t upper = 0;
    while (upper + 1 < layer->levels &&
           (((size_t)2 << upper) - 1) * layer->width_in * sizeof(float) <= l2 / 2)
        upper++;
    plan->state = (void *)(uintptr_t)upper;
    ffl_team_scratch(plan, (((size_t)1 << upper) + 1) * sizeof(size_t) +
                               plan->max_tokens * (layer->levels * sizeof(float) + 2 * sizeof(uint32_t)));
    return FFL_OK;
}

static bool supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    (void)shape;
    *why = "more than 2^32 tokens";
    return tokens <= UINT32_MAX;
}

FFL_VARIANTS(fff_buckets_avx2) = {
    {.name = "fff_buckets_avx2",
     .source = "this lab",
     .summary = "upper levels for all tokens, then subtree by subtree, AVX2",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX2,
     .threaded = true,
     .contract = FFL_CONTRACT_F32_ROWS,
     .supports = supports,
     .prepare = prepare,
     .run = run,
     .trace = trace},
    {0},
};
