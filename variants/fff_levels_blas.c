/*
 * FFF level by level over the batch, tokens grouped by the subtree they have reached, with BLAS level 2 or
 * 3. A step descends some levels: each group's inputs are gathered and multiplied by the rows of its
 * subtree at once, the path inside the subtree is selected, and the group is split by where it leaves.
 * After the last step the tokens stand in leaf order, in which every group of every step is contiguous: the
 * outputs are summed in that order, a cache-sized chunk at a time, and written back once.
 *
 *   level 3   three levels (7 nodes, packed next to each other) a step: matrix products
 *   level 2   one level a step: gemv for the logits of a node's tokens, ger for their outputs
 *
 * Groups shrink as the tree widens: it pays when the batch is large against the number of leaves.
 */
#include "kernels/blas_products.h"
#include "kernels/gelu.h"
#include "kernels/memory.h"
#include <string.h>

/* A chunk's gathered inputs or outputs, 393 KB at width 768, stay in an L2 cache. */
enum { BLOCK_TOKENS = 16384, CHUNK_TOKENS = 128, STEP_LEVELS = 3, STEP_ROWS = 7, STEP_WAYS = 8 };

typedef struct step {
    size_t first_level, levels;
    size_t rows;   /* 2^levels - 1 nodes of one subtree, in heap order */
    size_t packed; /* row of a tree where the step's first subtree begins */
} step;

typedef struct state {
    ffl_blas *blas;
    step steps[FFL_LEVELS_MAX];
    size_t step_count;
    const float *w_in, *b_in, *w_out; /* rows in the order of the steps' subtrees */
    float *own;                       /* what of it was packed here, NULL with one level a step */
} state;

/* Scratch, carved up for one run. Arrays by token keep their place; those by position follow the order. */
typedef struct work {
    float *rows;      /* [CHUNK_TOKENS][widest row] gathered inputs or outputs */
    float *small;     /* [CHUNK_TOKENS][STEP_ROWS] logits, or gathered activations */
    float *hidden;    /* [step][token][rows of the step] activations on the path, zeros off it */
    int32_t *order;   /* [position] token */
    int32_t *subtree; /* [position] subtree of the step being taken; after the last, the leaf's child */
    int32_t *spare;   /* [position] */
    uint8_t *exit;    /* [position] by which child the subtree is left */
} work;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t widest(const ffl_layer *l)
{
    return l->width_in > l->width_out ? l->width_in : l->width_out;
}

static size_t carve(const ffl_layer *l, size_t tokens, char *base, work *w)
{
    size_t used = 0;
#define CARVE(field, count) (w->field = (void *)(base + used), used += (count) * sizeof *w->field)
    CARVE(rows, CHUNK_TOKENS * widest(l));
    CARVE(small, CHUNK_TOKENS * STEP_ROWS);
    CARVE(hidden, tokens * STEP_ROWS * ((l->levels + STEP_LEVELS - 1) / STEP_LEVELS));
    CARVE(order, tokens);
    CARVE(subtree, tokens);
    CARVE(spare, tokens);
    CARVE(exit, tokens);
#undef CARVE
    return used;
}

/* ---- Packing ---- */

/* The short step comes first, where groups are large. */
static void plan_steps(state *s, size_t levels, size_t step_levels)
{
    size_t level = 0, packed = 0;
    while (level < levels) {
        const size_t rest = (levels - level) % step_levels, take = rest ? rest : step_levels;
        const size_t rows = ((size_t)1 << take) - 1;
        s->steps[s->step_count++] = (step){level, take, rows, packed};
        packed += rows << level;
        level += take;
    }
}

/* Node within the tree of row `local` of a step's subtree. */
static size_t node_of(const step *p, size_t subtree, size_t local)
{
    size_t level = 0;
    while (local + 1 >= (size_t)2 << level)
        level++;
    const size_t width = (size_t)1 << level;
    return ((width << p->first_level) - 1) + subtree * width + (local + 1 - width);
}

static void pack(const ffl_layer *l, const state *s, float *w_in, float *b_in, float *w_out)
{
    for (size_t tree = 0; tree < l->trees; tree++)
        for (size_t i = 0; i < s->step_count; i++) {
            const step *p = &s->steps[i];
            size_t to = tree * l->nodes + p->packed;
            for (size_t subtree = 0; subtree < (size_t)1 << p->first_level; subtree++)
                for (size_t local = 0; local < p->rows; local++, to++) {
                    const size_t from = tree * l->nodes + node_of(p, subtree, local);
                    memcpy(w_in + to * l->width_in, l->w_in + from * l->width_in, l->width_in * sizeof *w_in);
                    memcpy(w_out + to * l->width_out, l->w_out + from * l->width_out,
                           l->width_out * sizeof *w_out);
                    b_in[to] = l->b_in[from];
                }
        }
}

