/*
 * FFF with int8 weights and a scale per row, products in f32, for large batches: all tokens down,
 * then their outputs in order of leaves (packed_sorted_avx512.h). x and y, 6 KB per token, move as many bytes
 * as the weights that a token visits for the first time.
 */
#include "kernels/simd/int8_avx512.h"
#include "kernels/simd/packed_sorted_avx512.h"

static void part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                 size_t tokens)
{
    ffl_packed_sorted_part(FFL_PACKING_INT8, plan, scratch, x, ldx, y, ldy, tokens);
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, 64, part, x, ldx, y, ldy, tokens);
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    (void)exec;
    ffl_packed_trace(FFL_PACKING_INT8, plan, x, ldx, tokens, nodes, logits);
    return FFL_OK;
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    FFL_TRY(ffl_packed_prepare(layer, plan, ffl_int8_pack, FFL_INT8_BLOCK_BYTES, true));
    ffl_team_scratch(plan, ffl_packed_sorted_bytes(plan));
    return FFL_OK;
}

static bool supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    (void)shape;
    *why = "more than 2^32 tokens";
    return tokens <= UINT32_MAX;
}

FFL_VARIANTS(fff_sorted_int8_avx512) = {
    {.name = "fff_sorted_int8_avx512",
     .source = "this lab",
     .summary = "all tokens down, then sorted, 4 outputs together, over int8 rows, AVX-512",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = {.input = FFL_F32,
                  .weights = FFL_INT8,
                  .hidden = FFL_F32,
                  .accumulator = FFL_F32,
                  .output = FFL_F32,
                  .weight_scale = FFL_SCALE_ROW,
                  .flushes_denormals = true,
                  .reassociates = true,
                  .activation_error = 4 * FFL_UNIT_F32,
                  .alignment = 4,
                  .invariances = FFL_SAME_ALL},
     .supports = supports,
     .prepare = prepare,
     .run = run,
     .release = ffl_packed_release,
     .trace = trace},
    {0},
};
