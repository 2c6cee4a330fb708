/*
 * Descents of tokens that are kept sorted by node. A step takes all tokens of one node through it, and with
 * two levels per step through both children, in register tiles (token_tile_avx512.h), and splits them, stably
 * and in place, among the children or grandchildren. Two levels waste a third of the products, but read x,
 * which comes from L2, every other level only. Where a node has few tokens left, they walk on side by side.
 */
#ifndef FFL_KERNELS_SIMD_PARTITION_AVX512_H
#define FFL_KERNELS_SIMD_PARTITION_AVX512_H

#include "kernels/simd/token_tile_avx512.h"
#include <stdint.h>
#include <string.h>

enum { FFL_PARTITION_FEW = 2, FFL_PARTITION_WAYS = 4 };

/* One tree and one batch; lists hold indices of tokens. */
typedef struct ffl_partition {
    const ffl_layer *l;
    size_t tree, last; /* descends to above this level */
    const float *x;
    size_t ldx;
    float *g;        /* [tokens][levels]: activations; NULL: only the way is wanted */
    uint32_t *node;  /* [tokens]: where each token has come to */
    uint32_t *spare; /* as long as the longest list */
    uint8_t *way;    /* likewise */
    /* Rows of width_in wanted soon: FFL_TILE_AHEAD of them are fetched into L2 by each tile. */
    const float *const *wanted;
    size_t wanted_first, wanted_end;
    size_t waiting; /* tokens that walk on alone, from node[] at their level; 0 at first */
    uint32_t waiting_token[FFL_TILE_PAIRS];
    size_t waiting_level[FFL_TILE_PAIRS];
} ffl_partition;

static inline const float *ffl_partition_row(const ffl_partition *p, size_t node)
{
    return p->l->w_in + (p->tree * p->l->nodes + node) * p->l->width_in;
}

static inline float ffl_partition_bias(const ffl_partition *p, size_t node)
{
    return p->l->b_in[p->tree * p->l->nodes + node];
}

/* One level for the first `active` of the waiting tokens. */
static inline void ffl_partition_walk(ffl_partition *p, size_t active, float (*logits)[FFL_LEVELS_MAX])
{
    const float *x[FFL_TILE_PAIRS], *w[FFL_TILE_PAIRS];
    float z[FFL_TILE_PAIRS];
    for (size_t i = 0; i < active; i++) {
        x[i] = p->x + p->waiting_token[i] * p->ldx;
        w[i] = ffl_partition_row(p, p->node[p->waiting_token[i]]);
    }
    switch (active) {
    case 4:
        ffl_tile_pairs_avx512(x, w, 4, p->l->width_in, z);
        break;
    case 3:
        ffl_tile_pairs_avx512(x, w, 3, p->l->width_in, z);
        break;
    case 2:
        ffl_tile_pairs_avx512(x, w, 2, p->l->width_in, z);
        break;
    default:
        ffl_tile_pairs_avx512(x, w, 1, p->l->width_in, z);
    }
    for (size_t i = 0; i < active; i++) {
        uint32_t *node = &p->node[p->waiting_token[i]];
        const float logit = z[i] + ffl_partition_bias(p, *node);
        logits[i][p->waiting_level[i]++] = logit;
        *node = 2 * *node + 1 + (logit > 0.0f);
    }
}

/* The waiting tokens finish, several descents at a time to overlap their misses. */
static inline void ffl_partition_flush(ffl_partition *p)
{
    float z[FFL_TILE_PAIRS][FFL_LEVELS_MAX];
    size_t first[FFL_TILE_PAIRS];
    memcpy(first, p->waiting_level, sizeof first);
    /* Those with most levels to go come first, so that the active ones are always a prefix. */
    for (size_t i = 1; i < p->waiting; i++)
        for (size_t j = i; j > 0 && p->waiting_level[j] < p->waiting_level[j - 1]; j--) {
            const size_t level = p->waiting_level[j];
            const uint32_t token = p->waiting_token[j];
            p->waiting_level[j] = first[j] = p->waiting_level[j - 1];
            p->waiting_token[j] = p->waiting_token[j - 1];
            p->waiting_level[j - 1] = first[j - 1] = level;
            p->waiting_token[j - 1] = token;
        }
    for (size_t active = p->waiting; active;) {
        ffl_partition_walk(p, active, z);
        while (active && p->waiting_level[active - 1] == p->last)
            active--;
    }
    for (size_t i = 0; p->g && i < p->waiting; i++) {
        const size_t count = p->last - first[i];
        ffl_activate_avx512(p->l->activation, z[i] + first[i], count);
        memcpy(p->g + p->waiting_token[i] * p->l->levels + first[i], z[i] + first[i], count * sizeof(float));
    }
    p->waiting = 0;
}

/* One tile of one step of 1 or 2 levels, a constant like `tokens`; way[t]: to which (grand)child token t
 * goes. */
