/*
 * FFF for many shallow trees, a block of tokens at a time. Logits, tokens in lanes (simd/lanes_avx512.h):
 * levels 0 and 1 of all trees as a dense product, levels 2 to 6 by permutation from register tables; nothing
 * is sorted, gathered or added across lanes. Outputs: simd/bundles_avx512.h.
 *
 * Bound by the two ports that multiply, one of which also permutes: per 16 columns of a token a level costs
 * half a cycle per node in the dense product, a cycle from tables of up to 32, two from the table of 64; and
 * in small batches by reading all weights once.
 */
#include "kernels/memory.h"
#include "kernels/simd/bundles_avx512.h"
#include "kernels/simd/lanes_avx512.h"
#include "kernels/team.h"

enum {
    LANES = 16,
    PANEL = 24,   /* rows of a dense tile */
    LEVELS = 7,   /* the most that tables can do */
    TOKENS = 192, /* of a sub-block: x transposed takes 590 KB of L2 */
    COLUMNS = 64  /* per tile of a table: those of 4 trees then stay in L1 */
};

typedef struct packed {
    ffl_bundles bundles;
    size_t dense; /* levels in the dense product */
    size_t table; /* floats of one tree's tables */
    float *top;   /* dense levels: panels of at most PANEL rows, [width_in + 1][rows of the panel] */
    float
        *tables; /* [groups of trees]: levels 2 and 3, then each level alone, [width_in + 1][trees][slots] */
} packed;

/* What one thread keeps besides ffl_bundles_work. */
typedef struct work {
    ffl_bundles_work b;
    float *xt;  /* [TOKENS / 16][width_in + 1][16] */
    float *top; /* [rows of the dense levels][TOKENS] */
} work;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t round_up(size_t a, size_t b)
{
    return (a + b - 1) / b * b;
}

static size_t dense_rows(const ffl_layer *l, const packed *p)
{
    return l->trees * (((size_t)1 << p->dense) - 1);
}

static size_t lay_out(const ffl_layer *l, const packed *p, char *base, work *w)
{
    const size_t xt = TOKENS * (l->width_in + 1), top = round_up(dense_rows(l, p), 8) * TOKENS;
    const size_t bytes = ffl_bundles_lay_out(l, &p->bundles, (xt + top) * sizeof(float), base, &w->b);
    w->xt = (float *)w->b.more;
    w->top = base ? w->xt + xt : NULL;
    return bytes;
}

/* Rows of the panel that begins at `row`: 24, or at the end 16 or 8. */
static size_t panel_rows(const ffl_layer *l, const packed *p, size_t row)
{
    return smaller(PANEL, round_up(dense_rows(l, p) - row, 8));
}

/* Slots per column of the table that holds `level`, and where it starts in a tree's tables. */
static size_t table_slots(size_t level)
{
    return level < 4 ? 16 : (size_t)1 << level;
}

static size_t table_start(size_t level, size_t width_in)
{
    return level < 4 ? 0 : ((size_t)1 << level) * (width_in + 1);
}

#define CASE(trees, vectors)                                                                                 \
    case 8 * trees + vectors:                                                                                \
        if (slots == 16)                                                                                     \
            ffl_lanes_pick(16, trees, vectors, t, w);                                                        \
        else                                                                                                 \
            ffl_lanes_pick(32, trees, vectors, t, w);                                                        \
        break;

static void pick_tile(size_t trees, size_t vectors, size_t slots, const ffl_lanes *t, const float *w)
{
    switch (8 * trees + vectors) {
        CASE(4, 1)
        CASE(4, 2)
        CASE(4, 3)
        CASE(2, 1)
        CASE(2, 2)
        CASE(2, 3)
        CASE(2, 4)
        CASE(2, 5)
        CASE(2, 6)
        CASE(1, 1)
        CASE(1, 2)
        CASE(1, 3)
        CASE(1, 4)
        CASE(1, 5)
        CASE(1, 6)
    default:
        break;
    }
}

