/*
 * FFF, one token at a time, y written once at the end from all visited rows: the fused walk of walk.h with
 * AVX-512 kernels.
 */
#include "kernels/simd/avx512.h"
#include "kernels/simd/walk.h"
#include "kernels/team.h"
#include "kernels/variant.h"

static void part(const ffl_plan *plan, size_t first, size_t trees, const float *x, size_t ldx, float *y,
                 size_t ldy, size_t tokens)
{
    const ffl_layer l = ffl_layer_trees(plan->layer, first, trees);
    ffl_walk_fused(&l, ffl_dot_avx512, ffl_activate_avx512, ffl_rows_avx512, x, ldx, y, ldy, tokens);
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)layer, (void)machine;
    ffl_team_trees_scratch(plan);
    return FFL_OK;
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    return ffl_team_trees(plan, exec, part, x, ldx, y, ldy, tokens);
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
     .prepare = prepare,
     .run = run,
     .trace = trace},
    {0},
};
