/*
 * FFF for many trees and tokens, a block of tokens at a time, in three steps:
 *
 *   1. logits: tree by tree the tokens that share a node take two levels at once, in tiles of 8 tokens and 3
 *      nodes (simd/trio_avx512.h), and part into four groups that do the same further below. The first levels
 *      work on sub-blocks whose x stays in L2; levels from 6 or 7 on, where groups become small, on all
 *      tokens of the block.
 *   2. per tree the tokens are sorted by their node of level 5 at most.
 *   3. outputs, 64 columns at a time (simd/paths_avx512.h): the rows of that node's path stay in registers.
 *      Trees of up to three levels are taken several at once.
 *
 * An odd first level is taken for three trees at once. Bound by instructions and FMAs: per token and tree 3/2
 * products per level in step 1, one in step 3; and in small batches by reading all weights once.
 */
#include "kernels/memory.h"
#include "kernels/simd/paths_avx512.h"
#include "kernels/simd/trio_avx512.h"
#include "kernels/team.h"
#include <string.h>

enum {
    TOKENS = 192, /* of a sub-block: x takes 590 KB of L2 */
    SHARED = FFL_PATH_ROWS_MAX,
    RUNS_MAX = 32,
    GROUPS_MAX = 128 /* nodes of the level where sub-blocks end */
};

/* One layer, packed. */
typedef struct packed {
    size_t upper;  /* levels done by sub-blocks; as odd or even as all levels */
    size_t bundle; /* trees taken together in step 3 */
    size_t shared; /* rows of a path that stay in registers there */
    size_t block;  /* tokens of a block */
    float *out;    /* [width_out / 64][neurons][64] */
} packed;

/* What one thread keeps of a block; lies in its scratch. A node is kept as h, its heap index plus one. */
typedef struct work {
    float *z;          /* [trees][levels][block] */
    uint32_t *h;       /* [trees][block]: where the tokens are */
    float *g;          /* [bundles][block][rows]: activations in the order of step 3 */
    uint32_t *token;   /* [bundles][block] */
    uint32_t *leaf;    /* [bundles][block]: the last node on a token's path */
    uint32_t *start;   /* [bundles][RUNS_MAX + 1] */
    float *y;          /* [block][64] */
    uint32_t *list[2]; /* [block]: tokens of groups, and of the groups they part into */
    uint8_t *key;      /* [block] */
} work;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t round_up(size_t a, size_t b)
{
    return (a + b - 1) / b * b;
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
        l->trees * l->levels * p->block * sizeof(float),
        l->trees * p->block * sizeof(uint32_t),
        count * p->block * rows * sizeof(float),
        count * p->block * sizeof(uint32_t),
        count * p->block * sizeof(uint32_t),
        count * (RUNS_MAX + 1) * sizeof(uint32_t),
        p->block * FFL_PATH_COLUMNS * sizeof(float),
        p->block * sizeof(uint32_t),
        p->block * sizeof(uint32_t),
        p->block,
    };
    char *at[sizeof bytes / sizeof *bytes];
    size_t total = 0;
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        at[i] = base ? base + total : NULL;
        total += round_up(bytes[i], 64) + 64; /* not all at the same place of a page */
    }
    *w = (work){.z = (float *)at[0],
                .h = (uint32_t *)at[1],
                .g = (float *)at[2],
                .token = (uint32_t *)at[3],
                .leaf = (uint32_t *)at[4],
                .start = (uint32_t *)at[5],
                .y = (float *)at[6],
                .list = {(uint32_t *)at[7], (uint32_t *)at[8]},
                .key = (uint8_t *)at[9]};
    return total;
}

