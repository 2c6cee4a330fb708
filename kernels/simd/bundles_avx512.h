/*
 * The second half of a layer of many trees, once the logits and paths of a block of tokens are known: what
 * kernels with different first halves share.
 *
 * Per tree the tokens are sorted by their node of level 5 at most, and their activations laid out in that
 * order; then y is summed 64 columns at a time (paths_avx512.h), the rows of a node's path in registers.
 * Trees of up to three levels are taken several at once, so that a visit of y always adds five or six rows.
 * Bound by instructions and by y passing through L2; w_out is packed and read once per block.
 */
#ifndef FFL_KERNELS_SIMD_BUNDLES_AVX512_H
#define FFL_KERNELS_SIMD_BUNDLES_AVX512_H

#include "kernels/layer.h"
#include "kernels/memory.h"
#include "kernels/simd/paths_avx512.h"
#include <stdint.h>
#include <string.h>

enum {
    FFL_BUNDLE_RUNS_MAX = 32,
    FFL_BUNDLE_KEYS_MAX = 128 /* of ffl_sort_tokens */
};

typedef struct ffl_bundles {
    size_t together; /* trees taken at once */
    size_t shared;   /* rows of a path that stay in registers */
    size_t own;      /* rows below them, which every token has of its own */
    size_t block;    /* tokens of a block */
    float *out;      /* w_out as [width_out / 64][neurons][64] */
} ffl_bundles;

/* What one thread keeps of a block; lies in its scratch. A node is kept as h, its heap index plus one. */
typedef struct ffl_bundles_work {
    float *z;    /* [trees][levels][block]: logits, from the first half */
    uint32_t *h; /* [trees][block]: from the first half; where the tokens are, at last below their leaves */
    float *g;    /* [bundles][block][rows]: activations in sorted order */
    uint32_t *token; /* [bundles][block] */
    uint32_t *own;   /* [bundles][block][own]: where in its tree each row below the shared ones begins */
    uint32_t *start; /* [bundles][FFL_BUNDLE_RUNS_MAX + 1] */
    float *y;        /* [block][64] */
    uint8_t *key;    /* [block] */
    char *more;      /* of the first half */
} ffl_bundles_work;

static inline size_t ffl_bundles_smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t ffl_bundles_count(const ffl_layer *l, const ffl_bundles *p)
{
    return (l->trees + p->together - 1) / p->together;
}

/* Scratch, `more` bytes for the first half included: with a base of NULL only the size is wanted. */
static inline size_t ffl_bundles_lay_out(const ffl_layer *l, const ffl_bundles *p, size_t more, char *base,
                                         ffl_bundles_work *w)
{
    const size_t rows = p->together * l->levels, count = ffl_bundles_count(l, p);
    const size_t bytes[] = {
        l->trees * l->levels * p->block * sizeof(float),
        l->trees * p->block * sizeof(uint32_t),
        count * p->block * rows * sizeof(float),
        count * p->block * sizeof(uint32_t),
        count * p->block * p->own * sizeof(uint32_t),
        count * (FFL_BUNDLE_RUNS_MAX + 1) * sizeof(uint32_t),
        p->block * FFL_PATH_COLUMNS * sizeof(float),
        p->block,
        more,
    };
    char *at[sizeof bytes / sizeof *bytes];
    size_t total = 0;
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        at[i] = base ? base + total : NULL;
        total += (bytes[i] + 127) / 64 * 64; /* not all at the same place of a page */
    }
    *w = (ffl_bundles_work){.z = (float *)at[0],
                            .h = (uint32_t *)at[1],
                            .g = (float *)at[2],
                            .token = (uint32_t *)at[3],
                            .own = (uint32_t *)at[4],
                            .start = (uint32_t *)at[5],
                            .y = (float *)at[6],
                            .key = (uint8_t *)at[7],
                            .more = at[8]};
    return total;
}

