/*
 * A mixture of experts with BLAS level 3: all gates of a block of tokens in one matrix product, the choice,
 * then expert by expert its tokens through two matrix products (kernels/experts_blas.h).
 */
#include "kernels/experts_blas.h"
#include "kernels/memory.h"
#include "kernels/simd/choose.h"

/* Gates of a block: at most 2 MB, unless one token has more. */
enum { GATES_MAX = 1 << 19, GATE_TOKENS = 1024 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t gate_block(const ffl_layer *l, size_t max_tokens)
{
    const size_t fit = GATES_MAX / l->experts;
    return smaller(smaller(GATE_TOKENS, max_tokens), fit > 0 ? fit : 1);
}

typedef struct work {
    float *gate;   /* [gate_block][experts] */
    float *rows;   /* of ffl_experts_blas_run */
    float *share;  /* [block][chosen], as all below */
    int32_t *keys; /* of ffl_choose */
    uint32_t *expert, *order, *spare;
} work;

static size_t carve(const ffl_layer *l, size_t max_tokens, char *base, work *w)
{
    const size_t pairs = ffl_experts_block(l, max_tokens) * l->chosen;
    size_t used = 0;
#define CARVE(field, count) (w->field = (void *)(base + used), used += (count) * sizeof *w->field)
    CARVE(gate, (gate_block(l, max_tokens) + 1) * l->experts);
    CARVE(rows, ffl_experts_blas_floats(l, max_tokens));
    CARVE(share, pairs);
    CARVE(keys, ffl_choice_keys(l->experts));
    CARVE(expert, pairs);
    CARVE(order, pairs);
    CARVE(spare, pairs);
#undef CARVE
    return used;
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    work unused;
    plan->scratch_bytes = carve(layer, plan->max_tokens, NULL, &unused);
    return ffl_blas_prepare(layer, machine, plan);
}

static void choose(const ffl_layer *l, const ffl_blas *blas, const float *x, size_t ldx, size_t tokens,
                   const work *w, size_t first)
{
    ffl_experts_blas_gates(blas, x, ldx, tokens, l->w_gate, l->width_in, l->experts, w->gate);
    for (size_t t = 0; t < tokens; t++) {
        float *gate = w->gate + t * l->experts;
        for (size_t e = 0; e < l->experts; e++)
            gate[e] += l->b_gate[e];
        ffl_choose(gate, l->experts, l->chosen, w->keys, w->expert + (first + t) * l->chosen,
                   w->share + (first + t) * l->chosen);
    }
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    ffl_blas *blas = plan->state;
    work w;
    carve(l, plan->max_tokens, exec->scratch, &w);
    ffl_blas_use(blas, 1);
    const size_t block = ffl_experts_block(l, plan->max_tokens), gates = gate_block(l, plan->max_tokens);
    for (size_t done = 0; done < tokens; done += block, x += block * ldx, y += block * ldy) {
        const size_t count = smaller(block, tokens - done), pairs = count * l->chosen;
        for (size_t t = 0; t < count; t += gates)
            choose(l, blas, x + t * ldx, ldx, smaller(gates, count - t), &w, t);
        ffl_experts_sort(w.expert, pairs, l->experts, w.order, w.spare);
        const ffl_experts_blas experts = {.layer = l,
                                          .blas = blas,
                                          .x = x,
                                          .y = y,
                                          .ldx = ldx,
                                          .ldy = ldy,
                                          .expert = w.expert,
                                          .share = l->chosen > 1 ? w.share : NULL,
                                          .scratch = w.rows};
        ffl_experts_blas_run(&experts, w.order, pairs);
    }
    return FFL_OK;
}

static bool supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    return ffl_blas_supports(shape, tokens, why) && ffl_experts_supports(shape, tokens, why);
}

/* BLIS 0.9 may load, and not use, up to a row after the last one of an operand: see ff_blas3.c. */
enum { BLIS_OVER_READ = FFL_OVER_READ_MAX };

#define ROW(provider, provider_name, over_read)                                                              \
    {                                                                                                        \
        .name = "moe_blas3_" provider_name, .source = "arXiv:1701.06538, without noise",                     \
        .summary = "gates in one product, then two products per expert over its gathered tokens",            \
        .operation = FFL_MOE, .place = FFL_HOST, .family = FFL_BLAS3, .isa = FFL_ISA_BASE,                   \
        .library = provider, .contract = FFL_CONTRACT_F32_READS(over_read), .supports = supports,            \
        .prepare = prepare, .run = run                                                                       \
    }

FFL_VARIANTS(moe_blas3) = {
    ROW(FFL_OPENBLAS, "openblas", 0),
    ROW(FFL_BLIS, "blis", BLIS_OVER_READ),
    ROW(FFL_CBLAS, "cblas", 0),
    {0},
};
