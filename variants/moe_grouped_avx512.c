/*
 * A mixture of experts, AVX-512: the gates of a block of tokens as one packed, register-tiled product, the
 * choice by integer compares, and once all tokens have chosen, expert by expert (experts_avx512.h). With many
 * narrow experts the gates are nearly all of the work: 512 rows of them for 8 of an expert.
 *
 * Threads take tokens of their own, for a token's experts add to one row of y.
 */
#include "kernels/memory.h"
#include "kernels/simd/choose.h"
#include "kernels/simd/experts_avx512.h"
#include "kernels/team.h"

/* Gates of a block: 256 KB, unless a tile's tokens have more. */
enum { GATES_MAX = 1 << 16, GATE_TOKENS_MIN = 8 };

typedef struct state {
    ffl_product gates;
    ffl_experts_tiled *wide;
} state;

typedef struct work {
    char *product, *experts; /* scratch of the two */
    float *gate;             /* [gate_block][experts] */
    int32_t *keys;           /* of ffl_choose */
    float *share;            /* [pairs of a block], as all below */
    uint32_t *expert, *order, *spare;
} work;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t gate_block(const ffl_layer *l, size_t max_tokens)
{
    const size_t fit = smaller(GATES_MAX / l->experts, FFL_TILED_ROWS);
    return smaller(max_tokens, fit > GATE_TOKENS_MIN ? fit : GATE_TOKENS_MIN);
}

static size_t carve(const ffl_plan *plan, char *base, work *w)
{
    const ffl_layer *l = plan->layer;
    const state *s = plan->state;
    const size_t gates = gate_block(l, plan->max_tokens);
    const size_t pairs = ffl_experts_block(l, plan->max_tokens) * l->chosen;
    size_t used = 0;
#define CARVE(field, count)                                                                                  \
    (w->field = (void *)(base + used), used += ((count) * sizeof *w->field + 127) / 64 * 64)
    CARVE(product, ffl_product_scratch(gates, l->width_in, 1));
    CARVE(experts, s->wide ? ffl_experts_tiled_scratch(s->wide) : 0);
    CARVE(gate, gates * l->experts);
    CARVE(keys, ffl_choice_keys(l->experts));
    CARVE(share, pairs);
    CARVE(expert, pairs);
    CARVE(order, pairs);
    CARVE(spare, pairs);
#undef CARVE
    return used;
}

static void release(ffl_plan *plan)
{
    state *s = plan->state;
    ffl_product_free(&s->gates);
    ffl_experts_tiled_free(s->wide);
    ffl_free(s);
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    state *s = plan->state = ffl_alloc(sizeof *s);
    if (!s)
        return FFL_NO_MEMORY;
    ffl_status status =
        ffl_product_new(&ffl_product_avx512, layer->w_gate, layer->experts, layer->width_in, &s->gates);
    if (status == FFL_OK)
        status = ffl_experts_avx512_new(layer, plan->max_tokens, &s->wide);
    if (status != FFL_OK) {
        release(plan);
        return status;
    }
    plan->packed_bytes = (layer->experts + 15) / 16 * 16 * layer->width_in * sizeof(float) +
                         (s->wide ? ffl_experts_tiled_packed(s->wide) : 0);
    work unused;
    ffl_team_scratch(plan, carve(plan, NULL, &unused));
    return FFL_OK;
}

static void choose(const ffl_layer *l, const state *s, const work *w, const float *x, size_t ldx,
                   size_t first, size_t tokens)
{
    ffl_product_run(&s->gates, x, ldx, tokens, l->b_gate, w->gate, l->experts, w->product, 1);
    for (size_t t = 0; t < tokens; t++)
        ffl_choose(w->gate + t * l->experts, l->experts, l->chosen, w->keys,
                   w->expert + (first + t) * l->chosen, w->share + (first + t) * l->chosen);
}

static void part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                 size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const state *s = plan->state;
    work w;
    carve(plan, scratch, &w);
    const size_t block = ffl_experts_block(l, plan->max_tokens), gates = gate_block(l, plan->max_tokens);
    for (size_t done = 0; done < tokens; done += block, x += block * ldx, y += block * ldy) {
        const size_t count = smaller(block, tokens - done), pairs = count * l->chosen;
        for (size_t t = 0; t < count; t += gates)
            choose(l, s, &w, x + t * ldx, ldx, t, smaller(gates, count - t));
        ffl_experts_sort(w.expert, pairs, l->experts, w.order, w.spare);
        const ffl_experts_batch batch = {.layer = l,
                                         .x = x,
                                         .y = y,
                                         .ldx = ldx,
                                         .ldy = ldy,
                                         .expert = w.expert,
                                         .share = l->chosen > 1 ? w.share : NULL};
        ffl_experts_avx512_run(s->wide, &batch, w.order, pairs, w.experts);
    }
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, ffl_experts_grain(plan->layer), part, x, ldx, y, ldy, tokens);
}

FFL_VARIANTS(moe_grouped_avx512) = {
    {.name = "moe_grouped_avx512",
     .source = "this lab",
     .summary = "gates as a tiled product, then tiles of the tokens of each expert, AVX-512",
     .operation = FFL_MOE,
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
