#include "kernels/product.h"
#include "kernels/simd/tiled_avx512.h"

FFL_DEFINE_TILES(tiles, ffl_tiled_step_f32, 1)

const ffl_tiled ffl_product_avx512 = {.rows = FFL_TILE,
                                      .panels = FFL_TILE_VECTORS,
                                      .tiles = tiles,
                                      .activate = ffl_tiled_activate_avx512,
                                      .add = ffl_axpy_avx512};