/* Products of a few tokens and 3 rows of weights, and their biases; `next` is what to have in L2 next. */
static void trio(const ffl_layer *l, size_t tokens, const float *const *x, const size_t row[3],
                 const float *next, __m256 z[3])
{
    const size_t width = l->width_in;
    const float *a = l->w_in + row[0] * width, *b = l->w_in + row[1] * width, *c = l->w_in + row[2] * width;
    switch (tokens) {
    case 1:
        ffl_trio_avx512(1, x, a, b, c, width, next, z);
        break;
    case 2:
        ffl_trio_avx512(2, x, a, b, c, width, next, z);
        break;
    case 3:
        ffl_trio_avx512(3, x, a, b, c, width, next, z);
        break;
    case 4:
        ffl_trio_avx512(4, x, a, b, c, width, next, z);
        break;
    case 5:
        ffl_trio_avx512(5, x, a, b, c, width, next, z);
        break;
    case 6:
        ffl_trio_avx512(6, x, a, b, c, width, next, z);
        break;
    case 7:
        ffl_trio_avx512(7, x, a, b, c, width, next, z);
        break;
    default:
        ffl_trio_avx512(8, x, a, b, c, width, next, z);
        break;
    }
    for (size_t r = 0; r < 3; r++)
        z[r] = _mm256_add_ps(z[r], _mm256_set1_ps(l->b_in[row[r]]));
}

/* A descent through one tree: what stays the same on its way. */
typedef struct descent {
    const ffl_layer *l;
    const float *x;
    size_t ldx, tree, last; /* levels up to `last` */
    float *z;               /* of this tree, a level every `step` */
    size_t step;
    uint32_t *h;
    uint8_t *key;
    size_t fetched; /* rows of the next tree asked for so far */
} descent;

/* A row to fetch during the next tile: all of the next tree's, one after the other. */
static const float *next_row(descent *d)
{
    const size_t row = smaller((d->tree + 1) * d->l->nodes + d->fetched, d->l->neurons - 1);
    d->fetched += d->fetched < d->l->nodes;
    return d->l->w_in + row * d->l->width_in;
}

/* The tokens in list, all at node h of `level`, down to the last level. Uses `other` for the parts. */
static void descend(descent *d, size_t h, size_t level, uint32_t *list, uint32_t *other, size_t count)
{
    const size_t top = d->tree * d->l->nodes;
    const size_t row[3] = {top + h - 1, top + 2 * h - 1, top + 2 * h};
    const size_t tiles = (count + FFL_TRIO_TOKENS - 1) / FFL_TRIO_TOKENS;
    float *z0 = d->z + level * d->step, *z1 = z0 + d->step;
    uint32_t at[5] = {0};
    for (size_t t = 0, i = 0; t < tiles; t++) {
        const size_t end = count * (t + 1) / tiles, some = end - i;
        const float *x[FFL_TRIO_TOKENS];
        __m256 z[3];
        float first[8], second[8];
        for (size_t j = 0; j < some; j++)
            x[j] = d->x + list[i + j] * d->ldx;
        trio(d->l, some, x, row, next_row(d), z);
        const __mmask8 right = _mm256_cmp_ps_mask(z[0], _mm256_setzero_ps(), _CMP_GT_OQ);
        z[1] = _mm256_mask_blend_ps(right, z[1], z[2]);
        const unsigned next = _mm256_cmp_ps_mask(z[1], _mm256_setzero_ps(), _CMP_GT_OQ);
        _mm256_storeu_ps(first, z[0]);
        _mm256_storeu_ps(second, z[1]);
        for (size_t j = 0; j < some; j++) {
            const unsigned way = 2 * ((unsigned)right >> j & 1) + (next >> j & 1);
            z0[list[i + j]] = first[j];
            z1[list[i + j]] = second[j];
            d->h[list[i + j]] = (uint32_t)(4 * h + way);
            d->key[i + j] = (uint8_t)way;
            at[way + 1]++;
        }
        i = end;
    }
    if (level + 2 >= d->last)
        return;
    uint32_t start[5];
    for (size_t way = 0; way < 4; way++)
        at[way + 1] += at[way];
    memcpy(start, at, sizeof start);
    for (size_t i = 0; i < count; i++)
        other[at[d->key[i]]++] = list[i];
    for (size_t way = 0; way < 4; way++)
        if (start[way + 1] > start[way])
            descend(d, 4 * h + way, level + 2, other + start[way], list + start[way],
                    start[way + 1] - start[way]);
}