static ffl_status prepare(const ffl_layer *layer, ffl_plan *plan, size_t step_levels)
{
    FFL_TRY(ffl_blas_prepare(layer, NULL, plan));
    state *s = ffl_alloc(sizeof *s);
    if (!s)
        return FFL_NO_MEMORY;
    *s = (state){.blas = plan->state, .w_in = layer->w_in, .b_in = layer->b_in, .w_out = layer->w_out};
    plan_steps(s, layer->levels, step_levels);
    if (step_levels > 1) { /* one level a step is heap order: nothing to pack */
        const size_t floats = layer->neurons * (layer->width_in + layer->width_out + 1);
        s->own = ffl_alloc_array(floats + widest(layer), sizeof *s->own); /* a row to spare: see descend */
        if (!s->own) {
            ffl_free(s);
            return FFL_NO_MEMORY;
        }
        float *w_out = s->own + layer->neurons * layer->width_in,
              *b_in = w_out + layer->neurons * layer->width_out;
        pack(layer, s, s->own, b_in, w_out);
        s->w_in = s->own, s->w_out = w_out, s->b_in = b_in;
        plan->packed_bytes = floats * sizeof *s->own;
    }
    plan->state = s;
    work unused;
    plan->scratch_bytes = carve(layer, smaller(plan->max_tokens, BLOCK_TOKENS), NULL, &unused);
    return FFL_OK;
}

static ffl_status prepare_blas2(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    return prepare(layer, plan, 1);
}

static ffl_status prepare_blas3(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    return prepare(layer, plan, STEP_LEVELS);
}

static void release(ffl_plan *plan)
{
    state *s = plan->state;
    ffl_free(s->own);
    ffl_free(s);
}

/* ---- Products: with one row a step they are level 2 for any number of tokens ---- */

static void multiply_in(const ffl_blas *blas, const float *x, size_t ldx, const float *w, size_t width,
                        size_t rows, size_t tokens, float *logits)
{
    if (rows > 1) {
        ffl_blas_multiply_in(blas, x, ldx, tokens, w, width, rows, logits, rows);
        return;
    }
    memset(logits, 0, tokens * sizeof *logits); /* not every gemv leaves its result unread at beta = 0 */
    blas->sgemv(FFL_ROW_MAJOR, FFL_NO_TRANS, (int)tokens, (int)width, 1.0f, x, (int)ldx, w, 1, 1.0f, logits,
                1);
}

static void multiply_out(const ffl_blas *blas, const float *hidden, const float *w, size_t width, size_t rows,
                         size_t tokens, float *y)
{
    if (rows > 1)
        ffl_blas_multiply_out(blas, hidden, rows, tokens, w, width, rows, y, width);
    else
        blas->sger(FFL_ROW_MAJOR, (int)tokens, (int)width, 1.0f, hidden, 1, w, 1, y, (int)width);
}

/* ---- Descent ---- */

/* The path through one subtree: activations on it, zeros off it. Returns the child by which it is left. */
static uint8_t select_path(ffl_activation activation, const step *p, const float *logits, const float *bias,
                           float *hidden)
{
    size_t node = 0;
    memset(hidden, 0, p->rows * sizeof *hidden);
    for (size_t level = 0; level < p->levels; level++) {
        const float z = logits[node] + bias[node];
        hidden[node] = ffl_activate(activation, z);
        node = 2 * node + 1 + (z > 0.0f);
    }
    return (uint8_t)(node - p->rows);
}

/* Stable counting sort of the positions [first, end), all in one subtree, by the child they leave by. */
static void split(work *w, const step *p, size_t first, size_t end)
{
    size_t place[STEP_WAYS + 1] = {0};
    const int32_t subtree = w->subtree[first] << p->levels;
    for (size_t i = first; i < end; i++)
        place[w->exit[i] + 1]++;
    for (size_t way = 0; way < STEP_WAYS; way++)
        place[way + 1] += place[way];
    for (size_t way = 0; way < STEP_WAYS; way++)
        for (size_t i = place[way]; i < place[way + 1]; i++)
            w->subtree[first + i] = subtree + (int32_t)way;
    memcpy(w->spare, w->order + first, (end - first) * sizeof *w->spare);
    for (size_t i = first; i < end; i++)
        w->order[first + place[w->exit[i]]++] = w->spare[i - first];
}

static void descend(const ffl_layer *l, const state *s, const step *p, size_t tree_row, const float *x,
                    size_t ldx, size_t first, size_t end, float *hidden, work *w)
{
    const size_t row = tree_row + p->packed + (size_t)w->subtree[first] * p->rows;
    for (size_t from = first; from < end; from += CHUNK_TOKENS) {
        const size_t count = smaller(CHUNK_TOKENS, end - from);
        /* In the first step the order is still that of the tokens; but BLIS 0.9 sgemm may load a row beyond
         * its operands (github.com/flame/blis/issues/635), which the caller's rows must not suffer. */
        const bool in_place = count == 1 || (p->first_level == 0 && p->rows == 1);
        const float *inputs = in_place ? x + (size_t)w->order[from] * ldx : w->rows;
        for (size_t i = 0; i < count && !in_place; i++)
            memcpy(w->rows + i * l->width_in, x + (size_t)w->order[from + i] * ldx, l->width_in * sizeof *x);
        multiply_in(s->blas, inputs, in_place ? ldx : l->width_in, s->w_in + row * l->width_in, l->width_in,
                    p->rows, count, w->small);
        for (size_t i = 0; i < count; i++)
            w->exit[from + i] = select_path(l->activation, p, w->small + i * p->rows, s->b_in + row,
                                            hidden + (size_t)w->order[from + i] * p->rows);
    }
    split(w, p, first, end);
}

