/*
 * Leaf FFF with BLAS level 3. The tokens descend depth first, a step of some levels at a time: those of a
 * subtree are gathered and multiplied by its gates at once, follow their paths inside it, and are sorted by
 * where they leave it. So they end in the order of their leaves, each of which takes its tokens through two
 * matrix products (kernels/experts_blas.h). Tokens that are left alone walk on, one dot product per level.
 */
#include "kernels/experts_blas.h"
#include "kernels/memory.h"
#include <string.h>

enum { STEP_LEVELS = 3, STEP_ROWS = 7, STEP_WAYS = 8, CHUNK = 128, FEW = 2 };

typedef struct state {
    ffl_blas *blas;
    size_t steps, first_level[FFL_LEVELS_MAX], levels[FFL_LEVELS_MAX];
    size_t packed[FFL_LEVELS_MAX]; /* row where a step's first subtree begins */
    float *w, *b;                  /* owned: gates as [step][subtree][2^levels - 1] in heap order */
} state;

typedef struct work {
    float *rows;   /* of ffl_experts_blas_run; before, [CHUNK + 1][width_in] gathered inputs */
    float *logits; /* [CHUNK][STEP_ROWS] */
    uint32_t *leaf, *order, *spare; /* [tokens]; order is by leaf in the end */
    uint8_t *way;                   /* [tokens] */
} work;

typedef struct batch {
    const ffl_layer *l;
    const state *s;
    const float *x;
    size_t ldx;
    work w;
} batch;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t carve(const ffl_layer *l, size_t max_tokens, char *base, work *w)
{
    const size_t rows = (smaller(CHUNK, max_tokens) + 1) * l->width_in;
    const size_t experts = ffl_experts_blas_floats(l, max_tokens);
    size_t used = 0;
#define CARVE(field, count) (w->field = (void *)(base + used), used += (count) * sizeof *w->field)
    CARVE(rows, rows > experts ? rows : experts);
    CARVE(logits, (CHUNK + 1) * STEP_ROWS);
    CARVE(leaf, max_tokens);
    CARVE(order, max_tokens);
    CARVE(spare, max_tokens);
    CARVE(way, max_tokens);
#undef CARVE
    return used;
}

/* ---- Packing ---- */

/* The short step comes first: it takes all tokens. */
static void plan_steps(state *s, size_t levels)
{
    for (size_t level = 0, row = 0; level < levels; s->steps++) {
        const size_t rest = (levels - level) % STEP_LEVELS, take = rest ? rest : STEP_LEVELS;
        s->first_level[s->steps] = level;
        s->levels[s->steps] = take;
        s->packed[s->steps] = row;
        row += (((size_t)1 << take) - 1) << level;
        level += take;
    }
}

static void pack(const ffl_layer *l, const state *s)
{
    size_t to = 0;
    for (size_t i = 0; i < s->steps; i++)
        for (size_t subtree = 0; subtree < (size_t)1 << s->first_level[i]; subtree++)
            for (size_t level = 0; level < s->levels[i]; level++)
                for (size_t k = 0; k < (size_t)1 << level; k++, to++) {
                    const size_t node =
                        ((size_t)1 << (s->first_level[i] + level)) - 1 + (subtree << level) + k;
                    memcpy(s->w + to * l->width_in, l->w_gate + node * l->width_in,
                           l->width_in * sizeof *s->w);
                    s->b[to] = l->b_gate[node];
                }
}

static void release(ffl_plan *plan)
{
    state *s = plan->state;
    ffl_free(s->w);
    ffl_free(s);
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    FFL_TRY(ffl_blas_prepare(layer, machine, plan));
    state *s = ffl_alloc(sizeof *s);
    if (!s)
        return FFL_NO_MEMORY;
    s->blas = plan->state;
    plan_steps(s, layer->levels);
    const size_t floats = layer->gates * (layer->width_in + 1);
    s->w = ffl_alloc_array(floats + layer->width_in, sizeof *s->w); /* BLIS 0.9 may load a row beyond */
    if (!s->w) {
        ffl_free(s);
        return FFL_NO_MEMORY;
    }
    s->b = s->w + layer->gates * layer->width_in;
    pack(layer, s);
    plan->state = s;
    plan->packed_bytes = floats * sizeof *s->w;
    work unused;
    plan->scratch_bytes = carve(layer, plan->max_tokens, NULL, &unused);
    return FFL_OK;
}

/* ---- Descent ---- */

static void walk(const batch *b, uint32_t token, size_t node)
{
    const ffl_layer *l = b->l;
    const float *x = b->x + token * b->ldx;
    while (node < l->gates) {
        const float z =
            b->s->blas->sdot((int)l->width_in, x, 1, l->w_gate + node * l->width_in, 1) + l->b_gate[node];
        node = 2 * node + 1 + (z > 0.0f);
    }
    b->w.leaf[token] = (uint32_t)(node - l->gates);
}