/* Level 0 of up to three trees for tokens first … first + count. */
static void roots(const ffl_layer *l, const packed *p, const work *w, size_t tree, const float *x, size_t ldx,
                  size_t first, size_t count)
{
    const size_t trees = smaller(3, l->trees - tree);
    size_t row[3];
    for (size_t t = 0; t < 3; t++)
        row[t] = (tree + smaller(t, trees - 1)) * l->nodes;
    for (size_t i = 0; i < count; i += FFL_TRIO_TOKENS) {
        const size_t some = smaller(FFL_TRIO_TOKENS, count - i);
        const float *rows[FFL_TRIO_TOKENS];
        __m256 z[3];
        for (size_t j = 0; j < some; j++)
            rows[j] = x + (first + i + j) * ldx;
        trio(l, some, rows, row, l->w_in + row[0] * l->width_in, z);
        for (size_t t = 0; t < trees; t++) {
            float logits[8];
            _mm256_storeu_ps(logits, z[t]);
            for (size_t j = 0; j < some; j++) {
                w->z[(tree + t) * l->levels * p->block + first + i + j] = logits[j];
                w->h[(tree + t) * p->block + first + i + j] = 2 + (logits[j] > 0.0f);
            }
        }
    }
}

/* Counting sort of the block's tokens; start has keys + 1 entries. */
static void sort(const uint8_t *key, size_t tokens, size_t keys, uint32_t *start, uint32_t *order)
{
    uint32_t at[GROUPS_MAX + 1] = {0};
    for (size_t i = 0; i < tokens; i++)
        at[key[i] + 1]++;
    for (size_t k = 0; k < keys; k++)
        at[k + 1] += at[k];
    memcpy(start, at, (keys + 1) * sizeof *start);
    for (size_t i = 0; i < tokens; i++)
        order[at[key[i]]++] = (uint32_t)i;
}

/* All tokens of a group list in the order of their nodes h, which are of one level. */
static void descend_groups(descent *d, const work *w, size_t level, size_t first, size_t count)
{
    const size_t groups = (size_t)1 << level;
    uint32_t start[GROUPS_MAX + 1];
    for (size_t i = 0; i < count; i++)
        w->key[i] = (uint8_t)(d->h[first + i] - groups);
    sort(w->key, count, groups, start, w->list[0]);
    for (size_t i = 0; first && i < count; i++)
        w->list[0][i] += (uint32_t)first;
    for (size_t g = 0; g < groups; g++)
        if (start[g + 1] > start[g])
            descend(d, groups + g, level, w->list[0] + start[g], w->list[1] + start[g],
                    start[g + 1] - start[g]);
}

/* Step 1. */
static void logits(const ffl_layer *l, const packed *p, const work *w, const float *x, size_t ldx,
                   size_t tokens)
{
    const size_t odd = l->levels % 2, blocks = (tokens + TOKENS - 1) / TOKENS;
    descent d = {.l = l, .x = x, .ldx = ldx, .step = p->block, .key = w->key};
    for (size_t b = 0, first = 0; b < blocks; b++) {
        const size_t end = tokens * (b + 1) / blocks;
        for (size_t tree = 0; tree < l->trees; tree++) {
            d.tree = tree;
            d.fetched = 0;
            d.last = p->upper;
            d.z = w->z + tree * l->levels * p->block;
            d.h = w->h + tree * p->block;
            if (odd && tree % 3 == 0)
                roots(l, p, w, tree, x, ldx, first, end - first);
            if (!odd)
                for (size_t i = first; i < end; i++)
                    d.h[i] = 1;
            if (p->upper > odd)
                descend_groups(&d, w, odd, first, end - first);
        }
        first = end;
    }
    for (size_t tree = 0; p->upper < l->levels && tree < l->trees; tree++) {
        d.tree = tree;
        d.last = l->levels;
        d.z = w->z + tree * l->levels * p->block;
        d.h = w->h + tree * p->block;
        descend_groups(&d, w, p->upper, 0, tokens);
    }
}

