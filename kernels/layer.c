#include "kernels/layer.h"
#include <math.h>
#include <stdint.h>

const char *const ffl_activation_names[] = {
    [FFL_GELU] = "gelu", [FFL_RELU] = "relu", [FFL_GELU_TANH] = "gelu_tanh", NULL};

size_t ffl_levels_from_depth(size_t depth)
{
    return depth + 1;
}

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

size_t ffl_layer_bytes(const ffl_layer *layer)
{
    return (layer->neurons * (layer->width_in + layer->width_out + 1) +
            (layer->b_out ? layer->width_out : 0)) *
           sizeof(float);
}

ffl_layer ffl_layer_dense(const ffl_layer *layer, size_t neurons)
{
    ffl_layer dense = *layer;
    dense.operation = FFL_FF;
    dense.neurons = neurons;
    dense.trees = dense.levels = dense.nodes = 0;
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
    return check_tensor("linear_out.bias", layer->b_out, layer->width_out);
}
