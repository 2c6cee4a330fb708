/*
 * FFF in plain C, as a good compiler would have it: the sums of the dot product split into independent
 * accumulators so that they vectorise, the output in one pass over the visited rows. What the intrinsics of
 * fff_walk_fused_avx2 have to beat.
 */
#include "kernels/simd/scalar.h"
#include "kernels/simd/walk.h"
#include "kernels/variant.h"

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    (void)exec;
    ffl_walk_fused(plan->layer, ffl_dot_scalar, ffl_activate_scalar, ffl_rows_scalar, x, ldx, y, ldy, tokens);
    return FFL_OK;
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    (void)exec;
    ffl_walk_trace(plan->layer, ffl_dot_scalar, x, ldx, tokens, nodes, logits);
    return FFL_OK;
}

FFL_VARIANTS(fff_walk_c_avx2) = {
    {.name = "fff_walk_c_avx2",
     .source = "this lab",
     .summary = "tree walk per token, plain C vectorised by the compiler for AVX2",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX2,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = ffl_prepare_nothing,
     .run = run,
     .trace = trace},
    {0},
};
