/*
 * FFF with bf16 weights, products in f32: the fused walk, one or four tokens at a time. A node's
 * two rows are 3 KB at width 768 instead of 6 KB, and the rows' way from L3 is what a walk waits for; the
 * price is widening in registers. The activation is not rounded: it is multiplied in f32.
 */
#include "kernels/simd/bf16_avx512.h"
#include "kernels/simd/packed_walk_avx512.h"
#include "kernels/team.h"

static void part_1(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                   size_t tokens)
{
    (void)scratch;
    ffl_packed_walk(FFL_PACKING_BF16, plan, 1, x, ldx, y, ldy, tokens);
}

static void part_4(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                   size_t tokens)
{
    (void)scratch;
    ffl_packed_walk(FFL_PACKING_BF16, plan, 4, x, ldx, y, ldy, tokens);
}

static ffl_status run_1(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                        size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, 16, part_1, x, ldx, y, ldy, tokens);
}

static ffl_status run_4(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                        size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, 16, part_4, x, ldx, y, ldy, tokens);
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    (void)exec;
    ffl_packed_trace(FFL_PACKING_BF16, plan, x, ldx, tokens, nodes, logits);
    return FFL_OK;
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    return ffl_packed_prepare(layer, plan, ffl_bf16_pack, FFL_BF16_BLOCK_BYTES, false);
}

#define CONTRACT                                                                                             \
    {                                                                                                        \
        .input = FFL_F32, .weights = FFL_BF16, .hidden = FFL_F32, .accumulator = FFL_F32, .output = FFL_F32, \
        .reassociates = true, .activation_error = 4 * FFL_UNIT_F32, .alignment = 4,                          \
        .invariances = FFL_SAME_ALL                                                                          \
    }

FFL_VARIANTS(fff_walk_bf16_avx512) = {
    {.name = "fff_walk_bf16_avx512",
     .source = "this lab",
     .summary = "tree walk per token over bf16 rows, products in f32, AVX-512",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = CONTRACT,
     .prepare = prepare,
     .run = run_1,
     .release = ffl_packed_release,
     .trace = trace},
    {.name = "fff_walk_interleaved4_bf16_avx512",
     .source = "this lab",
     .summary = "the same, dot products of 4 tokens column by column side by side",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = CONTRACT,
     .prepare = prepare,
     .run = run_4,
     .release = ffl_packed_release,
     .trace = trace},
    {0},
};
