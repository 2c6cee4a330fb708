/*
 * FF as two packed, register-tiled products (kernels/tiled.h), AVX2. A tile of c is 6 tokens x 16 columns in
 * 12 of the 16 registers; per k it costs 12 FMAs, 2 loads of b and 6 broadcasts of a.
 */
#include "kernels/simd/avx2.h"
#include "kernels/tiled.h"

enum { TILE = 6, VECTORS = 2, PANEL = FFL_TILED_PANEL, AHEAD = FFL_TILED_AHEAD * PANEL };

static inline __attribute__((always_inline)) void step(const size_t m, const float *a, const float *b,
                                                       __m256 sum[TILE][VECTORS])
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
static inline __attribute__((always_inline)) void tile(const size_t m, const float *a, const float *b,
                                                       size_t depth, float *c, size_t ldc, size_t columns,
                                                       bool add, const char *next, size_t next_step)
{
    __m256 sum[TILE][VECTORS];
#pragma GCC unroll 6
    for (size_t i = 0; i < m; i++) {
        sum[i][0] = sum[i][1] = _mm256_setzero_ps();
        if (add)
            _mm_prefetch((const char *)(c + i * ldc), _MM_HINT_T0);
    }
    size_t k = 0;
    if (next)
        for (; k + 2 <= depth; k += 2, a += 2, b += 2 * PANEL, next += next_step) {
            _mm_prefetch(next, _MM_HINT_T1);
            step(m, a, b, sum);
            step(m, a + 1, b + PANEL, sum);
        }
    for (; k < depth; k++, a++, b += PANEL) {
        _mm_prefetch((const char *)(b + AHEAD), _MM_HINT_T0);
        step(m, a, b, sum);
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

#define DEFINE_TILE(m)                                                                                       \
    static void tile_##m(const float *a, const float *b, size_t depth, float *c, size_t ldc, size_t columns, \
                         bool add, const char *next, size_t next_step)                                       \
    {                                                                                                        \
        tile(m, a, b, depth, c, ldc, columns, add, next, next_step);                                         \
    }
DEFINE_TILE(1)
DEFINE_TILE(2)
DEFINE_TILE(3)
DEFINE_TILE(4)
DEFINE_TILE(5)
DEFINE_TILE(6)

static ffl_tile_function *const tiles[TILE + 1] = {NULL, tile_1, tile_2, tile_3, tile_4, tile_5, tile_6};

static void activate(ffl_activation activation, const float *bias, float *z, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        const __m256i m = ffl_lanes_avx2(n - i < 8 ? n - i : 8);
        const __m256 v = _mm256_add_ps(_mm256_maskload_ps(z + i, m), _mm256_maskload_ps(bias + i, m));
        _mm256_maskstore_ps(z + i, m, ffl_act_avx2(activation, v));
    }
}

static const ffl_tiled kernel = {
    .rows = TILE, .panels = 1, .tiles = tiles, .activate = activate, .add = ffl_axpy_avx2};

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    return ffl_tiled_prepare(&kernel, layer, plan);
}

FFL_VARIANTS(ff_tiled_avx2) = {
    {.name = "ff_tiled_avx2",
     .source = "this lab; blocking after Goto and van de Geijn, ACM TOMS 34(3), 2008",
     .summary = "two packed 6x16 register-tiled products, GELU between them in L2, AVX2",
     .operation = FFL_FF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX2,
     .threaded = true,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = prepare,
     .run = ffl_tiled_run,
     .release = ffl_tiled_release},
    {0},
};
