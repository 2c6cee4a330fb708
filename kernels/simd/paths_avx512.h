/*
 * The output product of tokens that share a path: y[token] += Σ_r g[r]·w[r] over the rows of the shared path,
 * which stay in registers, and over the rows below it, which every token has of its own. One block of 64
 * columns at a time; per token and row one broadcast and four FMAs, y is read and written once.
 */
#ifndef FFL_KERNELS_SIMD_PATHS_AVX512_H
#define FFL_KERNELS_SIMD_PATHS_AVX512_H

#include "kernels/simd/avx512.h"
#include <stdint.h>

enum { FFL_PATH_COLUMNS = 64, FFL_PATH_ROWS_MAX = 6, FFL_PATH_DEEP = 1 << 8 };

typedef struct ffl_path_run {
    const float *const *w; /* the shared rows, 64 columns each */
    const float *g;        /* [count][ldg]: activations, shared rows first */
    size_t ldg;
    const uint32_t *token; /* [count]: rows of y */
    size_t count;
    const float *from; /* [..][64]: sums so far; NULL: zeros */
    float *to;         /* [..][ldto]: sums from here on */
    size_t ldto;
    /* Rows of a token's own, below the path: the activations that follow are theirs. */
    const float *tree;   /* [nodes][64] */
    const uint32_t *own; /* [count][deep]: where in the tree they begin */
    size_t deep;
} ffl_path_run;

/* `rows` shared ones and `own` of a token's own: constants, but FFL_PATH_DEEP is as many as `deep` says. */
static inline __attribute__((always_inline)) void ffl_path_outputs(const size_t rows, const size_t own,
                                                                   const ffl_path_run *run)
{
    const ffl_path_run p = *run; /* so that stores cannot change it */
    const float *g = p.g;
    __m512 w[FFL_PATH_ROWS_MAX][4];
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < 4; j++)
            w[r][j] = _mm512_load_ps(p.w[r] + 16 * j);
    const size_t deep = own == FFL_PATH_DEEP ? p.deep : own;
    const uint32_t *at = p.own;
    for (size_t i = 0; i < p.count; i++, g += p.ldg, at += deep) {
        const size_t token = p.token[i];
        const float *from = p.from + token * FFL_PATH_COLUMNS;
        float *to = p.to + token * p.ldto;
        __m512 sum[4];
        for (size_t j = 0; j < 4; j++)
            sum[j] = p.from ? _mm512_load_ps(from + 16 * j) : _mm512_setzero_ps();
        for (size_t r = 0; r < rows; r++) {
            const __m512 v = _mm512_set1_ps(g[r]);
            for (size_t j = 0; j < 4; j++)
                sum[j] = _mm512_fmadd_ps(v, w[r][j], sum[j]);
        }
        for (size_t d = 0; d < deep; d++) {
            const float *row = p.tree + at[d];
            const __m512 v = _mm512_set1_ps(g[rows + d]);
            for (size_t j = 0; j < 4; j++)
                sum[j] = _mm512_fmadd_ps(v, _mm512_load_ps(row + 16 * j), sum[j]);
        }
        for (size_t j = 0; j < 4; j++)
            _mm512_storeu_ps(to + 16 * j, sum[j]);
    }
}

#endif
