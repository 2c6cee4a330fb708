/*
 * FFF for many trees and tokens, a block of tokens at a time, in three steps:
 *
 *   1. logits, tokens in lanes (simd/lanes_avx512.h): levels 0 and 1 of all trees as a dense product at the
 *      FMA rate; levels 2 to 6 by permutation from register tables; nothing is sorted or gathered.
 *   2. levels from 7 on, tree by tree: tokens sorted by their node of level 7, so that the rows of a subtree
 *      stay in L1 and L2 while its tokens pass.
 *   3. outputs, 64 columns at a time (simd/paths_avx512.h): tokens sorted by their node of level 5 at most,
 *      whose path stays in registers. Trees of up to three levels are taken several at once.
 *
 * Bound by the two ports that multiply: per 16 columns of a token a level costs one cycle in step 1 (half of
 * that in the upper two) and half a cycle in step 3; and in small batches by reading all weights once.
 */
#include "kernels/memory.h"
#include "kernels/simd/lanes_avx512.h"
#include "kernels/simd/paths_avx512.h"
#include "kernels/team.h"
#include <string.h>

enum {
    LANES = 16,
    PANEL = 8,       /* rows of a dense tile */
    LANE_LEVELS = 7, /* levels that step 1 can do */
    TOKENS = 192,    /* of a sub-block of step 1: x transposed takes 590 KB of L2 */
    COLUMNS = 64,    /* per tile of step 1: the tables of 4 trees then stay in L1 */
    SHARED = FFL_PATH_ROWS_MAX,
    KEYS_MAX = 128,
    RUNS_MAX = 32
};

/* One layer, packed. */
typedef struct packed {
    size_t lanes;  /* levels of step 1 */
    size_t dense;  /* of those, in the dense product */
    size_t bundle; /* trees taken together in step 3 */
    size_t shared; /* rows of a path that stay in registers there */
    size_t block;  /* tokens of a block */
    size_t table;  /* floats of one tree's tables */
    float *top;    /* [rows of the dense levels / PANEL][width_in + 1][PANEL] */
    float *tables; /* [trees]: per tree, levels 2 and 3, then each level alone: [width_in + 1][16 … 64] */
    float *out;    /* [width_out / 64][neurons][64] */
} packed;

/* What one thread keeps of a block; lies in its scratch. */
typedef struct work {
    float *xt;       /* [TOKENS / 16][width_in + 1][16] */
    float *z;        /* [trees][levels][block] */
    int32_t *h;      /* [trees][block]: where the tokens are, see simd/lanes_avx512.h */
    float *top;      /* [rows of the dense levels][TOKENS] */
    float *g;        /* [bundles][block][rows]: activations in the order of step 3 */
    uint32_t *token; /* [bundles][block] */
    uint32_t *leaf;  /* [bundles][block]: the last node on a token's path */
    uint32_t *start; /* [bundles][RUNS_MAX + 1] */
    float *y;        /* [block][64] */
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

/* Slots per column of the table that holds `level`, and where it starts in a tree's tables. */
static size_t table_slots(size_t level)
{
    return level < 4 ? 16 : (size_t)1 << level;
}

static size_t table_start(size_t level, size_t width_in)
{
    return level < 4 ? 0 : ((size_t)1 << level) * (width_in + 1);
}

static size_t bundles(const ffl_layer *l, const packed *p)
{
    return (l->trees + p->bundle - 1) / p->bundle;
}

/* Scratch: with a base of NULL only the size is wanted. */
static size_t lay_out(const ffl_layer *l, const packed *p, char *base, work *w)
{
    const size_t rows = p->bundle * l->levels, count = bundles(l, p);
    const size_t bytes[] = {
        TOKENS * (l->width_in + 1) * sizeof(float),
        l->trees * l->levels * p->block * sizeof(float),
        l->trees * p->block * sizeof(int32_t),
        round_up(dense_rows(l, p), PANEL) * TOKENS * sizeof(float),
        count * p->block * rows * sizeof(float),
        count * p->block * sizeof(uint32_t),
        count * p->block * sizeof(uint32_t),
        count * (RUNS_MAX + 1) * sizeof(uint32_t),
        p->block * FFL_PATH_COLUMNS * sizeof(float),
    };
    char *at[sizeof bytes / sizeof *bytes];
    size_t total = 0;
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        at[i] = base ? base + total : NULL;
        total += round_up(bytes[i], 64) + 64; /* not all at the same place of a page */
    }
    *w = (work){.xt = (float *)at[0],
                .z = (float *)at[1],
                .h = (int32_t *)at[2],
                .top = (float *)at[3],
                .g = (float *)at[4],
                .token = (uint32_t *)at[5],
                .leaf = (uint32_t *)at[6],
                .start = (uint32_t *)at[7],
                .y = (float *)at[8]};
    return total;
}

