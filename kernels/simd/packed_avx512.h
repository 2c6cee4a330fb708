/*
 * Rows of weights stored narrower than float (bf16_avx512.h, int8_avx512.h), multiplied in f32: what the
 * formats share, AVX-512. A packed row is a whole number of blocks of 32 columns, zeros beyond the width; a
 * format is the function that widens one block, and its size. Both are constant arguments, inlined, so that
 * each format gets code of its own. Only x and y need masks: masked lanes are not accessed.
 *
 * Half or a quarter of the bytes pays where rows come from L3 or memory; widening costs one to one and a half
 * cycles per 16 columns, which shows where they come from L1 or L2.
 */
#ifndef FFL_KERNELS_SIMD_PACKED_AVX512_H
#define FFL_KERNELS_SIMD_PACKED_AVX512_H

#include "kernels/simd/avx512.h"
#include <stdint.h>

enum { FFL_PACKED_BLOCK = 32, FFL_PACKED_TOGETHER = 4 };

/* Columns 0 … 15 and 16 … 31 of a block as floats. */
typedef void ffl_unpack(const char *block, __m512 *low, __m512 *high);

typedef struct ffl_packing {
    ffl_unpack *unpack;
    size_t block_bytes;
} ffl_packing;

static inline size_t ffl_packed_blocks(size_t n)
{
    return (n + FFL_PACKED_BLOCK - 1) / FFL_PACKED_BLOCK;
}

/* The sum of the 16 lanes, in the order of ffl_reduce4_avx512. */
static inline __m128 ffl_quarter_avx512(__m512 v)
{
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

/* Lane i: the sum of v[i]. Four at once take a third of the shuffles of one after the other. */
static inline __m128 ffl_reduce4_avx512(const __m512 *v)
{
    const __m128 a = ffl_quarter_avx512(v[0]), b = ffl_quarter_avx512(v[1]), c = ffl_quarter_avx512(v[2]),
                 d = ffl_quarter_avx512(v[3]);
    const __m128 ab = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
    const __m128 cd = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
    return _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab));
}

/*
 * z[t] = x[t]·w[t] for `count` <= 4 pairs of rows side by side: as many misses in flight, and no chain of
 * additions to wait for. The bits of a sum do not depend on count.
 */
static inline __attribute__((always_inline)) void ffl_packed_dots(const ffl_packing p, const size_t count,
                                                                  const float *const *x, const char *const *w,
                                                                  size_t n, float *z)
{
    __m512 sum[FFL_PACKED_TOGETHER][4];
#pragma GCC unroll 4
    for (size_t t = 0; t < FFL_PACKED_TOGETHER; t++)
        for (size_t k = 0; k < 4; k++)
            sum[t][k] = _mm512_setzero_ps();
    size_t i = 0, at = 0;
    for (; i + 2 * FFL_PACKED_BLOCK <= n; i += 2 * FFL_PACKED_BLOCK, at += 2 * p.block_bytes)
#pragma GCC unroll 4
        for (size_t t = 0; t < count; t++)
#pragma GCC unroll 2
            for (size_t b = 0; b < 2; b++) {
                const float *from = x[t] + i + b * FFL_PACKED_BLOCK;
                __m512 low, high;
                p.unpack(w[t] + at + b * p.block_bytes, &low, &high);
                sum[t][2 * b] = _mm512_fmadd_ps(_mm512_loadu_ps(from), low, sum[t][2 * b]);
                sum[t][2 * b + 1] = _mm512_fmadd_ps(_mm512_loadu_ps(from + 16), high, sum[t][2 * b + 1]);
            }
    for (; i < n; i += FFL_PACKED_BLOCK, at += p.block_bytes) {
        const size_t left = n - i;
        const __mmask16 m = left < 16 ? ffl_lanes_avx512(left) : (__mmask16)0xffff;
        const __mmask16 o = left < 16 ? 0 : left < 32 ? ffl_lanes_avx512(left - 16) : (__mmask16)0xffff;
#pragma GCC unroll 4
        for (size_t t = 0; t < count; t++) {
            __m512 low, high;
            p.unpack(w[t] + at, &low, &high);
            sum[t][0] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, x[t] + i), low, sum[t][0]);
            sum[t][1] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(o, x[t] + i + 16), high, sum[t][1]);
        }
    }
    __m512 total[FFL_PACKED_TOGETHER];
