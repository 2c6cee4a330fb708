/*
 * Trees over packed rows for large batches, in two passes per tree. First all tokens walk down, four side by
 * side; x is read once, and of the weights only w_in. Then the tokens, sorted by where they ended, get their
 * outputs, four neighbours together: the rows that they share, nearly all when a batch has several tokens per
 * leaf, are loaded and widened once for the four, and w_out streams through the cache once per batch, level
 * by level in order. y is written past the cache where it is aligned and large: nobody reads it soon.
 *
 * A column's sum is the same chain of multiply-adds for any neighbours: a token's bits do not depend on them.
 */
#ifndef FFL_KERNELS_SIMD_PACKED_SORTED_AVX512_H
#define FFL_KERNELS_SIMD_PACKED_SORTED_AVX512_H

#include "kernels/simd/packed_walk_avx512.h"
#include "kernels/team.h"
#include <string.h>

/* What one part keeps; lies in its scratch. */
typedef struct ffl_packed_sorted {
    size_t keys;     /* 2^(levels sorted by) */
    size_t *start;   /* [keys + 1]: of each key in order */
    float *logits;   /* [tokens][levels] */
    uint32_t *last;  /* [tokens]: node visited last, plus 1 */
    uint32_t *order; /* [tokens] */
} ffl_packed_sorted;

/* Leaves beyond that many are told apart by their ancestors only. */
enum { FFL_PACKED_KEY_BITS = 12 };

static inline size_t ffl_packed_key_bits(const ffl_layer *l)
{
    return l->levels - 1 < FFL_PACKED_KEY_BITS ? l->levels - 1 : FFL_PACKED_KEY_BITS;
}

static inline size_t ffl_packed_sorted_bytes(const ffl_plan *plan)
{
    const ffl_layer *l = plan->layer;
    return (((size_t)1 << ffl_packed_key_bits(l)) + 1) * sizeof(size_t) +
           plan->max_tokens * (l->levels * sizeof(float) + 2 * sizeof(uint32_t));
}

static inline void ffl_packed_sort(const ffl_layer *l, size_t tokens, const ffl_packed_sorted *s)
{
    const size_t shift = l->levels - 1 - ffl_packed_key_bits(l), first = s->keys;
    memset(s->start, 0, (s->keys + 1) * sizeof *s->start);
    for (size_t t = 0; t < tokens; t++)
        s->start[(s->last[t] >> shift) - first + 1]++;
    for (size_t i = 0; i < s->keys; i++)
        s->start[i + 1] += s->start[i];
    for (size_t t = 0; t < tokens; t++)
        s->order[s->start[(s->last[t] >> shift) - first]++] = (uint32_t)t;
}

static inline __attribute__((always_inline)) void
ffl_packed_sorted_down(const ffl_packing packing, const ffl_plan *plan, size_t tree, const size_t count,
                       const float *x, size_t ldx, size_t first, const ffl_packed_sorted *s)
{
    const ffl_layer *l = plan->layer;
    const float *rows[FFL_PACKED_TOGETHER];
    size_t node[FFL_PACKED_TOGETHER] = {0};
    ffl_packed_visited v[FFL_PACKED_TOGETHER];
    for (size_t t = 0; t < count; t++)
        rows[t] = x + (first + t) * ldx;
    ffl_packed_descend(packing, l, plan->state, tree, 0, l->levels, count, rows, node, v, 0);
    for (size_t t = 0; t < count; t++) {
        memcpy(s->logits + (first + t) * l->levels, v[t].g, l->levels * sizeof(float));
        s->last[first + t] = (uint32_t)((node[t] + 1) / 2);
    }
}

/* y[t] = the sum over all rows of token t, of which the first `shared` are the same for all four. */
static inline __attribute__((always_inline)) void
ffl_packed_rows4(const ffl_packing p, const ffl_packed_visited *v, const char *const (*w)[FFL_PACKED_CHUNK],
                 size_t shared, size_t count, float *const *y, size_t n, const bool stream)
{
    enum { FOUR = FFL_PACKED_TOGETHER, BLOCKS = 3, COLUMNS = BLOCKS * FFL_PACKED_BLOCK };
    size_t i = 0, at = 0;
    for (; i + COLUMNS <= n; i += COLUMNS, at += BLOCKS * p.block_bytes) {
        __m512 sum[FOUR][2 * BLOCKS];
#pragma GCC unroll 4
        for (size_t t = 0; t < FOUR; t++)
#pragma GCC unroll 6
            for (size_t j = 0; j < 2 * BLOCKS; j++)
                sum[t][j] = _mm512_setzero_ps();
        for (size_t k = 0; k < shared; k++)
#pragma GCC unroll 3
            for (size_t b = 0; b < BLOCKS; b++) {
                __m512 low, high;
                p.unpack(w[0][k] + at + b * p.block_bytes, &low, &high);
#pragma GCC unroll 4
                for (size_t t = 0; t < FOUR; t++) {
                    const __m512 g = _mm512_set1_ps(v[t].g[k]);
                    sum[t][2 * b] = _mm512_fmadd_ps(g, low, sum[t][2 * b]);
                    sum[t][2 * b + 1] = _mm512_fmadd_ps(g, high, sum[t][2 * b + 1]);
                }
            }
#pragma GCC unroll 4
        for (size_t t = 0; t < FOUR; t++) {
            for (size_t k = shared; k < count; k++) {
                const __m512 g = _mm512_set1_ps(v[t].g[k]);
#pragma GCC unroll 3
                for (size_t b = 0; b < BLOCKS; b++) {
                    __m512 low, high;
                    p.unpack(w[t][k] + at + b * p.block_bytes, &low, &high);
                    sum[t][2 * b] = _mm512_fmadd_ps(g, low, sum[t][2 * b]);
                    sum[t][2 * b + 1] = _mm512_fmadd_ps(g, high, sum[t][2 * b + 1]);
                }
            }
#pragma GCC unroll 6
            for (size_t j = 0; j < 2 * BLOCKS; j++) {
                if (stream)
                    _mm512_stream_ps(y[t] + i + 16 * j, sum[t][j]);
                else
                    _mm512_storeu_ps(y[t] + i + 16 * j, sum[t][j]);
            }
        }
    }
    for (size_t t = 0; t < FOUR && i < n; t++) {
        const char *rest[FFL_PACKED_CHUNK];
        for (size_t k = 0; k < count; k++)
            rest[k] = w[t][k] + at;
        ffl_packed_rows(p, v[t].g, rest, count, y[t] + i, n - i, FFL_STORE);
    }
}