/* Step 1. The tiles by number of vectors. */
static void dense_tile(size_t vectors, const ffl_lanes *t, const float *w)
{
    if (vectors == 3)
        ffl_lanes_dense(3, t, w);
    else if (vectors == 2)
        ffl_lanes_dense(2, t, w);
    else
        ffl_lanes_dense(1, t, w);
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
        const float *panel = p->top + r * columns;
        for (size_t v = 0; v < vectors; v += 3) {
            const ffl_lanes t = {.xt = w->xt + v * columns * LANES,
                                 .panel = columns * LANES,
                                 .columns = columns,
                                 .z = w->top + r * TOKENS + v * LANES,
                                 .ldz = TOKENS,
                                 .next = (const char *)(panel + columns * PANEL),
                                 .step = PANEL * sizeof(float)};
            dense_tile(smaller(vectors - v, 3), &t, panel);
        }
    }
    for (size_t tree = 0; tree < l->trees; tree++) {
        const float *top = w->top + tree * nodes * TOKENS;
        float *z = w->z + tree * l->levels * p->block + first;
        int32_t *h = w->h + tree * p->block + first;
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
                _mm512_store_ps(z + p->block + i, z1);
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
    float *z = w->z + (tree * l->levels + level) * p->block + first;
    int32_t *h = w->h + tree * p->block + first;
    for (size_t k = 0; k < columns; k += COLUMNS) {
        const size_t some = smaller(COLUMNS, columns - k);
        for (size_t v = 0; v < vectors; v += together) {
            const ffl_lanes t = {.xt = w->xt + (v * columns + k) * LANES,
                                 .panel = columns * LANES,
                                 .columns = some,
                                 .z = z + v * LANES,
                                 .ldz = l->levels * p->block,
                                 .h = h + v * LANES,
                                 .ldh = p->block,
                                 .add = k > 0,
                                 .next = (const char *)(table + (k + some) * slots * trees)};
            if (slots == 64)
                pick_tile_64(smaller(vectors - v, together), &t, table + k * slots);
            else
                pick_tile(trees, smaller(vectors - v, together), slots, &t, table + k * slots * trees);
        }
    }
    for (size_t t = 0; t < trees; t++, z += l->levels * p->block, h += p->block)
        for (size_t i = 0; i < vectors * LANES; i += LANES) {
            const __mmask16 right =
                _mm512_cmp_ps_mask(_mm512_load_ps(z + i), _mm512_setzero_ps(), _CMP_GT_OQ);
            __m512i node = _mm512_load_si512(h + i);
            node = _mm512_add_epi32(node, node);
            node = _mm512_mask_add_epi32(node, right, node, _mm512_set1_epi32(1));
            _mm512_store_si512(h + i, node);
        }
}

static void upper_levels(const ffl_layer *l, const packed *p, const work *w, const float *x, size_t ldx,
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
            for (size_t level = p->dense; level < p->lanes; level++) {
                const float *table = p->tables + tree * p->table + trees * table_start(level, l->width_in);
                const size_t together = level < 6 ? trees : 1; /* tables of 64: tree by tree */
                for (size_t t = 0; t < trees; t += together)
                    pick_level(l, p, w, table + t * table_slots(level) * (l->width_in + 1), tree + t,
                               together, level, first, vectors);
            }
        }
    }
}

