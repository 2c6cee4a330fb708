/*
 * FFF for many trees and tokens, a block of tokens at a time. Logits: tree by tree the tokens that share a
 * node take two levels at once, in tiles of 8 tokens and 3 nodes (simd/trio_avx512.h), and part into four
 * groups that do the same further below. The first levels work on sub-blocks whose x stays in L2; levels from
 * 6 or 7 on, where groups become small, on all tokens of the block. An odd first level is taken for three
 * trees at once. Outputs: simd/bundles_avx512.h.
 *
 * Bound by instructions and FMAs: per token, tree and level 3/2 products for the logits, one for the outputs;
 * and in small batches by reading all weights once.
 */
#include "kernels/simd/bundles_avx512.h"
#include "kernels/simd/trio_avx512.h"
#include "kernels/team.h"

enum { TOKENS = 192 /* of a sub-block: x takes 590 KB of L2 */ };

typedef struct packed {
    ffl_bundles bundles;
    size_t upper; /* levels done by sub-blocks; as odd or even as all levels */
} packed;

typedef ffl_bundles_work work;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Tokens of groups, and of the groups they part into. */
static uint32_t *list(const packed *p, const work *w, size_t which)
{
    return (uint32_t *)w->more + which * p->bundles.block;
}

static size_t lay_out(const ffl_layer *l, const packed *p, char *base, work *w)
{
    return ffl_bundles_lay_out(l, &p->bundles, 2 * p->bundles.block * sizeof(uint32_t), base, w);
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
                w->z[(tree + t) * l->levels * p->bundles.block + first + i + j] = logits[j];
                w->h[(tree + t) * p->bundles.block + first + i + j] = 2 + (logits[j] > 0.0f);
            }
        }
    }
}

/* All tokens of a group list in the order of their nodes h, which are of one level. */
static void descend_groups(descent *d, const packed *p, const work *w, size_t level, size_t first,
                           size_t count)
{
    const size_t groups = (size_t)1 << level;
    uint32_t start[FFL_BUNDLE_KEYS_MAX + 1];
    for (size_t i = 0; i < count; i++)
        w->key[i] = (uint8_t)(d->h[first + i] - groups);
    uint32_t *const order = list(p, w, 0), *const other = list(p, w, 1);
    ffl_sort_tokens(w->key, count, groups, start, order);
    for (size_t i = 0; first && i < count; i++)
        order[i] += (uint32_t)first;
    for (size_t g = 0; g < groups; g++)
        if (start[g + 1] > start[g])
            descend(d, groups + g, level, order + start[g], other + start[g], start[g + 1] - start[g]);
}

static void logits(const ffl_layer *l, const packed *p, const work *w, const float *x, size_t ldx,
                   size_t tokens)
{
    const size_t odd = l->levels % 2, blocks = (tokens + TOKENS - 1) / TOKENS;
    descent d = {.l = l, .x = x, .ldx = ldx, .step = p->bundles.block, .key = w->key};
    for (size_t b = 0, first = 0; b < blocks; b++) {
        const size_t end = tokens * (b + 1) / blocks;
        for (size_t tree = 0; tree < l->trees; tree++) {
            d.tree = tree;
            d.fetched = 0;
            d.last = p->upper;
            d.z = w->z + tree * l->levels * p->bundles.block;
            d.h = w->h + tree * p->bundles.block;
            if (odd && tree % 3 == 0)
                roots(l, p, w, tree, x, ldx, first, end - first);
            if (!odd)
                for (size_t i = first; i < end; i++)
                    d.h[i] = 1;
            if (p->upper > odd)
                descend_groups(&d, p, w, odd, first, end - first);
        }
        first = end;
    }
    for (size_t tree = 0; p->upper < l->levels && tree < l->trees; tree++) {
        d.tree = tree;
        d.last = l->levels;
        d.z = w->z + tree * l->levels * p->bundles.block;
        d.h = w->h + tree * p->bundles.block;
        descend_groups(&d, p, w, p->upper, 0, tokens);
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
        ffl_bundles_outputs(l, &p->bundles, &w, y + first * ldy, ldy, end - first);
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
        ffl_bundles_trace(l, &p->bundles, &w, some, &nodes, &z);
    }
    return FFL_OK;
}

static void release(ffl_plan *plan)
{
    packed *p = plan->state;
    ffl_free(p->bundles.out);
    ffl_free(p);
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    packed *p = plan->state = ffl_alloc(sizeof *p);
    if (!p)
        return FFL_NO_MEMORY;
    p->upper = smaller(layer->levels, layer->levels % 2 ? 7 : 6);
    if (ffl_bundles_prepare(layer, layer->levels < 8 ? 768 : 1536, plan->max_tokens, &p->bundles,
                            &plan->packed_bytes)) {
        release(plan);
        return FFL_NO_MEMORY;
    }
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
