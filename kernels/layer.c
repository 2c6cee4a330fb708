#include "kernels/layer.h"
#include <math.h>
#include <stdint.h>

const char *const ffl_activation_names[] = {
    [FFL_GELU] = "gelu", [FFL_RELU] = "relu", [FFL_GELU_TANH] = "gelu_tanh", NULL};

size_t ffl_levels_from_depth(size_t depth)
{
    return depth + 1;
}

const char *const ffl_operation_names[] = {
    [FFL_FF] = "ff", [FFL_FFF] = "fff", [FFL_FFF_LEAF] = "fff_leaf", [FFL_MOE] = "moe", NULL};

static ffl_status check_sizes(const ffl_layer *shape)
{
    if (shape->width_in == 0 || shape->width_out == 0)
        return ffl_fail(FFL_BAD_INPUT, "a layer of width %zu x %zu has no elements; widths start at 1",
                        shape->width_in, shape->width_out);
    /* Kernels index nodes with 32 bits and multiply rows by widths: stay far from both limits. */
    size_t row, bytes;
    if (shape->neurons > INT32_MAX || __builtin_add_overflow(shape->width_in, shape->width_out, &row) ||
        __builtin_mul_overflow(shape->neurons, row, &bytes) || bytes > SIZE_MAX / 64)
        return ffl_fail(FFL_BAD_INPUT,
                        "a layer of %zu neurons and widths %zu and %zu is too large to address",
                        shape->neurons, shape->width_in, shape->width_out);
    return FFL_OK;
}

ffl_status ffl_layer_ff(size_t width_in, size_t width_out, size_t neurons, ffl_layer *shape)
{
    *shape =
        (ffl_layer){.operation = FFL_FF, .width_in = width_in, .width_out = width_out, .neurons = neurons};
    if (neurons == 0)
        return ffl_fail(FFL_BAD_INPUT, "a dense layer of 0 neurons; it needs at least 1");
    return check_sizes(shape);
}

ffl_status ffl_layer_fff(size_t width_in, size_t width_out, size_t trees, size_t levels, ffl_layer *shape)
{
    *shape = (ffl_layer){
        .operation = FFL_FFF, .width_in = width_in, .width_out = width_out, .trees = trees, .levels = levels};
    if (trees == 0)
        return ffl_fail(FFL_BAD_INPUT, "0 trees; an FFF layer needs at least 1");
    if (levels == 0 || levels > FFL_LEVELS_MAX)
        return ffl_fail(FFL_BAD_INPUT, "%zu levels; trees have 1 to %d levels (depth 0 to %d)", levels,
                        FFL_LEVELS_MAX, FFL_DEPTH_MAX);
    shape->nodes = ((size_t)1 << levels) - 1;
    if (__builtin_mul_overflow(trees, shape->nodes, &shape->neurons))
        return ffl_fail(FFL_BAD_INPUT, "%zu trees of %zu nodes overflow", trees, shape->nodes);
    return check_sizes(shape);
}

static ffl_status make_experts(ffl_layer *shape)
{
    if (shape->expert_width == 0)
        return ffl_fail(FFL_BAD_INPUT, "experts of 0 neurons; they need at least 1");
    if (__builtin_mul_overflow(shape->experts, shape->expert_width, &shape->neurons))
        return ffl_fail(FFL_BAD_INPUT, "%zu experts of %zu neurons overflow", shape->experts,
                        shape->expert_width);
    if (shape->experts > INT32_MAX) /* also bounds w_gate and b_out: an expert has a row of each */
        return ffl_fail(FFL_BAD_INPUT, "%zu experts are too many to address", shape->experts);
    return check_sizes(shape);
}

ffl_status ffl_layer_leaf(size_t width_in, size_t width_out, size_t depth, size_t leaf_width,
                          ffl_layer *shape)
{
    *shape = (ffl_layer){.operation = FFL_FFF_LEAF,
                         .width_in = width_in,
                         .width_out = width_out,
                         .trees = 1,
                         .levels = depth,
                         .expert_width = leaf_width,
                         .chosen = 1};
    if (depth > FFL_DEPTH_MAX)
        return ffl_fail(FFL_BAD_INPUT, "depth %zu; leaf trees have 0 to %d decisions", depth, FFL_DEPTH_MAX);
    shape->experts = (size_t)1 << depth;
    shape->nodes = shape->gates = shape->experts - 1;
    return make_experts(shape);
}