/* The outputs of `count` (1 or 4) tokens next to each other in order. */
static inline __attribute__((always_inline)) void
ffl_packed_sorted_out(const ffl_packing packing, const ffl_plan *plan, size_t tree, const size_t count,
                      float *y, size_t ldy, size_t first, const ffl_packed_sorted *s, ffl_store store)
{
    const ffl_layer *l = plan->layer;
    const ffl_packed_weights *p = plan->state;
    ffl_packed_visited v[FFL_PACKED_TOGETHER];
    const char *w[FFL_PACKED_TOGETHER][FFL_PACKED_CHUNK];
    float *rows[FFL_PACKED_TOGETHER];
    size_t differ = 0, shared = l->levels;
    for (size_t t = 0; t < count; t++) {
        const size_t token = s->order[first + t], last = s->last[token];
        rows[t] = y + token * ldy;
        differ |= last ^ s->last[s->order[first]];
        memcpy(v[t].g, s->logits + token * l->levels, l->levels * sizeof(float));
        ffl_activate_avx512(l->activation, v[t].g, l->levels);
        for (size_t k = 0; k < l->levels; k++) {
            const size_t row = tree * l->nodes + (last >> (l->levels - 1 - k)) - 1;
            v[t].g[k] *= p->scale_out[row];
            w[t][k] = p->out + row * p->out_stride;
        }
    }
    for (; differ; differ >>= 1)
        shared--;
    if (count == FFL_PACKED_TOGETHER && store != FFL_STORE_ADD)
        ffl_packed_rows4(packing, v, (const char *const(*)[FFL_PACKED_CHUNK])w, shared, l->levels, rows,
                         l->width_out, store == FFL_STORE_STREAM);
    else
        for (size_t t = 0; t < count; t++)
            ffl_packed_rows(packing, v[t].g, w[t], l->levels, rows[t], l->width_out, store);
}

/* A part of ffl_team_rows. */
static inline __attribute__((always_inline)) void ffl_packed_sorted_part(const ffl_packing packing,
                                                                         const ffl_plan *plan, void *scratch,
                                                                         const float *x, size_t ldx, float *y,
                                                                         size_t ldy, size_t tokens)
{
    enum { FOUR = FFL_PACKED_TOGETHER, LINE = 16 /* floats in a cache line */, CACHED = 1 << 20 /* bytes */ };
    const ffl_layer *l = plan->layer;
    ffl_packed_sorted s = {.keys = (size_t)1 << ffl_packed_key_bits(l), .start = scratch};
    s.logits = (float *)(s.start + s.keys + 1);
    s.last = (uint32_t *)(s.logits + tokens * l->levels);
    s.order = s.last + tokens;
    const bool stream = l->trees == 1 && tokens * l->width_out * sizeof *y > CACHED &&
                        (uintptr_t)y % 64 == 0 && ldy % LINE == 0;
    for (size_t tree = 0; tree < l->trees; tree++) {
        size_t t = 0;
        for (; t + FOUR <= tokens; t += FOUR)
            ffl_packed_sorted_down(packing, plan, tree, FOUR, x, ldx, t, &s);
        for (; t < tokens; t++)
            ffl_packed_sorted_down(packing, plan, tree, 1, x, ldx, t, &s);
        ffl_packed_sort(l, tokens, &s);
        for (t = 0; t + FOUR <= tokens; t += FOUR) {
            if (stream)
                ffl_packed_sorted_out(packing, plan, tree, FOUR, y, ldy, t, &s, FFL_STORE_STREAM);
            else
                ffl_packed_sorted_out(packing, plan, tree, FOUR, y, ldy, t, &s,
                                      tree ? FFL_STORE_ADD : FFL_STORE);
        }
        for (; t < tokens; t++)
            ffl_packed_sorted_out(packing, plan, tree, 1, y, ldy, t, &s, tree ? FFL_STORE_ADD : FFL_STORE);
    }
    _mm_sfence();
}

#endif
