/*
 * Tokens in lanes: 16 tokens side by side in a register, x transposed, so that a tree level costs neither
 * gathers nor horizontal sums. For one input column the weights of a level are a register table from which a
 * permutation picks each token's own.
 *
 * A node is named here by h, its heap index plus one: 1 is the root, the children of h are 2h and 2h + 1, and
 * the lowest bits of h are the node's place in its level. Permutations look at no other bits.
 *
 * Every sum runs over ascending columns in one accumulator: a token's bits do not depend on its neighbours.
 * Transposed x has a last column of ones, and tables one of biases.
 */
#ifndef FFL_KERNELS_SIMD_LANES_AVX512_H
#define FFL_KERNELS_SIMD_LANES_AVX512_H

#include "kernels/simd/avx512.h"
#include <stdint.h>

/* 16 rows and columns in registers, in place. */
static inline void ffl_transpose_16_avx512(__m512 r[16])
{
    __m512 t[16];
    for (size_t i = 0; i < 16; i += 4) {
        const __m512 a = _mm512_unpacklo_ps(r[i], r[i + 1]), b = _mm512_unpackhi_ps(r[i], r[i + 1]);
        const __m512 c = _mm512_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
        t[i] = _mm512_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
    /* t[i + j] holds columns j, 4 + j, 8 + j, 12 + j of rows i … i + 3. */
    for (size_t j = 0; j < 4; j++) {
        const __m512 a = _mm512_shuffle_f32x4(t[j], t[4 + j], 0x88);
        const __m512 b = _mm512_shuffle_f32x4(t[8 + j], t[12 + j], 0x88);
        const __m512 c = _mm512_shuffle_f32x4(t[j], t[4 + j], 0xdd);
        const __m512 d = _mm512_shuffle_f32x4(t[8 + j], t[12 + j], 0xdd);
        r[j] = _mm512_shuffle_f32x4(a, b, 0x88);
        r[8 + j] = _mm512_shuffle_f32x4(a, b, 0xdd);
        r[4 + j] = _mm512_shuffle_f32x4(c, d, 0x88);
        r[12 + j] = _mm512_shuffle_f32x4(c, d, 0xdd);
    }
}

/* xt [width + 1][16]: at most 16 rows of x side by side, zeros for rows that are not there. */
static inline void ffl_transpose_rows_avx512(const float *x, size_t ldx, size_t rows, size_t width, float *xt)
{
    for (size_t k = 0; k < width; k += 16) {
        const size_t columns = width - k < 16 ? width - k : 16;
        const __mmask16 m = columns < 16 ? ffl_lanes_avx512(columns) : (__mmask16)0xffff;
        __m512 r[16];
        for (size_t i = 0; i < 16; i++)
            r[i] = i < rows ? _mm512_maskz_loadu_ps(m, x + i * ldx + k) : _mm512_setzero_ps();
        ffl_transpose_16_avx512(r);
        for (size_t i = 0; i < columns; i++)
            _mm512_store_ps(xt + (k + i) * 16, r[i]);
    }
    _mm512_store_ps(xt + width * 16, _mm512_set1_ps(1.0f));
}

/* What the tiles below work on: `vectors` panels of 16 tokens each, a range of columns. */
typedef struct ffl_lanes {
    const float *xt; /* vector v, column k at xt + v·panel + 16·k */
    size_t panel;
    size_t columns;
    float *z; /* logits of row r, vector v at z + r·ldz + 16·v */
    size_t ldz;
    const uint32_t *h; /* nodes likewise */
    size_t ldh;
    bool add;         /* on top of z */
    const char *next; /* what to have in L2 next; a step per column */
    size_t step;
} ffl_lanes;

/*
 * `rows` <= 24 rows of weights, w [columns][rows], times one vector of tokens. Weights are broadcast within
 * the FMA: one load of x for 24 of them and hardly any instruction besides.
 */
static inline __attribute__((always_inline)) void ffl_lanes_dense(const size_t rows, const ffl_lanes *l,
                                                                  const float *w)
{
    __m512 sum[24];
    const float *xt = l->xt;
    const float *const end = xt + l->columns * 16;
    const char *next = l->next;
    const size_t step = l->step;
#pragma GCC unroll 24
    for (size_t n = 0; n < rows; n++)
        sum[n] = _mm512_setzero_ps();
    for (; xt < end; xt += 16, w += rows, next += step) {
        const __m512 x = _mm512_load_ps(xt);
        _mm_prefetch(next, _MM_HINT_T1);
#pragma GCC unroll 24
        for (size_t n = 0; n < rows; n++)
            sum[n] = _mm512_fmadd_ps(_mm512_set1_ps(w[n]), x, sum[n]);
    }
#pragma GCC unroll 24
    for (size_t n = 0; n < rows; n++)
        _mm512_store_ps(l->z + n * l->ldz, sum[n]);
}

/*
 * A permutation that reads its table from memory: as one instruction, where the compiler would load a table
 * once and permute from a register. Instructions decoded are what limits when the core is shared.
 */
static inline __m512 ffl_pick_16_avx512(__m512i h, const float *table)
{
    __m512 w;
    __asm__("vpermps %2, %1, %0" : "=v"(w) : "v"(h), "m"(*(const float(*)[16])table));
    return w;
}

static inline __m512 ffl_pick_32_avx512(__m512i h, __m512 low, const float *high)
{
    __asm__("vpermt2ps %2, %1, %0" : "+v"(low) : "v"(h), "m"(*(const float(*)[16])high));
    return low;
}

/* One level of `trees` trees; per column, and then per tree, a table of `slots` = 16 or 32 weights. */
static inline __attribute__((always_inline)) void ffl_lanes_pick(const size_t slots, const size_t trees,
                                                                 const size_t vectors, const ffl_lanes *l,
                                                                 const float *w)
{
    __m512 sum[4][6];
    __m512i h[4][6];
    const float *xt = l->xt;
    const size_t panel = l->panel;
    const float *const end = xt + l->columns * 16;
    const char *next = l->next;
#pragma GCC unroll 4
    for (size_t t = 0; t < trees; t++)
#pragma GCC unroll 6
        for (size_t v = 0; v < vectors; v++) {
            sum[t][v] = l->add ? _mm512_load_ps(l->z + t * l->ldz + 16 * v) : _mm512_setzero_ps();
            h[t][v] = _mm512_load_si512(l->h + t * l->ldh + 16 * v);
        }
    const size_t step = l->step;
    for (; xt < end; xt += 16, w += slots * trees, next += step) {
        __m512 x[6];
        _mm_prefetch(next, _MM_HINT_T1);
#pragma GCC unroll 6
        for (size_t v = 0; v < vectors; v++)
            x[v] = _mm512_load_ps(xt + v * panel);
#pragma GCC unroll 4
        for (size_t t = 0; t < trees; t++) {
            const float *table = w + slots * t;
            const __m512 low = slots == 32 ? _mm512_load_ps(table) : _mm512_setzero_ps();
#pragma GCC unroll 6
            for (size_t v = 0; v < vectors; v++) {
                const __m512 own = slots == 32 ? ffl_pick_32_avx512(h[t][v], low, table + 16)
                                               : ffl_pick_16_avx512(h[t][v], table);
                sum[t][v] = _mm512_fmadd_ps(own, x[v], sum[t][v]);
            }
        }
    }
#pragma GCC unroll 4
    for (size_t t = 0; t < trees; t++)
#pragma GCC unroll 6
        for (size_t v = 0; v < vectors; v++)
            _mm512_store_ps(l->z + t * l->ldz + 16 * v, sum[t][v]);
}

/* One tree, tables of 64: two permutations and a blend. */
static inline __attribute__((always_inline)) void ffl_lanes_pick_64(const size_t vectors, const ffl_lanes *l,
                                                                    const float *w)
{
    __m512 sum[6];
    __m512i h[6];
    __mmask16 upper[6];
    const float *xt = l->xt;
    const char *next = l->next;
    for (size_t v = 0; v < vectors; v++) {
        sum[v] = l->add ? _mm512_load_ps(l->z + 16 * v) : _mm512_setzero_ps();
        h[v] = _mm512_load_si512(l->h + 16 * v);
        upper[v] = _mm512_test_epi32_mask(h[v], _mm512_set1_epi32(32));
    }
    for (size_t k = 0; k < l->columns; k++, xt += 16, w += 64, next += l->step) {
        const __m512 a = _mm512_load_ps(w), b = _mm512_load_ps(w + 16);
        const __m512 c = _mm512_load_ps(w + 32), d = _mm512_load_ps(w + 48);
        _mm_prefetch(next, _MM_HINT_T1);
        for (size_t v = 0; v < vectors; v++) {
            const __m512 low = _mm512_permutex2var_ps(a, h[v], b), high = _mm512_permutex2var_ps(c, h[v], d);
            sum[v] = _mm512_fmadd_ps(_mm512_mask_blend_ps(upper[v], low, high),
                                     _mm512_load_ps(xt + v * l->panel), sum[v]);
        }
    }
    for (size_t v = 0; v < vectors; v++)
        _mm512_store_ps(l->z + 16 * v, sum[v]);
}

#endif
