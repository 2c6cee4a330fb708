/*
 * FF as two packed, register-tiled products (kernels/tiled.h), AVX-512. A tile of c is 8 tokens x 48 columns
 * in 24 registers; per k it costs 24 FMAs, 3 loads of b and 8 broadcasts of a, the fewest loads and
 * instructions per FMA of the shapes that fit. 12x32 reached 95 % of the FMA peak from L2 where this one
 * reaches 97 %. Unrolled by two and no further: the loop must stay small in the cache of decoded
 * instructions, half of which belongs to the core's other hyperthread (16 times cost 25 %).
 */
#include "kernels/simd/avx512.h"
#include "kernels/tiled.h"

enum { TILE = 8, VECTORS = 3, PANEL = FFL_TILED_PANEL, AHEAD = FFL_TILED_AHEAD * PANEL };

static inline __attribute__((always_inline)) void step(const size_t m, const float *a, const float *b0,
                                                       const float *b1, const float *b2,
                                                       __m512 sum[TILE][VECTORS])
{
    const __m512 v0 = _mm512_load_ps(b0), v1 = _mm512_load_ps(b1), v2 = _mm512_load_ps(b2);
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++) {
        const __m512 v = _mm512_set1_ps(a[i * FFL_TILED_STRIDE]);
        sum[i][0] = _mm512_fmadd_ps(v, v0, sum[i][0]);
        sum[i][1] = _mm512_fmadd_ps(v, v1, sum[i][1]);
        sum[i][2] = _mm512_fmadd_ps(v, v2, sum[i][2]);
    }
}

/* c is fetched while the sums grow from zero, and added at the end. */
static inline __attribute__((always_inline)) void tile(const size_t m, const float *a, const float *b0,
                                                       size_t depth, float *c, size_t ldc, size_t columns,
                                                       bool add, const char *next, size_t next_step)
{
    /* Where fewer panels are left, the first one takes the others' places, and their sums are dropped. */
    const float *b1 = columns > PANEL ? b0 + depth * PANEL : b0;
    const float *b2 = columns > 2 * PANEL ? b1 + depth * PANEL : b0;
    __m512 sum[TILE][VECTORS];
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++) {
        sum[i][0] = sum[i][1] = sum[i][2] = _mm512_setzero_ps();
        for (size_t j = 0; add && j < columns; j += 16)
            _mm_prefetch((const char *)(c + i * ldc + j), _MM_HINT_T0);
    }
    size_t k = 0;
    if (next)
        for (; k + 2 <= depth; k += 2, a += 2, next += next_step) {
            _mm_prefetch(next, _MM_HINT_T1);
            step(m, a, b0 + k * PANEL, b1 + k * PANEL, b2 + k * PANEL, sum);
            step(m, a + 1, b0 + (k + 1) * PANEL, b1 + (k + 1) * PANEL, b2 + (k + 1) * PANEL, sum);
        }
    for (; k < depth; k++, a++) {
        _mm_prefetch((const char *)(b0 + k * PANEL + AHEAD), _MM_HINT_T0);
        _mm_prefetch((const char *)(b1 + k * PANEL + AHEAD), _MM_HINT_T0);
        _mm_prefetch((const char *)(b2 + k * PANEL + AHEAD), _MM_HINT_T0);
        step(m, a, b0 + k * PANEL, b1 + k * PANEL, b2 + k * PANEL, sum);
    }
    __mmask16 mask[VECTORS];
    for (size_t v = 0; v < VECTORS; v++)
        mask[v] = columns >= 16 * (v + 1) ? (__mmask16)0xffff
                  : columns > 16 * v      ? ffl_lanes_avx512(columns - 16 * v)
                                          : (__mmask16)0;
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++)
#pragma GCC unroll 3
        for (size_t v = 0; v < VECTORS; v++) {
            float *to = c + i * ldc + 16 * v;
            if (add)
                sum[i][v] = _mm512_add_ps(sum[i][v], _mm512_maskz_loadu_ps(mask[v], to));
            _mm512_mask_storeu_ps(to, mask[v], sum[i][v]);
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
DEFINE_TILE(7)
DEFINE_TILE(8)

static ffl_tile_function *const tiles[TILE + 1] = {NULL,   tile_1, tile_2, tile_3, tile_4,
                                                   tile_5, tile_6, tile_7, tile_8};

static void activate(ffl_activation activation, const float *bias, float *z, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = n - i < 16 ? ffl_lanes_avx512(n - i) : (__mmask16)0xffff;
        const __m512 v = _mm512_add_ps(_mm512_maskz_loadu_ps(m, z + i), _mm512_maskz_loadu_ps(m, bias + i));
        _mm512_mask_storeu_ps(z + i, m, ffl_act_avx512(activation, v));
    }
}

static const ffl_tiled kernel = {.rows = TILE,
                                 .panels = VECTORS,

                                 .tiles = tiles,
                                 .activate = activate,
                                 .add = ffl_axpy_avx512};

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    return ffl_tiled_prepare(&kernel, layer, plan);
}

FFL_VARIANTS(ff_tiled_avx512) = {
    {.name = "ff_tiled_avx512",
     .source = "this lab; blocking after Goto and van de Geijn, ACM TOMS 34(3), 2008",
     .summary = "two packed 8x48 register-tiled products, GELU between them in L2",
     .operation = FFL_FF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = prepare,
     .run = ffl_tiled_run,
     .release = ffl_tiled_release},
    {0},
};
