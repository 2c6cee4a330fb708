/*
 * FF in bf16 with the processor's own instruction: kernels/tiled.h with pairs of bf16 in the place of floats.
 * vdpbf16ps multiplies 32 pairs of numbers and adds them into 16 sums, one product after the other: twice the
 * rate of f32, half the bytes. It takes denormals for zero, whatever MXCSR says. Its twin without the
 * instruction is ff_tiled_bf16_avx512.
 */
#include "kernels/simd/bf16_avx512.h"
#include "kernels/simd/tiled_avx512.h"

static inline __attribute__((always_inline)) void step(const size_t m, const float *a, size_t left,
                                                       const float *b0, const float *b1, const float *b2,
                                                       float *to, size_t panel,
                                                       __m512 sum[FFL_TILE][FFL_TILE_VECTORS])
{
    (void)left, (void)to, (void)panel;
    const __m512bh v0 = (__m512bh)_mm512_load_ps(b0), v1 = (__m512bh)_mm512_load_ps(b1),
                   v2 = (__m512bh)_mm512_load_ps(b2);
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++) {
        const __m512bh v = (__m512bh)_mm512_set1_ps(a[i * FFL_TILED_STRIDE]);
        sum[i][0] = _mm512_dpbf16_ps(sum[i][0], v, v0);
        sum[i][1] = _mm512_dpbf16_ps(sum[i][1], v, v1);
        sum[i][2] = _mm512_dpbf16_ps(sum[i][2], v, v2);
    }
}

FFL_DEFINE_TILES(tiles, step, 2)

/* A pair of k lies in the place of the first, so that a row can be turned into pairs where it is; what lies
 * in the place of the second, nobody reads. An odd last one is paired with zero. */
static void pair(const float *x, float *to, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = n - i < 16 ? ffl_lanes_avx512(n - i) : (__mmask16)0xffff;
        const __m512i r = ffl_bf16_round_avx512(_mm512_maskz_loadu_ps(m, x + i));
        const __m512i even = _mm512_and_si512(_mm512_srli_epi64(r, 16), _mm512_set1_epi64(0xffff));
        const __m512i odd = _mm512_and_si512(_mm512_srli_epi64(r, 32), _mm512_set1_epi64(0xffff0000));
        _mm512_mask_storeu_epi32(to + i, m, _mm512_or_si512(even, odd));
    }
}

static void activate(ffl_activation activation, const float *bias, float *z, size_t n)
{
    ffl_tiled_activate_avx512(activation, bias, z, n);
    pair(z, z, n);
}

static const ffl_tiled kernel = {.rows = FFL_TILE,
                                 .panels = FFL_TILE_VECTORS,
                                 .tiles = tiles,
                                 .activate = activate,
                                 .add = ffl_axpy_avx512,
                                 .bf16 = true,
                                 .copy = pair};

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    return ffl_tiled_prepare(&kernel, layer, plan);
}

FFL_VARIANTS(ff_tiled_bf16_avx512bf16) = {
    {.name = "ff_tiled_bf16_avx512bf16",
     .source = "this lab; blocking after Goto and van de Geijn, ACM TOMS 34(3), 2008",
     .summary = "two packed 8x48 register-tiled products of bf16 pairs, vdpbf16ps",
     .operation = FFL_FF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512_BF16,
     .threaded = true,
     .contract = {.input = FFL_BF16,
                  .weights = FFL_BF16,
                  .hidden = FFL_BF16,
                  .accumulator = FFL_F32,
                  .output = FFL_F32,
                  .reassociates = true,
                  .flushes_denormals = true,
                  .activation_error = 4 * FFL_UNIT_F32,
                  .alignment = 4,
                  .invariances = FFL_SAME_ALL},
     .prepare = prepare,
     .run = ffl_tiled_run,
     .release = ffl_tiled_release},
    {0},
};
