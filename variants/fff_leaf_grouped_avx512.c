/*
 * Leaf FFF for any batch, AVX-512, in two passes. First all tokens descend the upper levels, whose gates
 * together stay in L2, and are sorted into buckets, one per subtree below; then, in bucket order, groups of
 * tokens descend their subtree, come out sorted by leaf, and pass through the leaves (experts_avx512.h) while
 * their x is still near. Both descents keep tokens sorted by node and use register tiles.
 *
 * Narrow leaves are bound by memory: x is read twice, y written once, and a leaf's rows come from memory once
 * per batch. Threads take tokens of their own.
 */
#include "kernels/memory.h"
#include "kernels/simd/experts_avx512.h"
#include "kernels/simd/partition_avx512.h"
#include "kernels/team.h"

/* Wide leaves want all their tokens at once, narrow ones their x in L2. */
enum { CHUNK = 64, NARROW_GROUP = 128, WIDE_GROUP = 4096 };

typedef struct state {
    ffl_layer tree; /* the gates as an FFF layer without outputs */
    size_t upper;   /* levels of the first pass */
    size_t group;
    ffl_experts_tiled *wide;
} state;

typedef struct work {
    char *experts;                  /* scratch of the leaves */
    uint32_t *node, *order, *spare; /* [tokens] */
    uint8_t *way;                   /* [tokens of a group or chunk] */
    const float *wanted[CHUNK];
} work;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t carve(const ffl_plan *plan, char *base, work *w)
{
    const state *s = plan->state;
    size_t used = 0;
#define CARVE(field, count)                                                                                  \
    (w->field = (void *)(base + used), used += ((count) * sizeof *w->field + 127) / 64 * 64)
    CARVE(experts, s->wide ? ffl_experts_tiled_scratch(s->wide) : 0);
    CARVE(node, plan->max_tokens);
    CARVE(order, plan->max_tokens);
    CARVE(spare, plan->max_tokens);
    CARVE(way, s->group);
#undef CARVE
    return used;
}

static void release(ffl_plan *plan)
{
    state *s = plan->state;
    ffl_experts_tiled_free(s->wide);
    ffl_free(s);
}

/* As many upper levels as a quarter of L2 holds gates for. */
static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    const size_t l2 = machine->l2_bytes ? machine->l2_bytes : (size_t)1 << 20;
    state *s = plan->state = ffl_alloc(sizeof *s);
    if (!s)
        return FFL_NO_MEMORY;
    s->tree = (ffl_layer){.operation = FFL_FFF,
                          .width_in = layer->width_in,
                          .neurons = layer->gates,
                          .trees = 1,
                          .levels = layer->levels,
                          .nodes = layer->gates,
                          .w_in = layer->w_gate,
                          .b_in = layer->b_gate};
    while (s->upper + 1 < layer->levels &&
           (((size_t)2 << s->upper) - 1) * layer->width_in * sizeof(float) <= l2 / 4)
        s->upper++;
    const ffl_status status = ffl_experts_avx512_new(layer, plan->max_tokens, &s->wide);
    if (status != FFL_OK) {
        release(plan);
        return status;
    }
    s->group = s->wide ? WIDE_GROUP : NARROW_GROUP;
    plan->packed_bytes = s->wide ? ffl_experts_tiled_packed(s->wide) : 0;
    work unused;
    ffl_team_scratch(plan, carve(plan, NULL, &unused));
    return FFL_OK;
}

/* node[] of all tokens becomes that of level `upper`. */
static void descend_upper(ffl_partition *p, work *w, size_t tokens)
{
    for (size_t t = 0; t < tokens; t += CHUNK) {
        const size_t count = smaller(CHUNK, tokens - t);
        for (size_t i = t; i < t + count; i++)
            w->order[i] = (uint32_t)i;
        /* The next chunk's rows come into L2 while this one's tiles compute. */
        p->wanted_first = p->wanted_end = 0;
        for (size_t i = t + CHUNK; i < tokens && p->wanted_end < CHUNK; i++)
            w->wanted[p->wanted_end++] = p->x + i * p->ldx;
        ffl_partition_descend(p, 0, 0, w->order + t, count);
        ffl_partition_flush(p);
    }
    p->wanted_first = p->wanted_end = 0;
}

/* From `upper` to the leaves: node[] of the listed tokens becomes their leaf, the list sorted by it. */
static void descend_group(ffl_partition *p, const work *w, size_t upper, uint32_t *list, size_t count)
{
    for (size_t i = 0, next; i < count; i = next) {
        next = ffl_experts_run(w->node, list, i, count);
        ffl_partition_descend(p, upper, w->node[list[i]], list + i, next - i);
    }
    ffl_partition_flush(p);
}

static void part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                 size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const state *s = plan->state;
    work w;
    carve(plan, scratch, &w);
    ffl_partition p = {.l = &s->tree,
                       .last = s->upper,
                       .x = x,
                       .ldx = ldx,
                       .node = w.node,
                       .spare = w.spare,
                       .way = w.way,
                       .wanted = w.wanted};
    descend_upper(&p, &w, tokens);
    ffl_experts_sort(w.node, tokens, ((size_t)2 << s->upper) - 1, w.order, w.spare);
    p.last = l->levels;
    const ffl_experts_batch batch = {.layer = l, .x = x, .y = y, .ldx = ldx, .ldy = ldy, .expert = w.node};
    for (size_t t = 0; t < tokens; t += s->group) {
        const size_t count = smaller(s->group, tokens - t);
        descend_group(&p, &w, s->upper, w.order + t, count);
        for (size_t i = t; i < t + count; i++)
            w.node[w.order[i]] -= (uint32_t)l->gates;
        ffl_experts_avx512_run(s->wide, &batch, w.order + t, count, w.experts);
    }
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, ffl_experts_grain(plan->layer), part, x, ldx, y, ldy, tokens);
}

FFL_VARIANTS(fff_leaf_grouped_avx512) = {
    {.name = "fff_leaf_grouped_avx512",
     .source = "this lab",
     .summary = "descents sorted by node in tiles, then tiles of the tokens of each leaf, AVX-512",
     .operation = FFL_FFF_LEAF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = FFL_CONTRACT_F32_ROWS,
     .supports = ffl_experts_supports,
     .prepare = prepare,
     .run = run,
     .release = release},
    {0},
};