/* Counting sort of the block's tokens; start has keys + 1 entries. */
static void sort(const uint8_t *key, size_t tokens, size_t keys, uint32_t *start, uint32_t *order)
{
    uint32_t at[KEYS_MAX + 1] = {0};
    for (size_t i = 0; i < tokens; i++)
        at[key[i] + 1]++;
    for (size_t k = 0; k < keys; k++)
        at[k + 1] += at[k];
    memcpy(start, at, (keys + 1) * sizeof *start);
    for (size_t i = 0; i < tokens; i++)
        order[at[key[i]]++] = (uint32_t)i;
}

/* Step 2 for one tree: the tokens in `order`, which is by their nodes h. */
static void lower_levels(const ffl_layer *l, const packed *p, const work *w, size_t tree, const float *x,
                         size_t ldx, const uint32_t *order, size_t tokens)
{
    float *z = w->z + tree * l->levels * p->block;
    int32_t *h = w->h + tree * p->block;
    for (size_t i = 0; i < tokens; i++) {
        const size_t t = order[i];
        size_t node = (size_t)h[t] - 1;
        for (size_t level = p->lanes; level < l->levels; level++) {
            const size_t row = tree * l->nodes + node;
            const float sum =
                ffl_dot_avx512(x + t * ldx, l->w_in + row * l->width_in, l->width_in) + l->b_in[row];
            z[level * p->block + t] = sum;
            node = 2 * node + 1 + (sum > 0.0f);
        }
        h[t] = (int32_t)node + 1;
    }
}

/* Orders the tokens of a bundle for step 3 and lays out their activations. */
static void order_bundle(const ffl_layer *l, const packed *p, const work *w, size_t bundle, const float *x,
                         size_t ldx, size_t tokens, uint8_t *key)
{
    const size_t tree = bundle * p->bundle, trees = smaller(p->bundle, l->trees - tree);
    const size_t rows = trees * l->levels;
    uint32_t *order = w->token + bundle * p->block, *leaf = w->leaf + bundle * p->block;
    uint32_t *start = w->start + bundle * (RUNS_MAX + 1);
    float *g = w->g + bundle * p->block * p->bundle * l->levels;
    const float *z = w->z + tree * l->levels * p->block;
    const int32_t *h = w->h + tree * p->block;
    memset(key, 0, tokens);
    if (l->levels > p->lanes) {
        uint32_t begin[KEYS_MAX + 1];
        for (size_t i = 0; i < tokens; i++)
            key[i] = (uint8_t)(h[i] - KEYS_MAX);
        sort(key, tokens, KEYS_MAX, begin, order);
        for (size_t k = 0; k <= RUNS_MAX; k++)
            start[k] = begin[k * (KEYS_MAX / RUNS_MAX)];
        lower_levels(l, p, w, tree, x, ldx, order, tokens);
        for (size_t i = 0; i < tokens; i++)
            leaf[i] = (uint32_t)(h[order[i]] >> 1) - 1;
    } else {
        const size_t bits = p->shared / p->bundle - 1, below = l->levels - bits;
        for (size_t t = 0; t < trees; t++)
            for (size_t i = 0; i < tokens; i++)
                key[i] = (uint8_t)(key[i] | (((size_t)h[t * p->block + i] >> below) - ((size_t)1 << bits))
                                                << (t * bits));
        sort(key, tokens, (size_t)1 << (trees * bits), start, order);
        if (p->shared < rows)
            for (size_t i = 0; i < tokens; i++)
                leaf[i] = (uint32_t)(h[order[i]] >> 1) - 1;
    }
    for (size_t i = 0; i < tokens; i++)
        for (size_t r = 0; r < rows; r++)
            g[i * rows + r] = z[r * p->block + order[i]];
    ffl_activate_avx512(l->activation, g, tokens * rows);
}