static inline __attribute__((always_inline)) void ffl_partition_tile(ffl_partition *p, size_t level,
                                                                     size_t node, const uint32_t *list,
                                                                     size_t tokens, size_t levels,
                                                                     uint8_t *way)
{
    const float *x[FFL_TILE_TOKENS], *w[FFL_TILE_ROWS] = {ffl_partition_row(p, node)};
    const float *ahead[FFL_TILE_AHEAD];
    __m256 z[FFL_TILE_ROWS];
    for (size_t i = 0; i < FFL_TILE_AHEAD; i++)
        ahead[i] = p->wanted_first < p->wanted_end ? p->wanted[p->wanted_first++] : w[0];
    for (size_t t = 0; t < tokens; t++)
        x[t] = p->x + list[t] * p->ldx;
    if (levels == 2) {
        w[1] = ffl_partition_row(p, 2 * node + 1);
        w[2] = ffl_partition_row(p, 2 * node + 2);
    }
    ffl_tile_dots_avx512(x, tokens, w, levels == 2 ? 3 : 1, p->l->width_in, ahead, z);
    const __m256 zero = _mm256_setzero_ps();
    const __m256 first = _mm256_add_ps(z[0], _mm256_set1_ps(ffl_partition_bias(p, node)));
    const __m256 right = _mm256_cmp_ps(first, zero, _CMP_GT_OQ);
    __m256 second = zero;
    if (levels == 2)
        second =
            _mm256_blendv_ps(_mm256_add_ps(z[1], _mm256_set1_ps(ffl_partition_bias(p, 2 * node + 1))),
                             _mm256_add_ps(z[2], _mm256_set1_ps(ffl_partition_bias(p, 2 * node + 2))), right);
    const unsigned bits = (unsigned)_mm256_movemask_ps(right);
    const unsigned bits2 = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(second, zero, _CMP_GT_OQ));
    for (size_t t = 0; t < tokens; t++)
        way[t] = (uint8_t)(levels == 2 ? 2 * (bits >> t & 1) + (bits2 >> t & 1) : bits >> t & 1);
    if (!p->g)
        return;
    float g[2 * FFL_TILE_TOKENS];
    const __m512 both = _mm512_castpd_ps(
        _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_castps_pd(first)), _mm256_castps_pd(second), 1));
    _mm512_storeu_ps(g, ffl_act_avx512(p->l->activation, both));
    for (size_t t = 0; t < tokens; t++) {
        float *to = p->g + list[t] * p->l->levels + level;
        to[0] = g[t];
        if (levels == 2)
            to[1] = g[FFL_TILE_TOKENS + t];
    }
}

/*
 * One step of 1 or 2 levels, a constant, for all `count` tokens of a node on `level`: sorts the list by
 * (grand)child; list + start[i] .. list + start[i + 1] go to the i-th.
 */
static inline __attribute__((always_inline)) void ffl_partition_step(ffl_partition *p, size_t level,
                                                                     size_t node, uint32_t *list,
                                                                     size_t count, size_t levels,
                                                                     size_t *start)
{
    size_t i = 0;
    for (; i + FFL_TILE_TOKENS <= count; i += FFL_TILE_TOKENS)
        ffl_partition_tile(p, level, node, list + i, FFL_TILE_TOKENS, levels, p->way + i);
    switch (count - i) {
#define REST(TOKENS)                                                                                         \
    case TOKENS:                                                                                             \
        ffl_partition_tile(p, level, node, list + i, TOKENS, levels, p->way + i);                            \
        break
        REST(1);
        REST(2);
        REST(3);
        REST(4);
        REST(5);
        REST(6);
        REST(7);
#undef REST
    default:
        break;
    }
    const size_t ways = (size_t)1 << levels;
    size_t end[FFL_PARTITION_WAYS];
    memset(start, 0, (ways + 1) * sizeof *start);
    for (i = 0; i < count; i++)
        start[p->way[i] + 1]++;
    for (i = 0; i < ways; i++) {
        start[i + 1] += start[i];
        end[i] = start[i];
    }
    for (i = 0; i < count; i++)
        p->spare[end[p->way[i]]++] = list[i];
    memcpy(list, p->spare, count * sizeof *list);
}

/*
 * Depth first: all `count` tokens of `node`, which lies on `level`. Afterwards, and after a flush, node[]
 * says where each has arrived, and the list is sorted by it but for stretches of FFL_PARTITION_FEW.
 */
static inline void ffl_partition_descend(ffl_partition *p, size_t level, size_t node, uint32_t *list,
                                         size_t count)
{
    if (level == p->last || count <= FFL_PARTITION_FEW) {
        for (size_t i = 0; i < count; i++) {
            p->node[list[i]] = (uint32_t)node;
            if (level == p->last)
                continue;
            p->waiting_level[p->waiting] = level;
            p->waiting_token[p->waiting++] = list[i];
            if (p->waiting == FFL_TILE_PAIRS)
                ffl_partition_flush(p);
        }
        return;
    }
    const size_t levels = p->last - level >= 2 ? 2 : 1;
    size_t start[FFL_PARTITION_WAYS + 1];
    if (levels == 2)
        ffl_partition_step(p, level, node, list, count, 2, start);
    else
        ffl_partition_step(p, level, node, list, count, 1, start);
    for (size_t i = 0; i < (size_t)1 << levels; i++)
        ffl_partition_descend(p, level + levels, ((node + 1) << levels) - 1 + i, list + start[i],
                              start[i + 1] - start[i]);
}

#endif
