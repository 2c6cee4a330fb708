/* Which kernels keep what a dispatcher promises: contracts are constant data, so this is a comparison. */
#include "harness/auto/choice.h"

/* f32 is at least as exact as anything else; otherwise the same type. */
static bool at_least(ffl_type type, ffl_type promised)
{
    return type == promised || type == FFL_F32;
}

bool ffl_auto_contract_holds(const ffl_contract *v, const ffl_contract *promised)
{
    return at_least(v->input, promised->input) && v->weights == promised->weights &&
           at_least(v->logit, promised->logit) && at_least(v->hidden, promised->hidden) &&
           at_least(v->accumulator, promised->accumulator) && at_least(v->output, promised->output) &&
           v->weight_scale == promised->weight_scale && (!v->reassociates || promised->reassociates) &&
           (!v->flushes_denormals || promised->flushes_denormals) &&
           v->activation_error <= promised->activation_error &&
           v->over_read_bytes <= promised->over_read_bytes && v->alignment <= promised->alignment &&
           (v->invariances & promised->invariances) == promised->invariances;
}