static void pick_tile_64(size_t vectors, const ffl_lanes *t, const float *w)
{
    switch (vectors) {
    case 1:
        ffl_lanes_pick_64(1, t, w);
        break;
    case 2:
        ffl_lanes_pick_64(2, t, w);
        break;
    case 3:
        ffl_lanes_pick_64(3, t, w);
        break;
    case 4:
        ffl_lanes_pick_64(4, t, w);
        break;
    case 5:
        ffl_lanes_pick_64(5, t, w);
        break;
    default:
        ffl_lanes_pick_64(6, t, w);
        break;
    }
}

/* Levels 0 and 1 of all trees for `vectors` vectors that begin at token `first` of the block. */
static void multiply_top(const ffl_layer *l, const packed *p, const work *w, size_t first, size_t vectors)
{
    const size_t columns = l->width_in + 1, rows = dense_rows(l, p), nodes = rows / l->trees;
    for (size_t r = 0; r < rows; r += PANEL) {
        const size_t some = panel_rows(l, p, r);
        const float *panel = p->top + r * columns;
        for (size_t v = 0; v < vectors; v++) {
            const ffl_lanes t = {.xt = w->xt + v * columns * LANES,
                                 .columns = columns,
                                 .z = w->top + r * TOKENS + v * LANES,
                                 .ldz = TOKENS,
                                 .next = (const char *)(panel + (columns + columns * v / vectors) * some),
                                 .step = some * sizeof(float) / vectors};
            if (some == 24)
                ffl_lanes_dense(24, &t, panel);
            else if (some == 16)
                ffl_lanes_dense(16, &t, panel);
            else
                ffl_lanes_dense(8, &t, panel);
        }
    }
    for (size_t tree = 0; tree < l->trees; tree++) {
        const float *top = w->top + tree * nodes * TOKENS;
        float *z = w->b.z + tree * l->levels * p->bundles.block + first;
        uint32_t *h = w->b.h + tree * p->bundles.block + first;
        for (size_t i = 0; i < vectors * LANES; i += LANES) {
            const __m512 z0 = _mm512_load_ps(top + i);
            __mmask16 right = _mm512_cmp_ps_mask(z0, _mm512_setzero_ps(), _CMP_GT_OQ);
            __m512i node = _mm512_mask_set1_epi32(_mm512_set1_epi32(2), right, 3);
            _mm512_store_ps(z + i, z0);
            if (nodes > 1) {
                const __m512 z1 = _mm512_mask_blend_ps(right, _mm512_load_ps(top + TOKENS + i),
                                                       _mm512_load_ps(top + 2 * TOKENS + i));
                right = _mm512_cmp_ps_mask(z1, _mm512_setzero_ps(), _CMP_GT_OQ);
                node = _mm512_add_epi32(node, node);
                node = _mm512_mask_add_epi32(node, right, node, _mm512_set1_epi32(1));
                _mm512_store_ps(z + p->bundles.block + i, z1);
            }
            _mm512_store_si512(h + i, node);
        }
    }
}

/* Trees of the group that begins at `tree`: their tables lie interleaved. */
static size_t group_trees(const ffl_layer *l, size_t tree)
{
    return l->trees - tree >= 4 ? 4 : l->trees - tree >= 2 ? 2 : 1;
}

