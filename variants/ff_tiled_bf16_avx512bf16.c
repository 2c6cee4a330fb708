/*
 * FF in bf16 with the processor's own instruction: tiled_bf16_avx512.h on pairs. vdpbf16ps multiplies 32
 * pairs of numbers and adds them into 16 sums: twice the rate of f32, half the bytes. Its twin without the
 * instruction is ff_tiled_bf16_avx512.
 */
#include "kernels/simd/tiled_bf16_avx512.h"

FFL_DEFINE_TILES(tiles, FFL_TILE_BF16_PAIRS)

static void part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                 size_t tokens)
{
    ffl_tiled_bf16_part(true, tiles, plan, scratch, x, ldx, y, ldy, tokens);
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, 16, part, x, ldx, y, ldy, tokens);
}

FFL_VARIANTS(ff_tiled_bf16_avx512bf16) = {
    {.name = "ff_tiled_bf16_avx512bf16",
     .source = "this lab; blocking after Goto and van de Geijn, ACM TOMS 34(3), 2008",
     .summary = "two packed 12x32 register-tiled products of bf16 pairs, vdpbf16ps",
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
                  .invariances = FFL_SAME_RUN_TO_RUN | FFL_SAME_THREADS | FFL_SAME_BATCH},
     .prepare = ffl_tiled_bf16_prepare,
     .run = run,
     .release = ffl_tiled_bf16_release},
    {0},
};
