/*
 * Register tiles for AVX-512 F: tokens that share rows of a matrix. Dot products of up to 8 tokens with 1 or
 * 3 rows load each row once for all tokens and each token once for all rows: 11 loads for 24 FMAs, against
 * two for one in a dot product alone. Every sum runs in the same order in every tile, one accumulator of 16
 * lanes per sum: a token's result does not depend on its neighbours.
 */
#ifndef FFL_KERNELS_SIMD_TOKEN_TILE_AVX512_H
#define FFL_KERNELS_SIMD_TOKEN_TILE_AVX512_H

#include "kernels/simd/avx512.h"

enum { FFL_TILE_TOKENS = 8, FFL_TILE_ROWS = 3, FFL_TILE_PAIRS = 4, FFL_TILE_AHEAD = 2 };

static inline __m256 ffl_half_sums_avx512(__m512 v)
{
    return _mm256_add_ps(_mm512_castps512_ps256(v),
                         _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1)));
}

/* Lane t = the sum of the 16 lanes of v[t]: three levels of pairwise sums, then the halves. */
static inline __m256 ffl_sums_avx512(const __m512 v[FFL_TILE_TOKENS])
{
    const __m256 a = _mm256_hadd_ps(ffl_half_sums_avx512(v[0]), ffl_half_sums_avx512(v[1]));
    const __m256 b = _mm256_hadd_ps(ffl_half_sums_avx512(v[2]), ffl_half_sums_avx512(v[3]));
    const __m256 c = _mm256_hadd_ps(ffl_half_sums_avx512(v[4]), ffl_half_sums_avx512(v[5]));
    const __m256 d = _mm256_hadd_ps(ffl_half_sums_avx512(v[6]), ffl_half_sums_avx512(v[7]));
    const __m256 low = _mm256_hadd_ps(a, b), high = _mm256_hadd_ps(c, d);
    return _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
}

/*
 * Lane t of z[r] = x[t]·w[r] for constant numbers of tokens and rows; lanes from `tokens` on: unspecified.
 * ahead: FFL_TILE_AHEAD rows of n elements to be fetched into L2 meanwhile, evenly: asked for in a burst they
 * would take all line buffers, which reading x from L2 needs too. Rows already there cost next to nothing.
 */
static inline __attribute__((always_inline)) void ffl_tile_dots_avx512(const float *const *x, size_t tokens,
                                                                       const float *const *w, size_t rows,
                                                                       size_t n, const float *const *ahead,
                                                                       __m256 *z)
{
    __m512 sum[FFL_TILE_ROWS][FFL_TILE_TOKENS];
    for (size_t r = 0; r < rows; r++)
        for (size_t t = 0; t < FFL_TILE_TOKENS; t++)
            sum[r][t] = _mm512_setzero_ps();
    size_t k = 0;
    for (; k + 16 <= n; k += 16) {
        __m512 row[FFL_TILE_ROWS];
        for (size_t r = 0; r < rows; r++)
            row[r] = _mm512_loadu_ps(w[r] + k);
        for (size_t t = 0; t < tokens; t++) {
            __m512 v = _mm512_loadu_ps(x[t] + k);
            __asm__("" : "+v"(v)); /* gcc 12 would load it again for every row */
            for (size_t r = 0; r < rows; r++)
                sum[r][t] = _mm512_fmadd_ps(v, row[r], sum[r][t]);
        }
        for (size_t i = 0; i < FFL_TILE_AHEAD; i++)
            _mm_prefetch((const char *)(ahead[i] + k), _MM_HINT_T1);
    }
    if (k < n) {
        const __mmask16 m = ffl_lanes_avx512(n - k);
        for (size_t t = 0; t < tokens; t++) {
            const __m512 v = _mm512_maskz_loadu_ps(m, x[t] + k);
            for (size_t r = 0; r < rows; r++)
                sum[r][t] = _mm512_fmadd_ps(v, _mm512_maskz_loadu_ps(m, w[r] + k), sum[r][t]);
        }
    }
    for (size_t r = 0; r < rows; r++)
        z[r] = ffl_sums_avx512(sum[r]);
}

