#include "kernels/product.h"
#include "kernels/simd/tiled_avx2.h"

FFL_DEFINE_TILES6(tiles)

const ffl_tiled ffl_product_avx2 = {.rows = FFL_TILE6, .panels = 1, .tiles = tiles, .add = ffl_axpy_avx2};
