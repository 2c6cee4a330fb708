/*
 * Descents of several tokens side by side, over one-row kernels: while one token's next row is on its way
 * from L3 or memory, the others' dot products run. One descent is a chain of misses; several chains overlap
 * them. The kernels come as constant arguments and are inlined, as in walk.h.
 */
#ifndef FFL_KERNELS_SIMD_TOGETHER_H
#define FFL_KERNELS_SIMD_TOGETHER_H

#include "kernels/simd/records.h"
#include "kernels/simd/walk.h"

enum { FFL_TOGETHER_MAX = 16 };

/*
 * Up to FFL_TOGETHER_MAX tokens: levels in lockstep; then, per token, the activation and one pass over y that
 * sums all visited rows in registers. Layers of many trees do so in chunks of CHUNK rows.
 */
static inline __attribute__((always_inline)) void
ffl_walk_group(const ffl_layer *l, ffl_tree_rows w, ffl_dot_function *dot, ffl_activate_function *activate,
               ffl_rows_function *sum_rows, const float *x, size_t ldx, float *y, size_t ldy, size_t together)
{
    enum { CHUNK = 32 }; /* at least FFL_LEVELS_MAX; 16 tokens' worth still fits beside x in L1 */
    float g[FFL_TOGETHER_MAX][CHUNK];
    const float *rows[FFL_TOGETHER_MAX][CHUNK];
    size_t tree = 0;
    for (bool add = false; tree < l->trees; add = true) {
        size_t count = 0;
        for (; tree < l->trees && count + l->levels <= CHUNK; tree++) {
            size_t node[FFL_TOGETHER_MAX] = {0};
            for (size_t level = 0; level < l->levels; level++, count++)
                for (size_t i = 0; i < together; i++) {
                    const size_t row = tree * l->nodes + node[i];
                    const float z = dot(x + i * ldx, w.in + row * w.in_stride, l->width_in) + l->b_in[row];
                    g[i][count] = z;
                    rows[i][count] = w.out + row * w.out_stride;
                    node[i] = 2 * node[i] + 1 + (z > 0.0f);
                }
        }
        for (size_t i = 0; i < together; i++) {
            activate(l->activation, g[i], count);
            sum_rows(g[i], rows[i], count, y + i * ldy, l->width_out, add);
        }
    }
}

/* All tokens, `together` <= FFL_TOGETHER_MAX at a time. */
static inline __attribute__((always_inline)) void
ffl_walk_together(const ffl_layer *l, ffl_tree_rows w, ffl_dot_function *dot, ffl_activate_function *activate,
                  ffl_rows_function *sum_rows, const float *x, size_t ldx, float *y, size_t ldy,
                  size_t tokens, size_t together)
{
    for (size_t t = 0; t < tokens; t += together)
        ffl_walk_group(l, w, dot, activate, sum_rows, x + t * ldx, ldx, y + t * ldy, ldy,
                       tokens - t < together ? tokens - t : together);
}

#endif