/* Positions from `first` on that were in one subtree when `shift` decisions were still to come. */
static size_t group_end(const work *w, size_t first, size_t end, size_t shift)
{
    size_t i = first + 1;
    while (i < end && w->subtree[i] >> shift == w->subtree[first] >> shift)
        i++;
    return i;
}

/* ---- Outputs ---- */

static void add_step(const ffl_layer *l, const state *s, const step *p, size_t tree_row, const float *hidden,
                     size_t first, size_t end, work *w)
{
    const size_t shift = l->levels - p->first_level;
    for (size_t a = first, b; a < end; a = b) {
        b = group_end(w, a, end, shift);
        for (size_t i = a; i < b; i++)
            memcpy(w->small + (i - a) * p->rows, hidden + (size_t)w->order[i] * p->rows,
                   p->rows * sizeof *hidden);
        const size_t row = tree_row + p->packed + (size_t)(w->subtree[a] >> shift) * p->rows;
        multiply_out(s->blas, w->small, s->w_out + row * l->width_out, l->width_out, p->rows, b - a,
                     w->rows + (a - first) * l->width_out);
    }
}

static void run_tree(const ffl_layer *l, const state *s, size_t tree, const float *x, size_t ldx, float *y,
                     size_t ldy, size_t tokens, work *w)
{
    const size_t tree_row = tree * l->nodes, bytes = l->width_out * sizeof *y;
    for (size_t i = 0; i < tokens; i++)
        w->order[i] = (int32_t)i;
    memset(w->subtree, 0, tokens * sizeof *w->subtree);
    float *hidden = w->hidden;
    for (size_t i = 0; i < s->step_count; hidden += tokens * s->steps[i++].rows)
        for (size_t a = 0, b; a < tokens; a = b) {
            b = group_end(w, a, tokens, 0);
            descend(l, s, &s->steps[i], tree_row, x, ldx, a, b, hidden, w);
        }
    for (size_t a = 0; a < tokens; a += CHUNK_TOKENS) {
        const size_t b = smaller(tokens, a + CHUNK_TOKENS);
        for (size_t i = a; i < b; i++) {
            if (tree)
                memcpy(w->rows + (i - a) * l->width_out, y + (size_t)w->order[i] * ldy, bytes);
            else
                memset(w->rows + (i - a) * l->width_out, 0, bytes);
        }
        hidden = w->hidden;
        for (size_t i = 0; i < s->step_count; hidden += tokens * s->steps[i++].rows)
            add_step(l, s, &s->steps[i], tree_row, hidden, a, b, w);
        for (size_t i = a; i < b; i++)
            memcpy(y + (size_t)w->order[i] * ldy, w->rows + (i - a) * l->width_out, bytes);
    }
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const state *s = plan->state;
    work w;
    carve(l, smaller(plan->max_tokens, BLOCK_TOKENS), exec->scratch, &w);
    ffl_blas_use(s->blas, 1);
    for (size_t done = 0; done < tokens;
         done += BLOCK_TOKENS, x += BLOCK_TOKENS * ldx, y += BLOCK_TOKENS * ldy)
        for (size_t tree = 0; tree < l->trees; tree++)
            run_tree(l, s, tree, x, ldx, y, ldy, smaller(BLOCK_TOKENS, tokens - done), &w);
    return FFL_OK;
}

#define ROW(variant_name, text, level, make, provider)                                                       \
    {                                                                                                        \
        .name = variant_name, .source = "arXiv:2311.10770, level-synchronous", .summary = text,              \
        .operation = FFL_FFF, .place = FFL_HOST, .family = level, .isa = FFL_ISA_BASE, .library = provider,  \
        .contract = FFL_CONTRACT_F32, .supports = ffl_blas_supports, .prepare = make, .run = run,            \
        .release = release                                                                                   \
    }
#define LEVEL2(provider, name)                                                                               \
    ROW("fff_levels_blas2_" name, "tokens grouped by node, gemv for logits, ger for outputs", FFL_BLAS2,     \
        prepare_blas2, provider)
#define LEVEL3(provider, name)                                                                               \
    ROW("fff_levels_blas3_" name, "tokens grouped by subtree of 7 nodes, matrix products", FFL_BLAS3,        \
        prepare_blas3, provider)

FFL_VARIANTS(fff_levels_blas) = {
    LEVEL2(FFL_OPENBLAS, "openblas"),
    LEVEL2(FFL_BLIS, "blis"),
    LEVEL2(FFL_CBLAS, "cblas"),
    LEVEL3(FFL_OPENBLAS, "openblas"),
    LEVEL3(FFL_BLIS, "blis"),
    LEVEL3(FFL_CBLAS, "cblas"),
    {0},
};
