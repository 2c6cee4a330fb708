/*
 * FF as two packed, register-tiled products (kernels/tiled.h), AVX-512, with the 8x48 tile of
 * kernels/simd/tiled_avx512.h.
 */
#include "kernels/simd/tiled_avx512.h"

FFL_DEFINE_TILES(tiles, ffl_tiled_step_f32, 1)

static const ffl_tiled kernel = {.rows = FFL_TILE,
                                 .panels = FFL_TILE_VECTORS,
                                 .tiles = tiles,
                                 .activate = ffl_tiled_activate_avx512,
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