#pragma GCC unroll 4
    for (size_t t = 0; t < FFL_PACKED_TOGETHER; t++)
        total[t] = t < count ? _mm512_add_ps(_mm512_add_ps(sum[t][0], sum[t][1]),
                                             _mm512_add_ps(sum[t][2], sum[t][3]))
                             : _mm512_setzero_ps();
    float four[FFL_PACKED_TOGETHER];
    _mm_storeu_ps(four, ffl_reduce4_avx512(total));
    for (size_t t = 0; t < count; t++)
        z[t] = four[t];
}

/* How y is written: over, on top of what is there, or past the cache (y + every row 64-byte aligned). */
typedef enum ffl_store { FFL_STORE, FFL_STORE_ADD, FFL_STORE_STREAM } ffl_store;

/* y = or += Σ_k g[k]·w[k] over `count` rows: y stays in registers, 256 columns at a time. */
static inline __attribute__((always_inline)) void ffl_packed_rows(const ffl_packing p, const float *g,
                                                                  const char *const *w, size_t count,
                                                                  float *y, size_t n, ffl_store store)
{
    enum { BLOCKS = 8, COLUMNS = BLOCKS * FFL_PACKED_BLOCK };
    size_t i = 0, at = 0;
    for (; i + COLUMNS <= n; i += COLUMNS, at += BLOCKS * p.block_bytes) {
        __m512 sum[2 * BLOCKS];
#pragma GCC unroll 16
        for (size_t j = 0; j < 2 * BLOCKS; j++)
            sum[j] = store == FFL_STORE_ADD ? _mm512_loadu_ps(y + i + 16 * j) : _mm512_setzero_ps();
        for (size_t k = 0; k < count; k++) {
            const __m512 v = _mm512_set1_ps(g[k]);
#pragma GCC unroll 8
            for (size_t b = 0; b < BLOCKS; b++) {
                __m512 low, high;
                p.unpack(w[k] + at + b * p.block_bytes, &low, &high);
                sum[2 * b] = _mm512_fmadd_ps(v, low, sum[2 * b]);
                sum[2 * b + 1] = _mm512_fmadd_ps(v, high, sum[2 * b + 1]);
            }
        }
#pragma GCC unroll 16
        for (size_t j = 0; j < 2 * BLOCKS; j++) {
            if (store == FFL_STORE_STREAM)
                _mm512_stream_ps(y + i + 16 * j, sum[j]);
            else
                _mm512_storeu_ps(y + i + 16 * j, sum[j]);
        }
    }
    for (; i < n; i += FFL_PACKED_BLOCK, at += p.block_bytes) {
        const size_t left = n - i;
        const __mmask16 m = left < 16 ? ffl_lanes_avx512(left) : (__mmask16)0xffff;
        const __mmask16 o = left < 16 ? 0 : left < 32 ? ffl_lanes_avx512(left - 16) : (__mmask16)0xffff;
        const bool add = store == FFL_STORE_ADD;
        __m512 a = add ? _mm512_maskz_loadu_ps(m, y + i) : _mm512_setzero_ps();
        __m512 b = add ? _mm512_maskz_loadu_ps(o, y + i + 16) : _mm512_setzero_ps();
        for (size_t k = 0; k < count; k++) {
            __m512 low, high;
            p.unpack(w[k] + at, &low, &high);
            a = _mm512_fmadd_ps(_mm512_set1_ps(g[k]), low, a);
            b = _mm512_fmadd_ps(_mm512_set1_ps(g[k]), high, b);
        }
        _mm512_mask_storeu_ps(y + i, m, a);
        _mm512_mask_storeu_ps(y + i + 16, o, b);
    }
}

#endif
