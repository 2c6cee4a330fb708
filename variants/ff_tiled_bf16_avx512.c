/*
 * FF with bf16 weights where the processor has no bf16 instructions: kernels/tiled.h with panels of bf16.
 * Where several tiles share three panels, these are first widened into L2, once for up to 128 tokens, and
 * multiplied as floats: so it runs at the rate of f32 with half the bytes from memory. A single tile is bound
 * by that memory and widens by itself, by one shift and one mask per word: both ways multiply the same
 * numbers in the same order.
 *
 * The widened row rounds nothing but the weights. The other one rounds x and activations as well: it does
 * what vdpbf16ps does, product by product, and shows on any AVX-512 machine that its twin
 * ff_tiled_bf16_avx512bf16 is right (denormals aside, which the instruction takes for zero).
 */
#include "kernels/simd/bf16_avx512.h"
#include "kernels/simd/tiled_avx512.h"

static inline __attribute__((always_inline)) void halves(const float *word, __m512 half[2])
{
    ffl_bf16_unpack((const char *)word, &half[0], &half[1]);
}

static inline __attribute__((always_inline)) void step(const size_t m, const float *a, size_t left,
                                                       const float *b0, const float *b1, const float *b2,
                                                       float *to, size_t panel,
                                                       __m512 sum[FFL_TILE][FFL_TILE_VECTORS])
{
    __m512 v0[2], v1[2], v2[2];
    halves(b0, v0);
    halves(b1, v1);
    halves(b2, v2);
#pragma GCC unroll 2
    for (size_t k = 0; k < 2; k++) {
        if (k >= left)
            break;
        if (to) {
            _mm512_store_ps(to + k * FFL_TILED_PANEL, v0[k]);
            _mm512_store_ps(to + panel + k * FFL_TILED_PANEL, v1[k]);
            _mm512_store_ps(to + 2 * panel + k * FFL_TILED_PANEL, v2[k]);
        }
#pragma GCC unroll 8
        for (size_t i = 0; i < m; i++) {
            const __m512 v = _mm512_set1_ps(a[i * FFL_TILED_STRIDE + k]);
            sum[i][0] = _mm512_fmadd_ps(v, v0[k], sum[i][0]);
            sum[i][1] = _mm512_fmadd_ps(v, v1[k], sum[i][1]);
            sum[i][2] = _mm512_fmadd_ps(v, v2[k], sum[i][2]);
        }
    }
}

FFL_DEFINE_TILES(tiles, step, 2)
FFL_DEFINE_WIDENING_TILES(widening, step, 2)
FFL_DEFINE_TILES(wide, ffl_tiled_step_f32, 1)

static __m512 rounded(__m512 v)
{
    return _mm512_castsi512_ps(
        _mm512_and_si512(ffl_bf16_round_avx512(v), _mm512_set1_epi32((int)0xffff0000)));
}

static void copy_rounded(const float *x, float *to, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = n - i < 16 ? ffl_lanes_avx512(n - i) : (__mmask16)0xffff;
        _mm512_mask_storeu_ps(to + i, m, rounded(_mm512_maskz_loadu_ps(m, x + i)));
    }
}

static void activate_rounded(ffl_activation activation, const float *bias, float *z, size_t n)
{
    ffl_tiled_activate_avx512(activation, bias, z, n);
    copy_rounded(z, z, n);
}

static const ffl_tiled kernel_widened = {.rows = FFL_TILE,
                                         .panels = FFL_TILE_VECTORS,
                                         .tiles = tiles,
                                         .activate = ffl_tiled_activate_avx512,
                                         .add = ffl_axpy_avx512,
                                         .bf16 = true,
                                         .wide = wide,
                                         .widening = widening};

static const ffl_tiled kernel_pairs = {.rows = FFL_TILE,
                                       .panels = FFL_TILE_VECTORS,
                                       .tiles = tiles,
                                       .activate = activate_rounded,
                                       .add = ffl_axpy_avx512,
                                       .bf16 = true,
                                       .wide = wide,
                                       .widening = widening,
                                       .copy = copy_rounded};

static ffl_status prepare_widened(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    return ffl_tiled_prepare(&kernel_widened, layer, plan);
}

static ffl_status prepare_pairs(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    return ffl_tiled_prepare(&kernel_pairs, layer, plan);
}

#define CONTRACT(type)                                                                                       \
    {                                                                                                        \
        .input = type, .weights = FFL_BF16, .hidden = type, .accumulator = FFL_F32, .output = FFL_F32,       \
        .reassociates = true, .activation_error = 4 * FFL_UNIT_F32, .alignment = 4,                          \
        .invariances = FFL_SAME_ALL                                                                          \
    }

FFL_VARIANTS(ff_tiled_bf16_avx512) = {
    {.name = "ff_tiled_bf16_avx512",
     .source = "this lab; blocking after Goto and van de Geijn, ACM TOMS 34(3), 2008",
     .summary =
         "two packed 8x48 register-tiled products, what vdpbf16ps does: weights widened, inputs rounded",
     .operation = FFL_FF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = CONTRACT(FFL_BF16),
     .prepare = prepare_pairs,
     .run = ffl_tiled_run,
     .release = ffl_tiled_release},
    {.name = "ff_tiled_widened_bf16_avx512",
     .source = "this lab; blocking after Goto and van de Geijn, ACM TOMS 34(3), 2008",
     .summary =
         "two packed 8x48 register-tiled products, bf16 weights widened per block of tokens, f32 inputs",
     .operation = FFL_FF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = CONTRACT(FFL_F32),
     .prepare = prepare_widened,
     .run = ffl_tiled_run,
     .release = ffl_tiled_release},
    {0},
};
