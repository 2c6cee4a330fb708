/*
 * The hybrid FFF in float, on tensor cores: each float product is three tf32 ones (ffl_format_split), good to
 * less than 8u of each product, but for low parts that are denormal, which an 11-bit operand may lose; inputs
 * narrower than 32 are walked, since a bound for so few products has no room for that. Outputs are float sums
 * of each token's own rows.
 *
 * The same in tf32: one product, inputs and w_in rounded to 11 bits.
 */
#include "cuda/hybrid_run.cuh"

static constexpr unsigned WHOLE = 5, NARROWEST_SPLIT = 32;

/*
 * Six lower levels halve the upper product, which bounds large batches; five halve the subtrees' weights,
 * which bound small ones.
 */
static unsigned bottom_levels(const ffl_layer *layer, const ffl_plan *plan)
{
    return layer->levels >= 12 && plan->max_tokens > 6000 ? 6 : 5;
}

static ffl_status prepare_split(const ffl_layer *layer, const ffl_machine *, ffl_plan *plan)
{
    return ffl_hybrid_prepare<ffl_format_split>(layer, plan, WHOLE, bottom_levels(layer, plan),
                                                NARROWEST_SPLIT);
}

static ffl_status prepare_tf32(const ffl_layer *layer, const ffl_machine *, ffl_plan *plan)
{
    return ffl_hybrid_prepare<ffl_format_tf32>(layer, plan, WHOLE, bottom_levels(layer, plan), 1);
}

FFL_VARIANTS(fff_hybrid_cuda) = {
    {.name = "fff_hybrid_cuda",
     .summary =
         "dense upper levels, tokens sorted by subtree, dense subtrees; three tf32 products a float one",
     .source = "this lab",
     .operation = FFL_FFF,
     .place = FFL_CUDA,
     .family = FFL_TENSOR,
     .contract = {.input = FFL_F32,
                  .weights = FFL_F32,
                  .hidden = FFL_F32,
                  .accumulator = FFL_F32,
                  .output = FFL_F32,
                  .reassociates = true,
                  .flushes_denormals = true,
                  .activation_error = 4 * FFL_UNIT_F32,
                  .alignment = 4,
                  .invariances = FFL_SAME_RUN_TO_RUN},
     .prepare = prepare_split,
     .run = ffl_hybrid_run<ffl_format_split>,
     .release = ffl_hybrid_release,
     .trace = ffl_hybrid_trace<ffl_format_split>},
    {.name = "fff_hybrid_tf32_cuda",
     .summary = "dense upper levels, tokens sorted by subtree, dense subtrees; tf32 tensor cores",
     .source = "this lab",
     .operation = FFL_FFF,
     .place = FFL_CUDA,
     .family = FFL_TENSOR,
     .contract = {.input = FFL_TF32,
                  .weights = FFL_TF32,
                  .hidden = FFL_F32,
                  .accumulator = FFL_F32,
                  .output = FFL_F32,
                  .reassociates = true,
                  .activation_error = 4 * FFL_UNIT_F32,
                  .alignment = 4,
                  .invariances = FFL_SAME_RUN_TO_RUN},
     .prepare = prepare_tf32,
     .run = ffl_hybrid_run<ffl_format_tf32>,
     .release = ffl_hybrid_release,
     .trace = ffl_hybrid_trace<ffl_format_tf32>},
    {},
};