/* Counting sort of the block's tokens; start has keys + 1 entries. */
static inline void ffl_sort_tokens(const uint8_t *key, size_t tokens, size_t keys, uint32_t *start,
                                   uint32_t *order)
{
    uint32_t at[FFL_BUNDLE_KEYS_MAX + 1] = {0};
    for (size_t i = 0; i < tokens; i++)
        at[key[i] + 1]++;
    for (size_t k = 0; k < keys; k++)
        at[k + 1] += at[k];
    memcpy(start, at, (keys + 1) * sizeof *start);
    for (size_t i = 0; i < tokens; i++)
        order[at[key[i]]++] = (uint32_t)i;
}

/* Orders the tokens of a bundle for step 3 and lays out their activations. */
static inline void ffl_order_bundle(const ffl_layer *l, const ffl_bundles *p, const ffl_bundles_work *w,
                                    size_t bundle, size_t tokens)
{
    const size_t tree = bundle * p->together, trees = ffl_bundles_smaller(p->together, l->trees - tree);
    const size_t rows = trees * l->levels, bits = p->shared / p->together - 1, below = l->levels - bits;
    uint32_t *order = w->token + bundle * p->block, *own = w->own + bundle * p->block * p->own;
    float *g = w->g + bundle * p->block * p->together * l->levels;
    const float *z = w->z + tree * l->levels * p->block;
    const uint32_t *h = w->h + tree * p->block;
    memset(w->key, 0, tokens);
    for (size_t t = 0; t < trees; t++)
        for (size_t i = 0; i < tokens; i++) {
            const size_t path = ((size_t)h[t * p->block + i] >> below) - ((size_t)1 << bits);
            w->key[i] = (uint8_t)(w->key[i] | path << (t * bits));
        }
    ffl_sort_tokens(w->key, tokens, (size_t)1 << (trees * bits),
                    w->start + bundle * (FFL_BUNDLE_RUNS_MAX + 1), order);
    for (size_t i = 0; i < tokens; i++) {
        const size_t token = order[i], end = h[token];
        for (size_t d = p->own; d > 0; d--)
            *own++ = (uint32_t)(((end >> d) - 1) * FFL_PATH_COLUMNS);
        for (size_t r = 0; r < rows; r++)
            g[i * rows + r] = z[r * p->block + token];
    }
    ffl_activate_avx512(l->activation, g, tokens * rows);
}

static inline void ffl_path_run_rows(size_t rows, const ffl_path_run *run)
{
    switch (10 * run->deep + rows) {
    case 1:
        ffl_path_outputs(1, 0, run);
        break;
    case 2:
        ffl_path_outputs(2, 0, run);
        break;
    case 3:
        ffl_path_outputs(3, 0, run);
        break;
    case 4:
        ffl_path_outputs(4, 0, run);
        break;
    case 5:
        ffl_path_outputs(5, 0, run);
        break;
    case 6:
        ffl_path_outputs(6, 0, run);
        break;
    case 16:
        ffl_path_outputs(6, 1, run);
        break;
    case 26:
        ffl_path_outputs(6, 2, run);
        break;
    case 36:
        ffl_path_outputs(6, 3, run);
        break;
    default:
        ffl_path_outputs(6, FFL_PATH_DEEP, run);
        break;
    }
}

/* One bundle and one block of columns; the caller says where sums come from and go to. */
static inline void ffl_add_bundle(const ffl_layer *l, const ffl_bundles *p, const ffl_bundles_work *w,
                                  size_t bundle, const float *out, ffl_path_run run)
{
    const size_t tree = bundle * p->together, trees = ffl_bundles_smaller(p->together, l->trees - tree);
    const size_t rows = trees * l->levels, shared = ffl_bundles_smaller(p->shared, rows);
    const size_t levels = shared / trees, bits = levels - 1, runs = (size_t)1 << (trees * bits);
    const uint32_t *start = w->start + bundle * (FFL_BUNDLE_RUNS_MAX + 1);
    const float *row[FFL_PATH_ROWS_MAX];
    const float *next = out + (tree + trees) * l->nodes * FFL_PATH_COLUMNS;
    const size_t fetch = trees * l->nodes * FFL_PATH_COLUMNS / runs;
    run.w = row;
    run.ldg = rows;
    run.deep = p->own;
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
        run.g = w->g + bundle * p->block * p->together * l->levels + start[k] * rows;
        run.token = w->token + at;
        run.own = w->own + at * p->own;
        if (run.count)
            ffl_path_run_rows(shared, &run);
    }
}

