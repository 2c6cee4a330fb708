/* Which layer is it that a file holds (layer_source.h)? */
#include "harness/files/layer_source.h"
#include <stdlib.h>
#include <string.h>

static ffl_status check_shapes(const ffl_layer_source *s)
{
    if (s->w_in->dimensions != 2)
        return ffl_fail(FFL_BAD_INPUT, "%s: %s has %zu dimensions; expected [neurons, width]", s->path,
                        s->w_in->name, s->w_in->dimensions);
    const size_t neurons = s->w_in->shape[0];
    if (s->w_out->dimensions != 2 || s->w_out->shape[1] != neurons)
        return ffl_fail(FFL_BAD_INPUT, "%s: %s does not fit: expected [width, %zu]", s->path, s->w_out->name,
                        neurons);
    if (s->b_in && (s->b_in->dimensions != 1 || s->b_in->shape[0] != neurons))
        return ffl_fail(FFL_BAD_INPUT, "%s: %s does not fit: expected [%zu]", s->path, s->b_in->name,
                        neurons);
    return FFL_OK;
}

static bool has_shape(const ffl_tensor *tensor, size_t rows, size_t columns)
{
    return tensor->dimensions == (columns ? 2u : 1u) && tensor->shape[0] == rows &&
           (!columns || tensor->shape[1] == columns);
}

/* What depends on the operation: the output bias, and the gates. */
static ffl_status check_others(const ffl_layer_source *s, const ffl_layer *l)
{
    const bool experts = ffl_operation_has_experts(l->operation);
    if (s->b_out && experts && !has_shape(s->b_out, l->experts, l->width_out))
        return ffl_fail(FFL_BAD_INPUT, "%s: %s does not fit: expected [%zu, %zu], a row per expert", s->path,
                        s->b_out->name, l->experts, l->width_out);
    if (s->b_out && !experts && !has_shape(s->b_out, l->width_out, 0))
        return ffl_fail(FFL_BAD_INPUT, "%s: %s does not fit: expected [%zu]", s->path, s->b_out->name,
                        l->width_out);
    if (l->gates == 0)
        return FFL_OK;
    if (!s->w_gate || !has_shape(s->w_gate, l->gates, l->width_in))
        return ffl_fail(FFL_BAD_INPUT, "%s: %sgate.weight %s: expected [%zu, %zu]", s->path, s->prefix,
                        s->w_gate ? "does not fit" : "is missing", l->gates, l->width_in);
    if (s->b_gate && !has_shape(s->b_gate, l->gates, 0))
        return ffl_fail(FFL_BAD_INPUT, "%s: %s does not fit: expected [%zu]", s->path, s->b_gate->name,
                        l->gates);
    return FFL_OK;
}

/* A small number in the metadata, 0 … max. */
static ffl_status metadata_number(const ffl_layer_source *s, const char *key, const char *instead, size_t max,
                                  size_t *out)
{
    const char *text = ffl_safetensors_metadata(s->file, key);
    *out = 0;
    if (!text)
        return ffl_fail(FFL_BAD_INPUT, "%s: __metadata__ names no %s; give the shape as %s", s->path, key,
                        instead);
    if (!*text || strlen(text) > 9 || strspn(text, "0123456789") != strlen(text) ||
        (*out = (size_t)atol(text)) > max)
        return ffl_fail(FFL_BAD_INPUT, "%s: __metadata__: %s is '%.32s'; expected a number up to %zu",
                        s->path, key, text, max);
    return FFL_OK;
}

/* --tree, or else the file's metadata. */
static ffl_status read_tree(const ffl_layer_source *s, const ffl_layer_request *request, size_t *trees,
                            size_t *levels)
{
    size_t depth;
    *trees = request->trees;
    *levels = request->levels;
    if (*trees)
        return FFL_OK;
    FFL_TRY(metadata_number(s, "depth", "--tree TxD", FFL_DEPTH_MAX, &depth));
    *levels = ffl_levels_from_depth(depth);
    return metadata_number(s, "parallel_trees", "--tree TxD", 999999999, trees);
}

/* The metadata's, or else the one asked for. */
static ffl_status read_activation(const ffl_layer_source *s, const ffl_layer_request *request, ffl_layer *out)
{
    const char *text = ffl_safetensors_metadata(s->file, "activation");
    out->activation = request->activation;
    for (size_t i = 0; text && ffl_activation_names[i]; i++) {
        out->activation = (ffl_activation)i;
        if (strcmp(text, ffl_activation_names[i]) == 0)
            return FFL_OK;
    }
    return text ? ffl_fail(FFL_BAD_INPUT,
                           "%s: __metadata__: activation is '%.32s'; expected gelu, relu or gelu_tanh",
                           s->path, text)
                : FFL_OK;
}