/* way[i]: by which child the i-th of these tokens leaves the subtree. */
static void multiply(const batch *b, size_t step, size_t subtree, const uint32_t *order, size_t count,
                     uint8_t *way)
{
    const ffl_layer *l = b->l;
    const size_t rows = ((size_t)1 << b->s->levels[step]) - 1, row = b->s->packed[step] + subtree * rows;
    const float *bias = b->s->b + row;
    for (size_t from = 0; from < count; from += CHUNK) {
        const size_t some = smaller(CHUNK, count - from);
        for (size_t i = 0; i < some; i++)
            memcpy(b->w.rows + i * l->width_in, b->x + order[from + i] * b->ldx, l->width_in * sizeof *b->x);
        ffl_blas_multiply_in(b->s->blas, b->w.rows, l->width_in, some, b->s->w + row * l->width_in,
                             l->width_in, rows, b->w.logits, rows);
        for (size_t i = 0; i < some; i++) {
            size_t node = 0;
            while (node < rows)
                node = 2 * node + 1 + (b->w.logits[i * rows + node] + bias[node] > 0.0f);
            way[from + i] = (uint8_t)(node - rows);
        }
    }
}

/* order [first, end): tokens of one subtree; leaves them in the order of their leaves. */
static void descend(const batch *b, size_t step, size_t subtree, size_t first, size_t end)
{
    uint32_t *order = b->w.order + first;
    const size_t count = end - first;
    if (step == b->s->steps) {
        for (size_t i = 0; i < count; i++)
            b->w.leaf[order[i]] = (uint32_t)subtree;
        return;
    }
    if (count <= FEW) {
        for (size_t i = 0; i < count; i++)
            walk(b, order[i], ((size_t)1 << b->s->first_level[step]) - 1 + subtree);
        if (count == 2 && b->w.leaf[order[0]] > b->w.leaf[order[1]]) {
            const uint32_t second = order[0];
            order[0] = order[1], order[1] = second;
        }
        return;
    }
    uint8_t *way = b->w.way + first;
    multiply(b, step, subtree, order, count, way);
    const size_t ways = (size_t)1 << b->s->levels[step];
    size_t start[STEP_WAYS + 1] = {0}, at[STEP_WAYS];
    for (size_t i = 0; i < count; i++)
        start[way[i] + 1]++;
    for (size_t i = 0; i < ways; i++)
        at[i] = start[i], start[i + 1] += start[i];
    memcpy(b->w.spare, order, count * sizeof *order);
    for (size_t i = 0; i < count; i++)
        order[at[way[i]]++] = b->w.spare[i];
    for (size_t i = 0; i < ways; i++)
        if (start[i + 1] > start[i])
            descend(b, step + 1, (subtree << b->s->levels[step]) + i, first + start[i], first + start[i + 1]);
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    batch b = {.l = l, .s = plan->state, .x = x, .ldx = ldx};
    carve(l, plan->max_tokens, exec->scratch, &b.w);
    ffl_blas_use(b.s->blas, 1);
    for (size_t t = 0; t < tokens; t++)
        b.w.order[t] = (uint32_t)t;
    descend(&b, 0, 0, 0, tokens);
    const ffl_experts_blas experts = {.layer = l,
                                      .blas = b.s->blas,
                                      .x = x,
                                      .y = y,
                                      .ldx = ldx,
                                      .ldy = ldy,
                                      .expert = b.w.leaf,
                                      .scratch = b.w.rows};
    ffl_experts_blas_run(&experts, b.w.order, tokens);
    return FFL_OK;
}

static bool supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    return ffl_blas_supports(shape, tokens, why) && ffl_experts_supports(shape, tokens, why);
}

#define ROW(provider, provider_name)                                                                         \
    {                                                                                                        \
        .name = "fff_leaf_blas3_" provider_name, .source = "arXiv:2308.14711, inference",                    \
        .summary = "tokens grouped by subtree, products of its gates; two products per leaf",                \
        .operation = FFL_FFF_LEAF, .place = FFL_HOST, .family = FFL_BLAS3, .isa = FFL_ISA_BASE,              \
        .library = provider, .contract = FFL_CONTRACT_F32, .supports = supports, .prepare = prepare,         \
        .run = run, .release = release                                                                       \
    }

FFL_VARIANTS(fff_leaf_blas3) = {
    ROW(FFL_OPENBLAS, "openblas"),
    ROW(FFL_BLIS, "blis"),
    ROW(FFL_CBLAS, "cblas"),
    {0},
};
