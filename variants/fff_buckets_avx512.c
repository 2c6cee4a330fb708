/*
 * FFF for large batches, in two passes per tree. First all tokens descend the upper levels, whose w_in rows
 * together stay in L2, and are sorted into buckets, one per subtree below; then, in bucket order, groups of
 * tokens descend their subtree and are written out leaf by leaf. A subtree's rows come from memory once per
 * batch, not once per token. Both descents keep tokens sorted by node and use register tiles.
 *
 * Large batches are bound by memory: x is read twice, in batch and in bucket order, y written once, and the
 * weights shared by the tokens; batches below some 2000 tokens by the rows of the lower levels. Threads split
 * the batch for the first pass, the sorted batch for the second.
 */
#include "kernels/simd/group_output_avx512.h"
#include "kernels/simd/walk.h"
#include "kernels/team.h"
#include "kernels/variant.h"
#include <string.h>

/* GRAIN: tokens of a thread at least; about ten times the work that waking it costs. */
enum { CHUNK = 64, GROUP = 128, GRAIN = 64, BLOCK = 384, LINE = 64 };

/* What one thread has for itself. */
typedef struct own {
    uint32_t spare[GROUP];
    uint8_t way[GROUP];
    const float *wanted[CHUNK];
} own;

typedef struct work {
    const ffl_layer *l;
    const float *x;
    float *y;
    size_t ldx, ldy, tokens, tree, upper;
    ffl_stores stores;
    size_t *start;   /* [buckets + 1]: of each bucket in order */
    own *own;        /* [threads] */
    float *g;        /* [tokens][levels]: activations */
    uint32_t *node;  /* [tokens]: where the levels so far lead */
    uint32_t *order; /* [tokens]: tokens by bucket */
} work;

/* The plan's state is no pointer: upper levels, and how y is written. */
static size_t upper_levels(const ffl_plan *plan)
{
    return (size_t)(uintptr_t)plan->state / 4;
}

static ffl_stores wanted_stores(const ffl_plan *plan)
{
    return (ffl_stores)((uintptr_t)plan->state % 4);
}

static ffl_partition partition(const work *w, int member, size_t last)
{
    return (ffl_partition){.l = w->l,
                           .tree = w->tree,
                           .last = last,
                           .x = w->x,
                           .ldx = w->ldx,
                           .g = w->g,
                           .node = w->node,
                           .spare = w->own[member].spare,
                           .way = w->own[member].way,
                           .wanted = w->own[member].wanted};
}

static void descend_upper(void *user, int member, int members)
{
    const work *w = user;
    const size_t end = w->tokens * ((size_t)member + 1) / (size_t)members;
    ffl_partition p = partition(w, member, w->upper);
    for (size_t t = w->tokens * (size_t)member / (size_t)members; t < end; t += CHUNK) {
        const size_t count = end - t < CHUNK ? end - t : CHUNK;
        for (size_t i = t; i < t + count; i++)
            w->order[i] = (uint32_t)i;
        /* The next chunk's rows come into L2 while this one's tiles compute. */
        p.wanted_first = p.wanted_end = 0;
        for (size_t i = t + CHUNK; i < end && p.wanted_end < CHUNK; i++)
            w->own[member].wanted[p.wanted_end++] = w->x + i * w->ldx;
        ffl_partition_descend(&p, 0, 0, w->order + t, count);
        ffl_partition_flush(&p);
    }
}

/* Counting sort; stable, so that tokens of a bucket stay in ascending order. */
static void sort(const work *w)
{
    const size_t buckets = (size_t)1 << w->upper, first_bucket = buckets - 1;
    memset(w->start, 0, (buckets + 1) * sizeof *w->start);
    for (size_t t = 0; t < w->tokens; t++)
        w->start[w->node[t] - first_bucket + 1]++;
    for (size_t b = 0; b < buckets; b++)
        w->start[b + 1] += w->start[b];
    for (size_t t = 0; t < w->tokens; t++)
        w->order[w->start[w->node[t] - first_bucket]++] = (uint32_t)t;
}

