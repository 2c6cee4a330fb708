/*
 * Tree walks over one-row kernels: what the walks of every instruction set share. The kernels come as
 * constant arguments (ffl_dot_avx512, …) and are inlined, so each caller gets code of its own.
 */
#ifndef FFL_KERNELS_SIMD_WALK_H
#define FFL_KERNELS_SIMD_WALK_H

#include "kernels/layer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* x·w; z[i] = act(z[i]); y = or += Σ_k g[k]·w[k]: contracts in scalar.h. */
typedef float ffl_dot_function(const float *x, const float *w, size_t n);
typedef void ffl_activate_function(ffl_activation activation, float *z, size_t n);
typedef void ffl_rows_function(const float *g, const float *const *w, size_t count, float *y, size_t n,
                               bool add);

/*
 * The fused walk, one token at a time: descend and collect the visited rows and their logits; then one
 * activation and one pass over y, which sums all collected rows in registers. The descent waits for nothing
 * but its dot products, and y is written once, never read. Layers of many trees do so in chunks.
 */
static inline __attribute__((always_inline)) void
ffl_walk_fused(const ffl_layer *l, ffl_dot_function *dot, ffl_activate_function *activate,
               ffl_rows_function *sum_rows, const float *x, size_t ldx, float *y, size_t ldy, size_t tokens)
{
    enum { CHUNK = 64 }; /* at least FFL_LEVELS_MAX; more rows than that gain nothing */
    for (size_t t = 0; t < tokens; t++, x += ldx, y += ldy) {
        size_t tree = 0;
        for (bool add = false; tree < l->trees; add = true) {
            float g[CHUNK];
            const float *w[CHUNK];
            size_t count = 0;
            do {
                size_t node = 0;
                for (size_t level = 0; level < l->levels; level++) {
                    const size_t row = tree * l->nodes + node;
                    const float z = dot(x, l->w_in + row * l->width_in, l->width_in) + l->b_in[row];
                    g[count] = z;
                    w[count++] = l->w_out + row * l->width_out;
                    node = 2 * node + 1 + (z > 0.0f);
                }
                tree++;
            } while (tree < l->trees && count + l->levels <= CHUNK);
            activate(l->activation, g, count);
            sum_rows(g, w, count, y, l->width_out, add);
        }
    }
}

/* A variant's trace, for walks that take x·w + b by `dot`, in whatever order: nodes and logits as they do. */
static inline __attribute__((always_inline)) void ffl_walk_trace(const ffl_layer *l, ffl_dot_function *dot,
                                                                 const float *x, size_t ldx, size_t tokens,
                                                                 int32_t *nodes, float *logits)
{
    for (size_t t = 0; t < tokens; t++, x += ldx)
        for (size_t tree = 0; tree < l->trees; tree++) {
            size_t node = 0;
            for (size_t level = 0; level < l->levels; level++) {
                const size_t row = tree * l->nodes + node;
                const float z = dot(x, l->w_in + row * l->width_in, l->width_in) + l->b_in[row];
                *nodes++ = (int32_t)node;
                *logits++ = z;
                node = 2 * node + 1 + (z > 0.0f);
            }
        }
}

#endif
