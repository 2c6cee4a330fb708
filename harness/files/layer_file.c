#define _GNU_SOURCE
#include "harness/files/layer_source.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "model.safetensors:encoder.layers.3.ffn": what follows the last colon, unless a file has the whole name. */
static ffl_status open_source(const char *path, ffl_layer_source *out)
{
    char name[4096];
    *out = (ffl_layer_source){.path = path};
    const char *colon = access(path, F_OK) == 0 ? NULL : strrchr(path, ':');
    const size_t length = colon ? (size_t)(colon - path) : strlen(path);
    if (length >= sizeof name || (colon && strlen(colon + 1) + 2 > sizeof out->prefix))
        return ffl_fail(FFL_BAD_INPUT, "the path '%.40s…' is too long", path);
    snprintf(name, sizeof name, "%.*s", (int)length, path);
    if (colon && colon[1])
        snprintf(out->prefix, sizeof out->prefix, "%s.", colon + 1);
    return ffl_safetensors_open(name, &out->file);
}

static const ffl_tensor *find(const ffl_layer_source *s, const char *layer, const char *kind)
{
    char name[512];
    snprintf(name, sizeof name, "%s%s.%s", s->prefix, layer, kind);
    return ffl_safetensors_find(s->file, name);
}

/* Says which layers there are, where the one asked for is not. */
static ffl_status missing(const ffl_layer_source *s)
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

static ffl_status find_tensors(ffl_layer_source *s)
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

/* For whoever evaluates it: a layer recorded with another activation is another layer. */
static ffl_status check_activation(const ffl_layer_source *s, const ffl_layer_request *request,
                                   const ffl_layer *shape)
{
    if (shape->activation == request->activation)
        return FFL_OK;
    return ffl_fail(FFL_BAD_INPUT, "%s: __metadata__: activation is %s; give --activation %s", s->path,
                    ffl_activation_names[shape->activation], ffl_activation_names[shape->activation]);
}

static ffl_status load(const ffl_layer_source *s, const ffl_tensor *tensor, float *out)
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

static ffl_status load_all(const ffl_layer_source *s, ffl_weights *out)
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
    ffl_layer_source s;
    ffl_layer shape;
    *out = (ffl_weights){0};
    FFL_TRY(open_source(path, &s));
    ffl_status status = find_tensors(&s);
    if (status == FFL_OK)
        status = ffl_layer_source_shape(&s, request, &shape);
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
    ffl_layer_source s;
    FFL_TRY(open_source(path, &s));
    *operation = ffl_layer_source_experts(&s);
    *known = ffl_operation_has_experts(*operation);
    ffl_safetensors_close(s.file);
    return FFL_OK;
}

ffl_status ffl_layer_file_shape(const char *path, const ffl_layer_request *request, ffl_layer *out)
{
    ffl_layer_source s;
    FFL_TRY(open_source(path, &s));
    ffl_status status = find_tensors(&s);
    if (status == FFL_OK)
        status = ffl_layer_source_shape(&s, request, out);
    ffl_safetensors_close(s.file);
    return status;
}

static ffl_status read_inputs(const ffl_layer_source *s, size_t width_in, float **x, size_t *tokens)
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
    ffl_layer_source s;
    *x = NULL;
    *tokens = 0;
    FFL_TRY(open_source(path, &s));
    const ffl_status status = read_inputs(&s, width_in, x, tokens);
    ffl_safetensors_close(s.file);
    return status;
}
