/*
 * The output pass of tokens whose paths are known and much alike: those of a group sorted by leaf, a block of
 * columns at a time, so that the rows of a path stay in L1 from one token to the next; two tokens of the same
 * leaf share every load of a row.
 */
#ifndef FFL_KERNELS_SIMD_GROUP_OUTPUT_AVX512_H
#define FFL_KERNELS_SIMD_GROUP_OUTPUT_AVX512_H

#include "kernels/simd/partition_avx512.h"

/*
 * y of the listed tokens from p->g and p->node (children of the last level); the first tree of a layer
 * writes, the others add. block: columns per pass, a multiple of 128.
 */
static inline __attribute__((always_inline)) void ffl_group_output_avx512(const ffl_partition *p,
                                                                          const uint32_t *list, size_t count,
                                                                          float *y, size_t ldy, size_t block,
                                                                          ffl_stores stores)
{
    const ffl_layer *l = p->l;
    const float *out = l->w_out + p->tree * l->nodes * l->width_out;
    for (size_t from = 0; from < l->width_out; from += block) {
        const size_t to = l->width_out - from < block ? l->width_out : from + block;
        for (size_t i = 0; i < count;) {
            const float *w[FFL_LEVELS_MAX], *g[2];
            float *rows[2], *next[2];
            const size_t leaf = (p->node[list[i]] - 1) / 2;
            size_t node = leaf;
            for (size_t level = l->levels; level-- > 0; node = (node - 1) / 2)
                w[level] = out + node * l->width_out;
            const bool pair = i + 1 < count && (p->node[list[i + 1]] - 1) / 2 == leaf;
            for (size_t t = 0; t < 2; t++) {
                const size_t at = i + t < count ? i + t : i;
                g[t] = p->g + list[at] * l->levels;
                rows[t] = y + list[at] * ldy;
                next[t] = y + list[at + 2 < count ? at + 2 : at] * ldy;
            }
            if (pair)
                ffl_tile_rows_avx512(g, w, l->levels, rows, next, 2, from, to, p->tree > 0, stores);
            else
                ffl_tile_rows_avx512(g, w, l->levels, rows, next, 1, from, to, p->tree > 0, stores);
            i += pair ? 2 : 1;
        }
    }
}

#endif
