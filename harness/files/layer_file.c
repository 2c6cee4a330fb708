#define _GNU_SOURCE
#include "harness/files/layer_file.h"
#include "harness/files/safetensors.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One layer inside one file. */
typedef struct source {
    const char *path; /* as the user gave it, for messages */
    char prefix[256]; /* "encoder.layers.3.ffn." or "" */
    ffl_safetensors *file;
    const ffl_tensor *w_in, *b_in, *w_out, *b_out; /* biases may be NULL */
    const ffl_tensor *w_gate, *b_gate;             /* leaf FFF and MoE */
} source;

/* "model.safetensors:encoder.layers.3.ffn": what follows the last colon, unless a file has the whole name. */
static ffl_status open_source(const char *path, source *out)
{
    char name[4096];
    *out = (source){.path = path};
    const char *colon = access(path, F_OK) == 0 ? NULL : strrchr(path, ':');
    const size_t length = colon ? (size_t)(colon - path) : strlen(path);
    if (length >= sizeof name || (colon && strlen(colon + 1) + 2 > sizeof out->prefix))
        return ffl_fail(FFL_BAD_INPUT, "the path '%.40s…' is too long", path);
    snprintf(name, sizeof name, "%.*s", (int)length, path);
    if (colon && colon[1])
        snprintf(out->prefix, sizeof out->prefix, "%s.", colon + 1);
    return ffl_safetensors_open(name, &out->file);
}

static const ffl_tensor *find(const source *s, const char *layer, const char *kind)
{
    char name[512];
    snprintf(name, sizeof name, "%s%s.%s", s->prefix, layer, kind);
    return ffl_safetensors_find(s->file, name);
}

/* Says which layers there are, where the one asked for is not. */
static ffl_status missing(const source *s)
{
    static const char *const endings[] = {"linear_in.weight", "dense_in.weight"};
    for (size_t i = 0; i < ffl_safetensors_count(s->file); i++) {
        const char *name = ffl_safetensors_at(s->file, i)->name;
        for (size_t e = 0; e < 2; e++) {
            const size_t length = strlen(name), ending = strlen(endings[e]);
            if (length > ending + 1 && strcmp(name + length - ending, endings[e]) == 0)
                return ffl_fail(FFL_BAD_INPUT, "%s: no tensor %slinear_in.weight; name a layer: FILE:%.*s",
                                s->path, s->prefix, (int)(length - ending - 1), name);
        }
    }
    return ffl_fail(FFL_BAD_INPUT, "%s: no tensor %slinear_in.weight or %sdense_in.weight", s->path,
                    s->prefix, s->prefix);
}

static ffl_status find_tensors(source *s)
{
    static const char *const names[][2] = {{"linear_in", "linear_out"}, {"dense_in", "dense_out"}};
    for (size_t i = 0; i < 2 && !s->w_in; i++) {
        s->w_in = find(s, names[i][0], "weight");
        s->b_in = find(s, names[i][0], "bias");
        s->w_out = find(s, names[i][1], "weight");
        s->b_out = find(s, names[i][1], "bias");
        if (s->w_in && !s->w_out)
            return ffl_fail(FFL_BAD_INPUT, "%s: %s is there, %s%s.weight is not", s->path, s->w_in->name,
                            s->prefix, names[i][1]);
    }
    s->w_gate = find(s, "gate", "weight");
    s->b_gate = find(s, "gate", "bias");
    return s->w_in ? FFL_OK : missing(s);
}