/* Step 2: orders the tokens of a bundle for step 3 and lays out their activations. */
static void order_bundle(const ffl_layer *l, const packed *p, const work *w, size_t bundle, size_t tokens)
{
    const size_t tree = bundle * p->bundle, trees = smaller(p->bundle, l->trees - tree);
    const size_t rows = trees * l->levels, bits = p->shared / p->bundle - 1, below = l->levels - bits;
    uint32_t *order = w->token + bundle * p->block, *leaf = w->leaf + bundle * p->block;
    float *g = w->g + bundle * p->block * p->bundle * l->levels;
    const float *z = w->z + tree * l->levels * p->block;
    const uint32_t *h = w->h + tree * p->block;
    memset(w->key, 0, tokens);
    for (size_t t = 0; t < trees; t++)
        for (size_t i = 0; i < tokens; i++) {
            const size_t path = ((size_t)h[t * p->block + i] >> below) - ((size_t)1 << bits);
            w->key[i] = (uint8_t)(w->key[i] | path << (t * bits));
        }
    sort(w->key, tokens, (size_t)1 << (trees * bits), w->start + bundle * (RUNS_MAX + 1), order);
    if (p->shared < rows)
        for (size_t i = 0; i < tokens; i++)
            leaf[i] = (h[order[i]] >> 1) - 1;
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

/* Step 3 for one bundle and one block of columns; the caller says where sums come from and go to. */
static void add_bundle(const ffl_layer *l, const packed *p, const work *w, size_t bundle, const float *out,
                       ffl_path_run run)
{
    const size_t tree = bundle * p->bundle, trees = smaller(p->bundle, l->trees - tree);
    const size_t rows = trees * l->levels, shared = smaller(p->shared, rows);
    const size_t levels = shared / trees, bits = levels - 1, runs = (size_t)1 << (trees * bits);
    const uint32_t *start = w->start + bundle * (RUNS_MAX + 1);
    const float *row[SHARED];
    const float *next = out + (tree + trees) * l->nodes * FFL_PATH_COLUMNS;
    const size_t fetch = trees * l->nodes * FFL_PATH_COLUMNS / runs;
    run.w = row;
    run.ldg = rows;
    run.deep = rows - shared;
    run.tree = out + tree * l->nodes * FFL_PATH_COLUMNS;
    for (size_t k = 0; k < runs; k++) {
        const size_t at = bundle * p->block + start[k];
        for (size_t t = 0; t < trees; t++) {
            const size_t leaf = (k >> (t * bits) & (((size_t)1 << bits) - 1)) + ((size_t)1 << bits);
            for (size_t level = 0; level < levels; level++)
                row[t * levels + level] =
                    run.tree + (t * l->nodes + (leaf >> (bits - level)) - 1) * FFL_PATH_COLUMNS;
        }
        /* The next bundle's rows follow in memory: each run fetches its share of them. */
        for (size_t i = 0; i < fetch; i += 16)
            _mm_prefetch((const char *)(next + k * fetch + i), _MM_HINT_T1);
        run.count = start[k + 1] - start[k];
        run.g = w->g + bundle * p->block * p->bundle * l->levels + start[k] * rows;
        run.token = w->token + at;
        run.leaf = w->leaf + at;
        if (run.count)
            path_run(shared, &run);
    }
}

/* The first bundle finds no sums, the last one writes to y itself. */
static void outputs(const ffl_layer *l, const packed *p, const work *w, float *y, size_t ldy, size_t tokens)
{
    const size_t count = bundles(l, p);
    for (size_t c = 0; c < l->width_out; c += FFL_PATH_COLUMNS) {
        const size_t columns = smaller(FFL_PATH_COLUMNS, l->width_out - c);
        const bool direct = columns == FFL_PATH_COLUMNS;
        for (size_t b = 0; b < count; b++) {
            const bool last = direct && b + 1 == count;
            const ffl_path_run run = {
                .from = b ? w->y : NULL, .to = last ? y + c : w->y, .ldto = last ? ldy : FFL_PATH_COLUMNS};
            add_bundle(l, p, w, b, p->out + c * l->neurons, run);
        }
        for (size_t t = 0; !direct && t < tokens; t++)
            memcpy(y + t * ldy + c, w->y + t * FFL_PATH_COLUMNS, columns * sizeof *y);
    }
}

static void part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                 size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const packed *p = plan->state;
    const size_t blocks = (tokens + p->block - 1) / p->block;
    work w;
    lay_out(l, p, scratch, &w);
    for (size_t b = 0, first = 0; b < blocks; b++) {
        const size_t end = tokens * (b + 1) / blocks;
        logits(l, p, &w, x + first * ldx, ldx, end - first);
        for (size_t i = 0; i < bundles(l, p); i++)
            order_bundle(l, p, &w, i, end - first);
        outputs(l, p, &w, y + first * ldy, ldy, end - first);
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
    for (size_t first = 0; first < tokens; first += p->block) {
        const size_t some = smaller(p->block, tokens - first);
        logits(l, p, &w, x + first * ldx, ldx, some);
        for (size_t t = 0; t < some; t++)
            for (size_t tree = 0; tree < l->trees; tree++)
                for (size_t level = 0; level < l->levels; level++) {
                    *nodes++ = (int32_t)(w.h[tree * p->block + t] >> (l->levels - level)) - 1;
                    *z++ = w.z[(tree * l->levels + level) * p->block + t];
                }
    }
    return FFL_OK;
}

static void release(ffl_plan *plan)
{
    packed *p = plan->state;
    ffl_free(p->out);
    ffl_free(p);
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    packed *p = plan->state = ffl_alloc(sizeof *p);
    if (!p)
        return FFL_NO_MEMORY;
    p->upper = smaller(layer->levels, layer->levels % 2 ? 7 : 6);
    p->bundle = layer->levels < 4 ? SHARED / layer->levels : 1;
    p->shared = smaller(p->bundle * layer->levels, SHARED);
    p->block = smaller(layer->levels < 8 ? 768 : 1536, round_up(plan->max_tokens, 16));
    const size_t out = round_up(layer->width_out, FFL_PATH_COLUMNS) * layer->neurons;
    p->out = ffl_alloc_array(out, sizeof(float));
    if (!p->out) {
        release(plan);
        return FFL_NO_MEMORY;
    }
    /* Columns beyond the matrix stay zero, as ffl_alloc made them. */
    for (size_t c = 0; c < layer->width_out; c += FFL_PATH_COLUMNS) {
        const size_t some = smaller(FFL_PATH_COLUMNS, layer->width_out - c);
        for (size_t n = 0; n < layer->neurons; n++)
            memcpy(p->out + c * layer->neurons + n * FFL_PATH_COLUMNS,
                   layer->w_out + n * layer->width_out + c, some * sizeof(float));
    }
    plan->packed_bytes = out * sizeof(float);
    work w;
    ffl_team_scratch(plan, lay_out(layer, p, NULL, &w));
    return FFL_OK;
}

FFL_VARIANTS(fff_forest_avx512) = {
    {.name = "fff_forest_avx512",
     .source = "this lab",
     .summary = "groups of tokens part two levels at a time, outputs by shared path, AVX-512",
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