static void path_run(size_t rows, const ffl_path_run *run)
{
    switch (rows) {
    case 1:
        ffl_path_outputs(1, false, run);
        break;
    case 2:
        ffl_path_outputs(2, false, run);
        break;
    case 3:
        ffl_path_outputs(3, false, run);
        break;
    case 4:
        ffl_path_outputs(4, false, run);
        break;
    case 5:
        ffl_path_outputs(5, false, run);
        break;
    default:
        if (run->deep)
            ffl_path_outputs(6, true, run);
        else
            ffl_path_outputs(6, false, run);
        break;
    }
}

/* Step 3 for one bundle and one block of columns. */
static void add_bundle(const ffl_layer *l, const packed *p, const work *w, size_t bundle, const float *out)
{
    const size_t tree = bundle * p->bundle, trees = smaller(p->bundle, l->trees - tree);
    const size_t rows = trees * l->levels, shared = smaller(p->shared, rows);
    const size_t levels = shared / trees, bits = levels - 1, runs = (size_t)1 << (trees * bits);
    const uint32_t *start = w->start + bundle * (RUNS_MAX + 1);
    const float *row[SHARED];
    ffl_path_run run = {.w = row, .ldg = rows, .y = w->y, .deep = rows - shared};
    run.tree = out + tree * l->nodes * FFL_PATH_COLUMNS;
    for (size_t k = 0; k < runs; k++) {
        const size_t at = bundle * p->block + start[k];
        for (size_t t = 0; t < trees; t++) {
            const size_t leaf = (k >> (t * bits) & (((size_t)1 << bits) - 1)) + ((size_t)1 << bits);
            for (size_t level = 0; level < levels; level++)
                row[t * levels + level] =
                    run.tree + (t * l->nodes + (leaf >> (bits - level)) - 1) * FFL_PATH_COLUMNS;
        }
        run.count = start[k + 1] - start[k];
        run.g = w->g + bundle * p->block * p->bundle * l->levels + start[k] * rows;
        run.token = w->token + at;
        run.leaf = w->leaf + at;
        if (run.count)
            path_run(shared, &run);
    }
}

static void outputs(const ffl_layer *l, const packed *p, const work *w, float *y, size_t ldy, size_t tokens)
{
    for (size_t c = 0; c < l->width_out; c += FFL_PATH_COLUMNS) {
        const float *out = p->out + c * l->neurons;
        memset(w->y, 0, tokens * FFL_PATH_COLUMNS * sizeof *w->y);
        for (size_t b = 0; b < bundles(l, p); b++)
            add_bundle(l, p, w, b, out);
        const size_t columns = smaller(FFL_PATH_COLUMNS, l->width_out - c);
        for (size_t t = 0; t < tokens; t++)
            memcpy(y + t * ldy + c, w->y + t * FFL_PATH_COLUMNS, columns * sizeof *y);
    }
}

static void part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                 size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const packed *p = plan->state;
    work w;
    const size_t used = lay_out(l, p, scratch, &w);
    const size_t blocks = (tokens + p->block - 1) / p->block;
    for (size_t b = 0, first = 0; b < blocks; b++) {
        const size_t end = tokens * (b + 1) / blocks, some = end - first;
        upper_levels(l, p, &w, x + first * ldx, ldx, some);
        for (size_t i = 0; i < bundles(l, p); i++)
            order_bundle(l, p, &w, i, x + first * ldx, ldx, some, (uint8_t *)scratch + used);
        outputs(l, p, &w, y + first * ldy, ldy, some);
        first = end;
    }
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, 96, part, x, ldx, y, ldy, tokens);
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    const ffl_layer *l = plan->layer;
    const packed *p = plan->state;
    work w;
    const size_t used = lay_out(l, p, exec->scratch, &w);
    for (size_t first = 0; first < tokens; first += p->block) {
        const size_t some = smaller(p->block, tokens - first);
        upper_levels(l, p, &w, x + first * ldx, ldx, some);
        for (size_t i = 0; i < bundles(l, p); i++)
            order_bundle(l, p, &w, i, x + first * ldx, ldx, some, (uint8_t *)exec->scratch + used);
        for (size_t t = 0; t < some; t++)
            for (size_t tree = 0; tree < l->trees; tree++)
                for (size_t level = 0; level < l->levels; level++) {
                    const size_t h = (size_t)w.h[tree * p->block + t] >> (l->levels - level);
                    *nodes++ = (int32_t)h - 1;
                    *logits++ = w.z[(tree * l->levels + level) * p->block + t];
                }
    }
    return FFL_OK;
}