static ffl_status check_shapes(const source *s)
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
static ffl_status check_others(const source *s, const ffl_layer *l)
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
static ffl_status metadata_number(const source *s, const char *key, const char *instead, size_t max,
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
static ffl_status read_tree(const source *s, const ffl_layer_request *request, size_t *trees, size_t *levels)
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
static ffl_status read_activation(const source *s, const ffl_layer_request *request, ffl_layer *out)
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

/* The operation with experts that the file names; FFL_FF when it names none. */
static ffl_operation named_experts(const source *s)
{
    const char *name = ffl_safetensors_metadata(s->file, "operation");
    for (int o = 0; name && ffl_operation_names[o]; o++)
        if (strcmp(name, ffl_operation_names[o]) == 0 && ffl_operation_has_experts((ffl_operation)o))
            return (ffl_operation)o;
    return FFL_FF;
}

/* A file with experts serves its own operation alone, and a file without none of theirs, unless told. */
static ffl_status check_operation(const source *s, const ffl_layer_request *request)
{
    const ffl_operation named = named_experts(s);
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
static ffl_status read_experts(const source *s, const ffl_layer_request *request, ffl_layer *out)
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

static ffl_status read_shape(const source *s, const ffl_layer_request *request, ffl_layer *out)
{
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

/* For whoever evaluates it: a layer recorded with another activation is another layer. */
static ffl_status check_activation(const source *s, const ffl_layer_request *request, const ffl_layer *shape)
{
    if (shape->activation == request->activation)
        return FFL_OK;
    return ffl_fail(FFL_BAD_INPUT, "%s: __metadata__: activation is %s; give --activation %s", s->path,
                    ffl_activation_names[shape->activation], ffl_activation_names[shape->activation]);
}

static ffl_status load(const source *s, const ffl_tensor *tensor, float *out)
{
    const ffl_status status = ffl_tensor_to_float(tensor, out);
    if (status != FFL_OK)
        return ffl_fail(status, "%s: %s", s->path, ffl_error());
    for (size_t i = 0; i < tensor->count; i++)
        if (!isfinite(out[i]))
            return ffl_fail(FFL_BAD_INPUT, "%s: %s: element %zu is %g; weights must be finite", s->path,
                            tensor->name, i, (double)out[i]);
    return FFL_OK;
}

/* [width_out][neurons], as stored, to [neurons][width_out]. In blocks: a whole column at a time would touch
 * another page with every element. */
static void transpose(const float *from, size_t rows, size_t columns, float *to)
{
    enum { BLOCK = 32 };
    for (size_t r = 0; r < rows; r += BLOCK)
        for (size_t c = 0; c < columns; c += BLOCK)
            for (size_t i = r; i < rows && i < r + BLOCK; i++)
                for (size_t k = c; k < columns && k < c + BLOCK; k++)
                    to[k * rows + i] = from[i * columns + k];
}

static ffl_status load_all(const source *s, ffl_weights *out)
{
    FFL_TRY(load(s, s->w_in, out->w_in));
    if (s->b_in)
        FFL_TRY(load(s, s->b_in, out->b_in));
    if (s->b_out)
        FFL_TRY(load(s, s->b_out, out->b_out));
    if (out->layer.gates)
        FFL_TRY(load(s, s->w_gate, out->w_gate));
    if (out->layer.gates && s->b_gate)
        FFL_TRY(load(s, s->b_gate, out->b_gate));
    float *stored = ffl_alloc_array(s->w_out->count, sizeof *stored);
    if (!stored)
        return ffl_fail(FFL_NO_MEMORY, "%s: %s: %s", s->path, s->w_out->name, ffl_error());
    const ffl_status status = load(s, s->w_out, stored);
    if (status == FFL_OK)
        transpose(stored, s->w_out->shape[0], s->w_out->shape[1], out->w_out);
    ffl_free(stored);
    return status;
}

ffl_status ffl_layer_file_read(const char *path, const ffl_layer_request *request, ffl_weights *out)
{
    source s;
    ffl_layer shape;
    *out = (ffl_weights){0};
    FFL_TRY(open_source(path, &s));
    ffl_status status = find_tensors(&s);
    if (status == FFL_OK)
        status = check_shapes(&s);
    if (status == FFL_OK)
        status = read_shape(&s, request, &shape);
    if (status == FFL_OK)
        status = check_activation(&s, request, &shape);
    if (status == FFL_OK)
        status = ffl_weights_new(&shape, s.b_out != NULL, out);
    if (status == FFL_OK && (status = load_all(&s, out)) != FFL_OK)
        ffl_weights_free(out);
    ffl_safetensors_close(s.file);
    return status;
}

ffl_status ffl_layer_file_experts(const char *path, ffl_operation *operation, bool *known)
{
    source s;
    FFL_TRY(open_source(path, &s));
    *operation = named_experts(&s);
    *known = ffl_operation_has_experts(*operation);
    ffl_safetensors_close(s.file);
    return FFL_OK;
}

ffl_status ffl_layer_file_shape(const char *path, const ffl_layer_request *request, ffl_layer *out)
{
    source s;
    FFL_TRY(open_source(path, &s));
    ffl_status status = find_tensors(&s);
    if (status == FFL_OK)
        status = check_shapes(&s);
    if (status == FFL_OK)
        status = read_shape(&s, request, out);
    ffl_safetensors_close(s.file);
    return status;
}

static ffl_status read_inputs(const source *s, size_t width_in, float **x, size_t *tokens)
{
    char name[sizeof s->prefix + 1];
    snprintf(name, sizeof name, "%sx", s->prefix);
    const ffl_tensor *own = ffl_safetensors_find(s->file, name);
    const ffl_tensor *tensor = own ? own : ffl_safetensors_find(s->file, "x");
    if (!tensor)
        return FFL_OK;
    if (tensor->dimensions != 2 || tensor->shape[1] != width_in || tensor->shape[0] == 0)
        return ffl_fail(FFL_BAD_INPUT, "%s: %s does not fit: expected [rows, %zu], at least one row", s->path,
                        tensor->name, width_in);
    float *rows = ffl_alloc_rows(tensor->count, sizeof *rows);
    if (!rows)
        return ffl_fail(FFL_NO_MEMORY, "%s: x: %s", s->path, ffl_error());
    const ffl_status status = ffl_tensor_to_float(tensor, rows);
    if (status != FFL_OK) {
        ffl_free(rows);
        return ffl_fail(status, "%s: %s", s->path, ffl_error());
    }
    *x = rows;
    *tokens = tensor->shape[0];
    return FFL_OK;
}

ffl_status ffl_layer_file_inputs(const char *path, size_t width_in, float **x, size_t *tokens)
{
    source s;
    *x = NULL;
    *tokens = 0;
    FFL_TRY(open_source(path, &s));
    const ffl_status status = read_inputs(&s, width_in, x, tokens);
    ffl_safetensors_close(s.file);
    return status;
}
