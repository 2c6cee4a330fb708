/*
 * FFF in bf16 on tensor cores, dense where that is cheaper and conditional where it is not: a dense product
 * for the upper 7 levels of 12, tokens brought together by the subtree they reach, and a small product of
 * each subtree with its own tokens (hybrid_top.cuh, hybrid_bottom.cuh).
 */
#include "cuda/hybrid_run.cuh"

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *, ffl_plan *plan)
{
    return ffl_hybrid_prepare<ffl_format_bf16>(layer, plan, 6, 5, 1);
}

FFL_VARIANTS(fff_hybrid_bf16_cuda) = {
    {.name = "fff_hybrid_bf16_cuda",
     .summary = "dense upper levels, tokens sorted by subtree, dense subtrees; bf16 tensor cores",
     .source = "this lab",
     .operation = FFL_FFF,
     .place = FFL_CUDA,
     .family = FFL_TENSOR,
     .contract = FFL_CONTRACT_BF16_TENSOR(4 * FFL_UNIT_F32, FFL_SAME_RUN_TO_RUN),
     .prepare = prepare,
     .run = ffl_hybrid_run<ffl_format_bf16>,
     .release = ffl_hybrid_release,
     .trace = ffl_hybrid_trace<ffl_format_bf16>},
    {},
};