ffl_status ffl_layer_moe(size_t width_in, size_t width_out, size_t experts, size_t expert_width,
                         size_t chosen, ffl_layer *shape)
{
    *shape = (ffl_layer){.operation = FFL_MOE,
                         .width_in = width_in,
                         .width_out = width_out,
                         .experts = experts,
                         .expert_width = expert_width,
                         .chosen = chosen,
                         .gates = experts};
    if (experts == 0)
        return ffl_fail(FFL_BAD_INPUT, "0 experts; a mixture needs at least 1");
    if (chosen == 0 || chosen > experts)
        return ffl_fail(FFL_BAD_INPUT, "%zu of %zu experts per token; choose 1 to all of them", chosen,
                        experts);
    return make_experts(shape);
}

bool ffl_operation_has_experts(ffl_operation operation)
{
    return operation == FFL_FFF_LEAF || operation == FFL_MOE;
}

ffl_layer ffl_layer_expert(const ffl_layer *layer, size_t e)
{
    ffl_layer expert = {.operation = FFL_FF,
                        .activation = layer->activation,
                        .width_in = layer->width_in,
                        .width_out = layer->width_out,
                        .neurons = layer->expert_width};
    expert.w_in = layer->w_in + e * layer->expert_width * layer->width_in;
    expert.b_in = layer->b_in + e * layer->expert_width;
    expert.w_out = layer->w_out + e * layer->expert_width * layer->width_out;
    expert.b_out = layer->b_out ? layer->b_out + e * layer->width_out : NULL;
    return expert;
}

size_t ffl_layer_output_biases(const ffl_layer *layer)
{
    return layer->operation == FFL_FF    ? layer->width_out
           : layer->operation == FFL_FFF ? 0
                                         : layer->experts * layer->width_out;
}

size_t ffl_layer_bytes(const ffl_layer *layer)
{
    return (layer->neurons * (layer->width_in + layer->width_out + 1) + layer->gates * (layer->width_in + 1) +
            (layer->b_out ? ffl_layer_output_biases(layer) : 0)) *
           sizeof(float);
}

ffl_layer ffl_layer_dense(const ffl_layer *layer, size_t neurons)
{
    ffl_layer dense = *layer;
    dense.operation = FFL_FF;
    dense.neurons = neurons;
    dense.trees = dense.levels = dense.nodes = 0;
    dense.experts = dense.expert_width = dense.chosen = dense.gates = 0;
    dense.w_gate = dense.b_gate = NULL;
    if (ffl_operation_has_experts(layer->operation))
        dense.b_out = NULL; /* its experts' biases are not one of all */
    return dense;
}

static ffl_status check_tensor(const char *name, const float *values, size_t count)
{
    for (size_t i = 0; values && i < count; i++)
        if (!isfinite(values[i]))
            return ffl_fail(FFL_BAD_INPUT, "%s: element %zu is %g; weights must be finite", name, i,
                            (double)values[i]);
    return FFL_OK;
}

ffl_layer ffl_layer_trees(const ffl_layer *layer, size_t first, size_t trees)
{
    ffl_layer part = *layer;
    part.trees = trees;
    part.neurons = trees * layer->nodes;
    part.w_in += first * layer->nodes * layer->width_in;
    part.b_in += first * layer->nodes;
    part.w_out += first * layer->nodes * layer->width_out;
    return part;
}

ffl_status ffl_layer_check_finite(const ffl_layer *layer)
{
    FFL_TRY(check_tensor("linear_in.weight", layer->w_in, layer->neurons * layer->width_in));
    FFL_TRY(check_tensor("linear_in.bias", layer->b_in, layer->neurons));
    FFL_TRY(check_tensor("linear_out.weight", layer->w_out, layer->neurons * layer->width_out));
    FFL_TRY(check_tensor("gate.weight", layer->w_gate, layer->gates * layer->width_in));
    FFL_TRY(check_tensor("gate.bias", layer->b_gate, layer->gates));
    return check_tensor("linear_out.bias", layer->b_out, ffl_layer_output_biases(layer));
}
