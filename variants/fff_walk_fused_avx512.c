/*
 * FFF, one token at a time, y written once at the end from all visited rows: the fused walk of walk.h with
 * AVX-512 kernels.
 */
#include "kernels/simd/avx512.h"
#include "kernels/simd/walk.h"
#include "kernels/team.h"
#include "kernels/variant.h"

static void part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                 size_t tokens)
{
    (void)scratch;
    ffl_walk_fused(plan->layer, ffl_dot_avx512, ffl_activate_avx512, ffl_rows_avx512, x, ldx, y, ldy, tokens);
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, 32, part, x, ldx, y, ldy, tokens);
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    (void)exec;
    ffl_walk_trace(plan->layer, ffl_dot_avx512, x, ldx, tokens, nodes, logits);
    return FFL_OK;
}

FFL_VARIANTS(fff_walk_fused_avx512) = {
    {.name = "fff_walk_fused_avx512",
     .source = "this lab",
     .summary = "tree walk per token, one output pass at the end, AVX-512",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = ffl_prepare_nothing,
     .run = run,
     .trace = trace},
    {0},
};