/* One level of `trees` trees, from tree `tree` on. */
static void pick_level(const ffl_layer *l, const packed *p, const work *w, const float *table, size_t tree,
                       size_t trees, size_t level, size_t first, size_t vectors)
{
    const size_t columns = l->width_in + 1, slots = table_slots(level);
    const size_t together = slots == 64 || trees < 4 ? 6 : 3;
    float *z = w->b.z + (tree * l->levels + level) * p->bundles.block + first;
    uint32_t *h = w->b.h + tree * p->bundles.block + first;
    const size_t chunks = (columns + COLUMNS / 2) / COLUMNS ? (columns + COLUMNS / 2) / COLUMNS : 1;
    const size_t floats =
        columns * slots * trees; /* of this table; as many of the next are fetched meanwhile */
    for (size_t c = 0, k = 0, end; c < chunks; c++, k = end) {
        end = columns * (c + 1) / chunks;
        for (size_t v = 0; v < vectors; v += together) {
            const size_t some = smaller(vectors - v, together);
            const ffl_lanes t = {.xt = w->xt + (v * columns + k) * LANES,
                                 .panel = columns * LANES,
                                 .columns = end - k,
                                 .z = z + v * LANES,
                                 .ldz = l->levels * p->bundles.block,
                                 .h = h + v * LANES,
                                 .ldh = p->bundles.block,
                                 .add = k > 0,
                                 .next = (const char *)(table + floats + k * slots * trees +
                                                        (end - k) * slots * trees * v / vectors),
                                 .step = slots * trees * sizeof(float) * some / vectors};
            if (slots == 64)
                pick_tile_64(some, &t, table + k * slots);
            else
                pick_tile(trees, some, slots, &t, table + k * slots * trees);
        }
    }
    for (size_t t = 0; t < trees; t++, z += l->levels * p->bundles.block, h += p->bundles.block)
        for (size_t i = 0; i < vectors * LANES; i += LANES) {
            const __mmask16 right =
                _mm512_cmp_ps_mask(_mm512_load_ps(z + i), _mm512_setzero_ps(), _CMP_GT_OQ);
            __m512i node = _mm512_load_si512(h + i);
            node = _mm512_add_epi32(node, node);
            node = _mm512_mask_add_epi32(node, right, node, _mm512_set1_epi32(1));
            _mm512_store_si512(h + i, node);
        }
}

static void logits(const ffl_layer *l, const packed *p, const work *w, const float *x, size_t ldx,
                   size_t tokens)
{
    for (size_t first = 0; first < tokens; first += TOKENS) {
        const size_t some = smaller(TOKENS, tokens - first), vectors = (some + LANES - 1) / LANES;
        for (size_t v = 0; v < vectors; v++)
            ffl_transpose_rows_avx512(x + (first + v * LANES) * ldx, ldx, smaller(LANES, some - v * LANES),
                                      l->width_in, w->xt + v * (l->width_in + 1) * LANES);
        multiply_top(l, p, w, first, vectors);
        for (size_t tree = 0, trees; tree < l->trees; tree += trees) {
            trees = group_trees(l, tree);
            for (size_t level = p->dense; level < l->levels; level++) {
                const float *table = p->tables + tree * p->table + trees * table_start(level, l->width_in);
                const size_t together = level < 6 ? trees : 1; /* tables of 64: tree by tree */
                for (size_t t = 0; t < trees; t += together)
                    pick_level(l, p, w, table + t * table_slots(level) * (l->width_in + 1), tree + t,
                               together, level, first, vectors);
            }
        }
    }
}

static void part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                 size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const packed *p = plan->state;
    const size_t blocks = (tokens + p->bundles.block - 1) / p->bundles.block;
    work w;
    lay_out(l, p, scratch, &w);
    for (size_t b = 0, first = 0; b < blocks; b++) {
        const size_t end = tokens * (b + 1) / blocks;
        logits(l, p, &w, x + first * ldx, ldx, end - first);
        ffl_bundles_outputs(l, &p->bundles, &w.b, y + first * ldy, ldy, end - first);
        first = end;
    }
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, 96, part, x, ldx, y, ldy, tokens);
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *z)
{
    const ffl_layer *l = plan->layer;
    const packed *p = plan->state;
    work w;
    lay_out(l, p, exec->scratch, &w);
    for (size_t first = 0; first < tokens; first += p->bundles.block) {
        const size_t some = smaller(p->bundles.block, tokens - first);
        logits(l, p, &w, x + first * ldx, ldx, some);
        ffl_bundles_trace(l, &p->bundles, &w.b, some, &nodes, &z);
    }
    return FFL_OK;
}

