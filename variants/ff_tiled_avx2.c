/*
 * FF as two packed, register-tiled products (kernels/tiled.h), AVX2, with the 6x16 tile of
 * kernels/simd/tiled_avx2.h.
 */
#include "kernels/simd/tiled_avx2.h"

FFL_DEFINE_TILES6(tiles)

static void activate(ffl_activation activation, const float *bias, float *z, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        const __m256i m = ffl_lanes_avx2(n - i < 8 ? n - i : 8);
        const __m256 v = _mm256_add_ps(_mm256_maskload_ps(z + i, m), _mm256_maskload_ps(bias + i, m));
        _mm256_maskstore_ps(z + i, m, ffl_act_avx2(activation, v));
    }
}

static const ffl_tiled kernel = {
    .rows = FFL_TILE6, .panels = 1, .tiles = tiles, .activate = activate, .add = ffl_axpy_avx2};

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