/* Groups of tokens in bucket order; a bucket may begin in one group and end in another. */
static void finish_buckets(void *user, int member, int members)
{
    const work *w = user;
    const size_t end = w->tokens * ((size_t)member + 1) / (size_t)members;
    /* With few tokens per leaf a row is read by one of them, best as a whole. */
    const size_t block = w->tokens >= w->l->nodes ? BLOCK : (w->l->width_out + BLOCK - 1) / BLOCK * BLOCK;
    ffl_partition p = partition(w, member, w->l->levels);
    for (size_t t = w->tokens * (size_t)member / (size_t)members; t < end; t += GROUP) {
        const size_t count = end - t < GROUP ? end - t : GROUP;
        uint32_t *list = w->order + t;
        for (size_t i = 0, next; i < count; i = next) {
            const uint32_t bucket = w->node[list[i]];
            for (next = i + 1; next < count && w->node[list[next]] == bucket;)
                next++;
            ffl_partition_descend(&p, w->upper, bucket, list + i, next - i);
        }
        ffl_partition_flush(&p);
        if (w->stores == FFL_STORES_STREAM)
            ffl_group_output_avx512(&p, list, count, w->y, w->ldy, block, FFL_STORES_STREAM);
        else
            ffl_group_output_avx512(&p, list, count, w->y, w->ldy, block, FFL_STORES_AHEAD);
    }
    _mm_sfence();
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    work w = {.l = l, .x = x, .y = y, .ldx = ldx, .ldy = ldy, .tokens = tokens};
    w.upper = upper_levels(plan);
    w.stores = wanted_stores(plan);
    if (l->trees > 1 || (uintptr_t)y % LINE || ldy * sizeof *y % LINE)
        w.stores = FFL_STORES_AHEAD;
    w.start = exec->scratch;
    w.own = (own *)(w.start + ((size_t)1 << w.upper) + 1);
    w.g = (float *)(w.own + (plan->threads > 0 ? plan->threads : 1));
    w.node = (uint32_t *)(w.g + tokens * l->levels);
    w.order = w.node + tokens;
    const size_t most = tokens / GRAIN;
    const int members = most < 2 ? 1 : most < (size_t)exec->threads ? (int)most : exec->threads;
    for (; w.tree < l->trees; w.tree++) {
        ffl_team_run(members, descend_upper, &w);
        sort(&w);
        ffl_team_run(members, finish_buckets, &w);
    }
    return FFL_OK;
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    (void)exec;
    ffl_walk_trace(plan->layer, ffl_tile_dot_avx512, x, ldx, tokens, nodes, logits);
    return FFL_OK;
}

/* As many upper levels as a quarter of L2 holds rows of w_in for. */
static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan,
                          ffl_stores stores)
{
    const size_t l2 = machine->l2_bytes ? machine->l2_bytes : (size_t)1 << 20;
    const size_t threads = plan->threads > 0 ? (size_t)plan->threads : 1;
    size_t upper = 0;
    while (upper + 1 < layer->levels &&
           (((size_t)2 << upper) - 1) * layer->width_in * sizeof(float) <= l2 / 4)
        upper++;
    plan->state = (void *)(uintptr_t)(4 * upper + stores);
    plan->scratch_bytes = (((size_t)1 << upper) + 1) * sizeof(size_t) + threads * sizeof(own) +
                          plan->max_tokens * (layer->levels * sizeof(float) + 2 * sizeof(uint32_t));
    return FFL_OK;
}

static ffl_status prepare_cached(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    return prepare(layer, machine, plan, FFL_STORES_AHEAD);
}

static ffl_status prepare_stream(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    return prepare(layer, machine, plan, FFL_STORES_STREAM);
}

static bool supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    (void)shape;
    *why = "more than 2^32 tokens";
    return tokens <= UINT32_MAX;
}

#define ROW(NAME, SUMMARY, PREPARE)                                                                          \
    {                                                                                                        \
        .name = NAME, .source = "this lab", .summary = SUMMARY, .operation = FFL_FFF, .place = FFL_HOST,     \
        .family = FFL_SIMD, .isa = FFL_ISA_AVX512, .threaded = true, .contract = FFL_CONTRACT_F32_ROWS,      \
        .supports = supports, .prepare = PREPARE, .run = run, .trace = trace                                 \
    }

FFL_VARIANTS(fff_buckets_avx512) = {
    ROW("fff_buckets_avx512", "upper levels for all tokens, then subtree by subtree in tiles, AVX-512",
        prepare_cached),
    ROW("fff_buckets_stream_avx512", "the same, y written past the caches", prepare_stream),
    {0},
};