/* z[t] = x[t]·w[t] for a constant number of tokens, each with a row of its own, column by column. */
static inline __attribute__((always_inline)) void
ffl_tile_pairs_avx512(const float *const *x, const float *const *w, size_t tokens, size_t n, float *z)
{
    __m512 sum[FFL_TILE_TOKENS];
    for (size_t t = 0; t < FFL_TILE_TOKENS; t++)
        sum[t] = _mm512_setzero_ps();
    size_t k = 0;
    for (; k + 16 <= n; k += 16)
        for (size_t t = 0; t < tokens; t++)
            sum[t] = _mm512_fmadd_ps(_mm512_loadu_ps(x[t] + k), _mm512_loadu_ps(w[t] + k), sum[t]);
    if (k < n) {
        const __mmask16 m = ffl_lanes_avx512(n - k);
        for (size_t t = 0; t < tokens; t++)
            sum[t] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, x[t] + k), _mm512_maskz_loadu_ps(m, w[t] + k),
                                     sum[t]);
    }
    float all[FFL_TILE_TOKENS];
    _mm256_storeu_ps(all, ffl_sums_avx512(sum));
    for (size_t t = 0; t < tokens; t++)
        z[t] = all[t];
}

/* x·w with the tile's sums: for a variant's trace. */
static inline float ffl_tile_dot_avx512(const float *x, const float *w, size_t n)
{
    float z;
    ffl_tile_pairs_avx512(&x, &w, 1, n, &z);
    return z;
}

typedef enum ffl_stores {
    FFL_STORES_PLAIN,
    FFL_STORES_AHEAD, /* and the lines of `next`, to be written soon, are asked for */
    FFL_STORES_STREAM /* past the caches: y and ldy whole cache lines; needs a fence at the end */
} ffl_stores;

/*
 * Columns from..to of y[t] = (add: +=) Σ_k g[t][k]·w[k], for a constant number of tokens, 1 or 2.
 *
 * A store to a line that no cache holds waits for it, and about ten such waits are all a core has under way.
 * Asking for the lines of the next tokens meanwhile beats stores past the caches: 0.36 against 0.47 µs per
 * 3 KB, and 0.50 for plain stores (Cascade Lake, rows in random order).
 */
static inline __attribute__((always_inline)) void
ffl_tile_rows_avx512(const float *const *g, const float *const *w, size_t count, float *const *y,
                     float *const *next, size_t tokens, size_t from, size_t to, bool add, ffl_stores stores)
{
    enum { VECTORS = 8, TOKENS = 2 };
    size_t i = from;
    for (; i + 16 * VECTORS <= to; i += 16 * VECTORS) {
        __m512 sum[TOKENS][VECTORS];
        for (size_t t = 0; t < tokens; t++)
            for (size_t j = 0; j < VECTORS; j++) {
                sum[t][j] = add ? _mm512_loadu_ps(y[t] + i + 16 * j) : _mm512_setzero_ps();
                if (stores == FFL_STORES_AHEAD)
                    _mm_prefetch((const char *)(next[t] + i + 16 * j), _MM_HINT_T0);
            }
        for (size_t k = 0; k < count; k++) {
            __m512 v[TOKENS];
            for (size_t t = 0; t < tokens; t++)
                v[t] = _mm512_set1_ps(g[t][k]);
            for (size_t j = 0; j < VECTORS; j++) {
                const __m512 row = _mm512_loadu_ps(w[k] + i + 16 * j);
                for (size_t t = 0; t < tokens; t++)
                    sum[t][j] = _mm512_fmadd_ps(v[t], row, sum[t][j]);
            }
        }
        for (size_t t = 0; t < tokens; t++)
            for (size_t j = 0; j < VECTORS; j++)
                if (stores == FFL_STORES_STREAM)
                    _mm512_stream_ps(y[t] + i + 16 * j, sum[t][j]);
                else
                    _mm512_storeu_ps(y[t] + i + 16 * j, sum[t][j]);
    }
    for (; i < to; i += 16) {
        const __mmask16 m = to - i < 16 ? ffl_lanes_avx512(to - i) : (__mmask16)0xffff;
        for (size_t t = 0; t < tokens; t++) {
            __m512 sum = add ? _mm512_maskz_loadu_ps(m, y[t] + i) : _mm512_setzero_ps();
            for (size_t k = 0; k < count; k++)
                sum = _mm512_fmadd_ps(_mm512_set1_ps(g[t][k]), _mm512_maskz_loadu_ps(m, w[k] + i), sum);
            _mm512_mask_storeu_ps(y[t] + i, m, sum);
        }
    }
}

#endif
