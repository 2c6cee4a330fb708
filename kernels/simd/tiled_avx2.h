/*
 * The 6x16 tile of c that AVX2 code brings to kernels/tiled.h: 12 sums in 12 of the 16 registers; per k 12
 * FMAs, 2 loads of b and 6 broadcasts of a.
 */
#ifndef FFL_KERNELS_SIMD_TILED_AVX2_H
#define FFL_KERNELS_SIMD_TILED_AVX2_H

#include "kernels/simd/avx2.h"
#include "kernels/tiled.h"

enum { FFL_TILE6 = 6, FFL_TILE6_VECTORS = 2, FFL_TILE6_AHEAD = FFL_TILED_AHEAD * FFL_TILED_PANEL };

static inline __attribute__((always_inline)) void
ffl_tile6_step(const size_t m, const float *a, const float *b, __m256 sum[FFL_TILE6][FFL_TILE6_VECTORS])
{
    const __m256 b0 = _mm256_load_ps(b), b1 = _mm256_load_ps(b + 8);
#pragma GCC unroll 6
    for (size_t i = 0; i < m; i++) {
        const __m256 v = _mm256_broadcast_ss(a + i * FFL_TILED_STRIDE);
        sum[i][0] = _mm256_fmadd_ps(v, b0, sum[i][0]);
        sum[i][1] = _mm256_fmadd_ps(v, b1, sum[i][1]);
    }
}

/* c is fetched while the sums grow from zero, and added at the end. */
static inline __attribute__((always_inline)) void ffl_tile6(const size_t m, const float *a, const float *b,
                                                            size_t depth, float *c, size_t ldc,
                                                            size_t columns, bool add, const char *next,
                                                            size_t next_step)
{
    __m256 sum[FFL_TILE6][FFL_TILE6_VECTORS];
#pragma GCC unroll 6
    for (size_t i = 0; i < m; i++) {
        sum[i][0] = sum[i][1] = _mm256_setzero_ps();
        if (add)
            _mm_prefetch((const char *)(c + i * ldc), _MM_HINT_T0);
    }
    size_t k = 0;
    if (next)
        for (; k + 2 <= depth; k += 2, a += 2, b += 2 * FFL_TILED_PANEL, next += next_step) {
            _mm_prefetch(next, _MM_HINT_T1);
            ffl_tile6_step(m, a, b, sum);
            ffl_tile6_step(m, a + 1, b + FFL_TILED_PANEL, sum);
        }
    for (; k < depth; k++, a++, b += FFL_TILED_PANEL) {
        _mm_prefetch((const char *)(b + FFL_TILE6_AHEAD), _MM_HINT_T0);
        ffl_tile6_step(m, a, b, sum);
    }
    const __m256i low = ffl_lanes_avx2(columns < 8 ? columns : 8);
    const __m256i high = ffl_lanes_avx2(columns < 8 ? 0 : columns - 8);
#pragma GCC unroll 6
    for (size_t i = 0; i < m; i++) {
        float *to = c + i * ldc;
        if (add) {
            sum[i][0] = _mm256_add_ps(sum[i][0], _mm256_maskload_ps(to, low));
            sum[i][1] = _mm256_add_ps(sum[i][1], _mm256_maskload_ps(to + 8, high));
        }
        _mm256_maskstore_ps(to, low, sum[i][0]);
        _mm256_maskstore_ps(to + 8, high, sum[i][1]);
    }
}

#define FFL_DEFINE_TILE6(name, m)                                                                            \
    static void name##_##m(const float *a, const float *b, size_t depth, float *c, size_t ldc,               \
                           size_t columns, bool add, const char *next, size_t next_step)                     \
    {                                                                                                        \
        ffl_tile6(m, a, b, depth, c, ldc, columns, add, next, next_step);                                    \
    }

/* The table `name` of tile functions by height. */
#define FFL_DEFINE_TILES6(name)                                                                              \
    FFL_DEFINE_TILE6(name, 1)                                                                                \
    FFL_DEFINE_TILE6(name, 2)                                                                                \
    FFL_DEFINE_TILE6(name, 3)                                                                                \
    FFL_DEFINE_TILE6(name, 4)                                                                                \
    FFL_DEFINE_TILE6(name, 5)                                                                                \
    FFL_DEFINE_TILE6(name, 6)                                                                                \
    static ffl_tile_function *const name[FFL_TILE6 + 1] = {NULL,     name##_1, name##_2, name##_3,           \
                                                           name##_4, name##_5, name##_6};

#endif
