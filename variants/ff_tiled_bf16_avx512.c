/*
 * FF with bf16 weights where the processor has no bf16 instructions: tiled_bf16_avx512.h. The pairs row does
 * what vdpbf16ps does, in six instructions instead of one, and shows on any AVX-512 machine that its twin
 * ff_tiled_bf16_avx512bf16 is right. The widened row is the fast one here: the weights' two shifts and two
 * masks serve 12 tokens, so it runs at the rate of f32 with half the bytes, and rounds nothing but the
 * weights.
 */
#include "kernels/simd/tiled_bf16_avx512.h"

FFL_DEFINE_TILES(tiles_pairs, FFL_TILE_BF16_PAIRS)
FFL_DEFINE_TILES(tiles_widened, FFL_TILE_BF16_WIDENED)

static void part_pairs(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                       size_t tokens)
{
    ffl_tiled_bf16_part(true, tiles_pairs, plan, scratch, x, ldx, y, ldy, tokens);
}

static void part_widened(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y,
                         size_t ldy, size_t tokens)
{
    ffl_tiled_bf16_part(false, tiles_widened, plan, scratch, x, ldx, y, ldy, tokens);
}

static ffl_status run_pairs(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                            size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, 16, part_pairs, x, ldx, y, ldy, tokens);
}

static ffl_status run_widened(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx,
                              float *y, size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, 16, part_widened, x, ldx, y, ldy, tokens);
}

#define CONTRACT(type)                                                                                       \
    {                                                                                                        \
        .input = type, .weights = FFL_BF16, .hidden = type, .accumulator = FFL_F32, .output = FFL_F32,       \
        .reassociates = true, .activation_error = 4 * FFL_UNIT_F32, .alignment = 4,                          \
        .invariances = FFL_SAME_RUN_TO_RUN | FFL_SAME_THREADS | FFL_SAME_BATCH                               \
    }

FFL_VARIANTS(ff_tiled_bf16_avx512) = {
    {.name = "ff_tiled_bf16_avx512",
     .source = "this lab; blocking after Goto and van de Geijn, ACM TOMS 34(3), 2008",
     .summary = "two packed 12x32 register-tiled products of bf16 pairs, widened for each product",
     .operation = FFL_FF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = CONTRACT(FFL_BF16),
     .prepare = ffl_tiled_bf16_prepare,
     .run = run_pairs,
     .release = ffl_tiled_bf16_release},
    {.name = "ff_tiled_widened_bf16_avx512",
     .source = "this lab; blocking after Goto and van de Geijn, ACM TOMS 34(3), 2008",
     .summary = "two packed 12x32 register-tiled products, bf16 weights widened once per tile, f32 inputs",
     .operation = FFL_FF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = CONTRACT(FFL_F32),
     .prepare = ffl_tiled_bf16_prepare,
     .run = run_widened,
     .release = ffl_tiled_bf16_release},
    {0},
};