static void release(ffl_plan *plan)
{
    packed *p = plan->state;
    ffl_free(p->top);
    ffl_free(p->tables);
    ffl_free(p->bundles.out);
    ffl_free(p);
}

/* The weights and biases of one level of tree `tree` + t, which is one of a group. */
static void pack_level(const ffl_layer *l, float *table, size_t tree, size_t t, size_t trees, size_t level)
{
    const size_t slots = table_slots(level), nodes = (size_t)1 << level;
    const size_t step = level < 6 ? slots * trees : slots;
    float *to = table + t * (level < 6 ? slots : slots * (l->width_in + 1));
    for (size_t n = 0; n < nodes; n++) {
        const size_t row = (tree + t) * l->nodes + nodes - 1 + n, slot = (nodes + n) & (slots - 1);
        for (size_t k = 0; k < l->width_in; k++)
            to[k * step + slot] = l->w_in[row * l->width_in + k];
        to[l->width_in * step + slot] = l->b_in[row];
    }
}

/* Slots without a node stay zero, as ffl_alloc made them. */
static void pack(const ffl_layer *l, packed *p)
{
    const size_t columns = l->width_in + 1, top = ((size_t)1 << p->dense) - 1;
    for (size_t n = 0; n < dense_rows(l, p); n++) {
        const size_t row = n / top * l->nodes + n % top, first = n / PANEL * PANEL;
        const size_t step = panel_rows(l, p, first);
        float *to = p->top + first * columns + (n - first);
        for (size_t k = 0; k < l->width_in; k++)
            to[k * step] = l->w_in[row * l->width_in + k];
        to[l->width_in * step] = l->b_in[row];
    }
    for (size_t tree = 0, trees; tree < l->trees; tree += trees) {
        trees = group_trees(l, tree);
        for (size_t level = p->dense; level < l->levels; level++) {
            float *table = p->tables + tree * p->table + trees * table_start(level, l->width_in);
            for (size_t t = 0; t < trees; t++)
                pack_level(l, table, tree, t, trees, level);
        }
    }
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    const size_t levels = layer->levels, columns = layer->width_in + 1;
    (void)machine;
    packed *p = plan->state = ffl_alloc(sizeof *p);
    if (!p)
        return FFL_NO_MEMORY;
    p->dense = smaller(levels, 2);
    if (levels > p->dense)
        p->table = table_start(levels - 1, layer->width_in) + table_slots(levels - 1) * columns;
    const size_t top = round_up(dense_rows(layer, p), 8) * columns, tables = layer->trees * p->table;
    p->top = ffl_alloc_array(top, sizeof(float));
    p->tables = ffl_alloc_array(tables, sizeof(float));
    if (!p->top || !p->tables ||
        ffl_bundles_prepare(layer, 768, plan->max_tokens, &p->bundles, &plan->packed_bytes)) {
        release(plan);
        return FFL_NO_MEMORY;
    }
    pack(layer, p);
    plan->packed_bytes += (top + tables) * sizeof(float);
    work w;
    ffl_team_scratch(plan, lay_out(layer, p, NULL, &w));
    return FFL_OK;
}

static bool supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    (void)tokens;
    *why = "tables serve trees of up to 7 levels";
    return shape->levels <= LEVELS;
}

FFL_VARIANTS(fff_lanes_avx512) = {
    {.name = "fff_lanes_avx512",
     .source = "this lab",
     .summary = "tokens in lanes, levels from register tables, outputs by shared path, AVX-512",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = FFL_CONTRACT_F32_ROWS,
     .supports = supports,
     .prepare = prepare,
     .run = run,
     .release = release,
     .trace = trace},
    {0},
};