/* The first bundle finds no sums, the last one writes to y itself. */
static inline void ffl_bundles_outputs(const ffl_layer *l, const ffl_bundles *p, const ffl_bundles_work *w,
                                       float *y, size_t ldy, size_t tokens)
{
    const size_t count = ffl_bundles_count(l, p);
    for (size_t b = 0; b < count; b++)
        ffl_order_bundle(l, p, w, b, tokens);
    for (size_t c = 0; c < l->width_out; c += FFL_PATH_COLUMNS) {
        const size_t columns = ffl_bundles_smaller(FFL_PATH_COLUMNS, l->width_out - c);
        const bool direct = columns == FFL_PATH_COLUMNS;
        for (size_t b = 0; b < count; b++) {
            const bool last = direct && b + 1 == count;
            const ffl_path_run run = {
                .from = b ? w->y : NULL, .to = last ? y + c : w->y, .ldto = last ? ldy : FFL_PATH_COLUMNS};
            ffl_add_bundle(l, p, w, b, p->out + c * l->neurons, run);
        }
        for (size_t t = 0; !direct && t < tokens; t++)
            memcpy(y + t * ldy + c, w->y + t * FFL_PATH_COLUMNS, columns * sizeof *y);
    }
}

/* Nodes and logits of a block as a variant's trace has them; returns through the pointers how far it came. */
static inline void ffl_bundles_trace(const ffl_layer *l, const ffl_bundles *p, const ffl_bundles_work *w,
                                     size_t tokens, int32_t **nodes, float **logits)
{
    for (size_t t = 0; t < tokens; t++)
        for (size_t tree = 0; tree < l->trees; tree++)
            for (size_t level = 0; level < l->levels; level++) {
                *(*nodes)++ = (int32_t)(w->h[tree * p->block + t] >> (l->levels - level)) - 1;
                *(*logits)++ = w->z[(tree * l->levels + level) * p->block + t];
            }
}

/* Packs w_out; columns beyond the matrix stay zero, as ffl_alloc made them. The caller frees p->out. */
static inline ffl_status ffl_bundles_prepare(const ffl_layer *l, size_t block, size_t max_tokens,
                                             ffl_bundles *p, size_t *bytes)
{
    p->together = l->levels < 4 ? FFL_PATH_ROWS_MAX / l->levels : 1;
    p->shared = ffl_bundles_smaller(p->together * l->levels, FFL_PATH_ROWS_MAX);
    p->own = p->together * l->levels - p->shared;
    p->block = ffl_bundles_smaller(block, (max_tokens + 15) / 16 * 16);
    const size_t panels = (l->width_out + FFL_PATH_COLUMNS - 1) / FFL_PATH_COLUMNS;
    p->out = ffl_alloc_array(panels * FFL_PATH_COLUMNS * l->neurons, sizeof(float));
    if (!p->out)
        return FFL_NO_MEMORY;
    for (size_t c = 0; c < l->width_out; c += FFL_PATH_COLUMNS) {
        const size_t some = ffl_bundles_smaller(FFL_PATH_COLUMNS, l->width_out - c);
        for (size_t n = 0; n < l->neurons; n++)
            memcpy(p->out + c * l->neurons + n * FFL_PATH_COLUMNS, l->w_out + n * l->width_out + c,
                   some * sizeof(float));
    }
    *bytes = panels * FFL_PATH_COLUMNS * l->neurons * sizeof(float);
    return FFL_OK;
}

#endif
