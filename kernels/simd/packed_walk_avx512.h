/*
 * Tree walks over packed rows (packed_avx512.h): what the formats share. A node's rows of w_in and w_out lie
 * one after the other, so that what the hardware prefetches past the first is the second, which is needed
 * next. The descents of up to four tokens advance together, their dot products column by column side by side.
 */
#ifndef FFL_KERNELS_SIMD_PACKED_WALK_AVX512_H
#define FFL_KERNELS_SIMD_PACKED_WALK_AVX512_H

#include "kernels/memory.h"
#include "kernels/simd/packed_avx512.h"
#include "kernels/variant.h"

/* What prepare makes: plan->state. */
typedef struct ffl_packed_weights {
    char *in, *out;               /* row i of each is i times its stride further; one allocation, at in */
    size_t in_stride, out_stride; /* bytes */
    float *scale_in, *scale_out;  /* [neurons]; ones for formats without a scale */
} ffl_packed_weights;

/* Packs one row of n columns and returns its scale. */
typedef float ffl_pack(const float *w, size_t n, char *out);

static inline void ffl_packed_release(ffl_plan *plan)
{
    ffl_packed_weights *p = plan->state;
    ffl_free(p->in);
    ffl_free(p->scale_in);
    ffl_free(p);
}

/* apart: all of w_in before all of w_out. */
static inline ffl_status ffl_packed_prepare(const ffl_layer *l, ffl_plan *plan, ffl_pack *pack,
                                            size_t block_bytes, bool apart)
{
    ffl_packed_weights *p = plan->state = ffl_alloc(sizeof *p);
    if (!p)
        return FFL_NO_MEMORY;
    const size_t in = (ffl_packed_blocks(l->width_in) * block_bytes + 63) / 64 * 64;
    const size_t out = (ffl_packed_blocks(l->width_out) * block_bytes + 63) / 64 * 64;
    p->in = ffl_alloc_array(l->neurons, in + out);
    p->scale_in = ffl_alloc_array(l->neurons, 2 * sizeof(float));
    if (!p->in || !p->scale_in) {
        ffl_packed_release(plan);
        return FFL_NO_MEMORY;
    }
    p->scale_out = p->scale_in + l->neurons;
    p->in_stride = apart ? in : in + out;
    p->out_stride = apart ? out : in + out;
    p->out = p->in + (apart ? l->neurons * in : in);
    for (size_t i = 0; i < l->neurons; i++) {
        p->scale_in[i] = pack(l->w_in + i * l->width_in, l->width_in, p->in + i * p->in_stride);
        p->scale_out[i] = pack(l->w_out + i * l->width_out, l->width_out, p->out + i * p->out_stride);
    }
    plan->packed_bytes = l->neurons * (in + out + 2 * sizeof(float));
    return FFL_OK;
}

enum { FFL_PACKED_CHUNK = 32 }; /* rows collected before they are summed: at least FFL_LEVELS_MAX */

/* What the descent of one token has collected: logits, later activations, of at most that many rows. */
typedef struct ffl_packed_visited {
    float g[FFL_PACKED_CHUNK];
    size_t row[FFL_PACKED_CHUNK];
} ffl_packed_visited;

/* Levels first … last - 1 of one tree for `count` <= 4 tokens, from node[t]; v[t] collects from `at` on. */
static inline __attribute__((always_inline)) void
ffl_packed_descend(const ffl_packing packing, const ffl_layer *l, const ffl_packed_weights *p, size_t tree,
                   size_t first, size_t last, const size_t count, const float *const *x, size_t *node,
                   ffl_packed_visited *v, size_t at)
{
    for (size_t level = first; level < last; level++, at++) {
        const char *w[FFL_PACKED_TOGETHER];
        float z[FFL_PACKED_TOGETHER];
        for (size_t t = 0; t < count; t++)
            w[t] = p->in + (tree * l->nodes + node[t]) * p->in_stride;
        ffl_packed_dots(packing, count, x, w, l->width_in, z);
        for (size_t t = 0; t < count; t++) {
            const size_t row = tree * l->nodes + node[t];
            z[t] = z[t] * p->scale_in[row] + l->b_in[row];
            v[t].g[at] = z[t];
            v[t].row[at] = row;
            node[t] = 2 * node[t] + 1 + (z[t] > 0.0f);
        }
    }
}

/* y = or += what `v` collected. */
static inline __attribute__((always_inline)) void
ffl_packed_output(const ffl_packing packing, const ffl_layer *l, const ffl_packed_weights *p,
                  ffl_packed_visited *v, size_t count, float *y, ffl_store store)
{
    const char *w[FFL_PACKED_CHUNK];
    ffl_activate_avx512(l->activation, v->g, count);
    for (size_t k = 0; k < count; k++) {
        v->g[k] *= p->scale_out[v->row[k]];
        w[k] = p->out + v->row[k] * p->out_stride;
    }
    ffl_packed_rows(packing, v->g, w, count, y, l->width_out, store);
}

/* `count` <= 4 tokens through all trees. */
static inline __attribute__((always_inline)) void
ffl_packed_group(const ffl_packing packing, const ffl_layer *l, const ffl_packed_weights *p,
                 const size_t count, const float *x, size_t ldx, float *y, size_t ldy)
{
    ffl_packed_visited v[FFL_PACKED_TOGETHER];
    const float *rows[FFL_PACKED_TOGETHER];
    for (size_t t = 0; t < count; t++)
        rows[t] = x + t * ldx;
    size_t tree = 0;
    for (bool add = false; tree < l->trees; add = true) {
        size_t collected = 0;
        for (; tree < l->trees && collected + l->levels <= FFL_PACKED_CHUNK; collected += l->levels) {
            size_t node[FFL_PACKED_TOGETHER] = {0};
            ffl_packed_descend(packing, l, p, tree++, 0, l->levels, count, rows, node, v, collected);
        }
        for (size_t t = 0; t < count; t++)
            ffl_packed_output(packing, l, p, &v[t], collected, y + t * ldy, add ? FFL_STORE_ADD : FFL_STORE);
    }
}

/* All tokens, `together` (1 or 4) at a time. */
static inline __attribute__((always_inline)) void ffl_packed_walk(const ffl_packing packing,
                                                                  const ffl_plan *plan, const size_t together,
                                                                  const float *x, size_t ldx, float *y,
                                                                  size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const ffl_packed_weights *p = plan->state;
    size_t t = 0;
    for (; t + together <= tokens; t += together)
        ffl_packed_group(packing, l, p, together, x + t * ldx, ldx, y + t * ldy, ldy);
    for (; t < tokens; t++)
        ffl_packed_group(packing, l, p, 1, x + t * ldx, ldx, y + t * ldy, ldy);
}

/* A variant's trace: nodes and logits with the arithmetic of the walk. */
static inline __attribute__((always_inline)) void ffl_packed_trace(const ffl_packing packing,
                                                                   const ffl_plan *plan, const float *x,
                                                                   size_t ldx, size_t tokens, int32_t *nodes,
                                                                   float *logits)
{
    const ffl_layer *l = plan->layer;
    ffl_packed_visited v;
    for (size_t t = 0; t < tokens; t++, x += ldx)
        for (size_t tree = 0; tree < l->trees; tree++) {
            size_t node = 0;
            ffl_packed_descend(packing, l, plan->state, tree, 0, l->levels, 1, &x, &node, &v, 0);
            for (size_t level = 0; level < l->levels; level++) {
                *nodes++ = (int32_t)(v.row[level] - tree * l->nodes);
                *logits++ = v.g[level];
            }
        }
}

#endif