static void release(ffl_plan *plan)
{
    packed *p = plan->state;
    ffl_free(p->top);
    ffl_free(p->tables);
    ffl_free(p->out);
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

/* Slots without a node and columns beyond the matrix stay zero, as ffl_alloc made them. */
static void pack(const ffl_layer *l, packed *p)
{
    const size_t columns = l->width_in + 1, top = ((size_t)1 << p->dense) - 1;
    for (size_t n = 0; n < dense_rows(l, p); n++) {
        const size_t row = n / top * l->nodes + n % top;
        float *to = p->top + n / PANEL * PANEL * columns + n % PANEL;
        for (size_t k = 0; k < l->width_in; k++)
            to[k * PANEL] = l->w_in[row * l->width_in + k];
        to[l->width_in * PANEL] = l->b_in[row];
    }
    for (size_t tree = 0, trees; tree < l->trees; tree += trees) {
        trees = group_trees(l, tree);
        for (size_t level = p->dense; level < p->lanes; level++) {
            float *table = p->tables + tree * p->table + trees * table_start(level, l->width_in);
            for (size_t t = 0; t < trees; t++)
                pack_level(l, table, tree, t, trees, level);
        }
    }
    for (size_t c = 0; c < l->width_out; c += FFL_PATH_COLUMNS) {
        const size_t some = smaller(FFL_PATH_COLUMNS, l->width_out - c);
        for (size_t n = 0; n < l->neurons; n++)
            memcpy(p->out + c * l->neurons + n * FFL_PATH_COLUMNS, l->w_out + n * l->width_out + c,
                   some * sizeof(float));
    }
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    packed *p = plan->state = ffl_alloc(sizeof *p);
    if (!p)
        return FFL_NO_MEMORY;
    p->lanes = smaller(layer->levels, LANE_LEVELS);
    p->dense = smaller(layer->levels, 2);
    p->bundle = layer->levels < 4 ? SHARED / layer->levels : 1;
    p->shared = smaller(p->bundle * layer->levels, SHARED);
    p->block = layer->levels < 8 ? 768 : 1536;
    p->block = smaller(p->block, round_up(plan->max_tokens, LANES));
    p->table = p->lanes > p->dense ? table_start(p->lanes - 1, layer->width_in) +
                                         table_slots(p->lanes - 1) * (layer->width_in + 1)
                                   : 0;
    const size_t top = round_up(dense_rows(layer, p), PANEL) * (layer->width_in + 1);
    const size_t tables = layer->trees * p->table;
    const size_t out = round_up(layer->width_out, FFL_PATH_COLUMNS) * layer->neurons;
    p->top = ffl_alloc_array(top, sizeof(float));
    p->tables = ffl_alloc_array(tables, sizeof(float));
    p->out = ffl_alloc_array(out, sizeof(float));
    if (!p->top || !p->tables || !p->out) {
        release(plan);
        return FFL_NO_MEMORY;
    }
    pack(layer, p);
    plan->packed_bytes = (top + tables + out) * sizeof(float);
    work w;
    ffl_team_scratch(plan, lay_out(layer, p, NULL, &w) + p->block);
    return FFL_OK;
}

FFL_VARIANTS(fff_lanes_avx512) = {
    {.name = "fff_lanes_avx512",
     .source = "this lab",
     .summary = "tokens in lanes, upper levels from register tables, outputs by shared path, AVX-512",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = prepare,
     .run = run,
     .release = release,
     .trace = trace},
    {0},
};