ffl_operation ffl_layer_source_experts(const ffl_layer_source *s)
{
    const char *name = ffl_safetensors_metadata(s->file, "operation");
    for (int o = 0; name && ffl_operation_names[o]; o++)
        if (strcmp(name, ffl_operation_names[o]) == 0 && ffl_operation_has_experts((ffl_operation)o))
            return (ffl_operation)o;
    return FFL_FF;
}

/* A file with experts serves its own operation alone, and a file without none of theirs, unless told. */
static ffl_status check_operation(const ffl_layer_source *s, const ffl_layer_request *request)
{
    const ffl_operation named = ffl_layer_source_experts(s);
    if (ffl_operation_has_experts(named) && named != request->operation)
        return ffl_fail(FFL_BAD_INPUT, "%s: its layer is a %s; use a variant whose name begins with it",
                        s->path, ffl_operation_names[named]);
    if (ffl_operation_has_experts(request->operation) && named != request->operation &&
        !request->expert_width)
        return ffl_fail(FFL_BAD_INPUT, "%s: __metadata__: operation is not %s; give the shape as %s", s->path,
                        ffl_operation_names[request->operation],
                        request->operation == FFL_MOE ? "--moe ExW:K" : "--leaf DxW");
    return FFL_OK;
}

/* From --leaf or --moe, or else the metadata; neurons must part evenly. */
static ffl_status read_experts(const ffl_layer_source *s, const ffl_layer_request *request, ffl_layer *out)
{
    const size_t neurons = s->w_in->shape[0], width_in = s->w_in->shape[1], width_out = s->w_out->shape[0];
    const bool mixture = request->operation == FFL_MOE, said = request->expert_width > 0;
    size_t depth = request->levels, experts = request->experts, chosen = request->chosen;
    if (!said && mixture) {
        FFL_TRY(metadata_number(s, "experts", "--moe ExW:K", 999999999, &experts));
        FFL_TRY(metadata_number(s, "chosen", "--moe ExW:K", 999999999, &chosen));
    } else if (!said) {
        FFL_TRY(metadata_number(s, "depth", "--leaf DxW", FFL_DEPTH_MAX, &depth));
    }
    if (!mixture)
        experts = (size_t)1 << depth;
    const size_t width = said ? request->expert_width : experts ? neurons / experts : 0;
    const ffl_status status = mixture ? ffl_layer_moe(width_in, width_out, experts, width, chosen, out)
                                      : ffl_layer_leaf(width_in, width_out, depth, width, out);
    if (status != FFL_OK)
        return ffl_fail(status, "%s: %s (%zu neurons)", s->path, ffl_error(), neurons);
    return out->neurons == neurons
               ? FFL_OK
               : ffl_fail(FFL_BAD_INPUT, "%s: %s has %zu neurons, but %zu experts of %zu take %zu%s", s->path,
                          s->w_in->name, neurons, experts, width, out->neurons,
                          said ? (mixture ? " (--moe)" : " (--leaf)") : " (__metadata__)");
}

ffl_status ffl_layer_source_shape(const ffl_layer_source *s, const ffl_layer_request *request, ffl_layer *out)
{
    FFL_TRY(check_shapes(s));
    const size_t neurons = s->w_in->shape[0], width_in = s->w_in->shape[1], width_out = s->w_out->shape[0];
    FFL_TRY(check_operation(s, request));
    if (ffl_operation_has_experts(request->operation)) {
        FFL_TRY(read_experts(s, request, out));
        FFL_TRY(check_others(s, out));
        return read_activation(s, request, out);
    }
    ffl_status status = ffl_layer_ff(width_in, width_out, neurons, out);
    if (status != FFL_OK)
        return ffl_fail(status, "%s: %s", s->path, ffl_error());
    if (request->operation == FFL_FFF || request->trees) {
        ffl_layer tree;
        size_t trees, levels;
        FFL_TRY(read_tree(s, request, &trees, &levels));
        status = ffl_layer_fff(width_in, width_out, trees, levels, &tree);
        if (status != FFL_OK)
            return ffl_fail(status, "%s: %s", s->path, ffl_error());
        if (tree.neurons != neurons)
            return ffl_fail(FFL_BAD_INPUT, "%s: %s has %zu neurons, but %zux%zu takes %zu%s", s->path,
                            s->w_in->name, neurons, trees, levels - 1, tree.neurons,
                            request->trees ? " (--tree)" : " (__metadata__)");
        if (request->operation == FFL_FFF)
            *out = tree;
    }
    if (request->operation == FFL_FFF && s->b_out)
        return ffl_fail(FFL_BAD_INPUT,
                        "%s: %s: a tree has no output bias; only a dense variant can use this layer", s->path,
                        s->b_out->name);
    FFL_TRY(check_others(s, out));
    return read_activation(s, request, out);
}
