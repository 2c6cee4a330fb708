/* Writing a layer (layer_file.h). */
#include "harness/files/file.h"
#include "harness/files/layer_file.h"
#include "kernels/memory.h"
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Adds one header entry and moves *offset behind its data. */
static int add_entry(json_t *header, const char *name, const char *dtype, size_t element, size_t dimensions,
                     size_t rows, size_t columns, size_t *offset)
{
    const size_t bytes = element * rows * (dimensions == 2 ? columns : 1), begin = *offset;
    json_t *shape = dimensions == 2 ? json_pack("[I, I]", (json_int_t)rows, (json_int_t)columns)
                                    : json_pack("[I]", (json_int_t)rows);
    *offset += bytes;
    return json_object_set_new(header, name,
                               json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype, "shape", shape,
                                         "data_offsets", (json_int_t)begin, (json_int_t)*offset));
}

/* y comes first: its doubles then start at a multiple of 8. */
static json_t *make_header(const ffl_layer *l, const float *x, size_t tokens, const double *y)
{
    json_t *header = json_object();
    size_t offset = 0;
    int failed = !header;
    if (l->operation == FFL_FFF) {
        char depth[24], trees[24];
        snprintf(depth, sizeof depth, "%zu", l->levels - 1);
        snprintf(trees, sizeof trees, "%zu", l->trees);
        failed |= json_object_set_new(header, "__metadata__",
                                      json_pack("{s:s, s:s}", "depth", depth, "parallel_trees", trees));
    }
    if (y)
        failed |= add_entry(header, "y", "F64", 8, 2, tokens, l->width_out, &offset);
    failed |= add_entry(header, "linear_in.weight", "F32", 4, 2, l->neurons, l->width_in, &offset);
    failed |= add_entry(header, "linear_in.bias", "F32", 4, 1, l->neurons, 1, &offset);
    failed |= add_entry(header, "linear_out.weight", "F32", 4, 2, l->width_out, l->neurons, &offset);
    if (l->b_out)
        failed |= add_entry(header, "linear_out.bias", "F32", 4, 1, l->width_out, 1, &offset);
    if (x)
        failed |= add_entry(header, "x", "F32", 4, 2, tokens, l->width_in, &offset);
    if (!failed)
        return header;
    json_decref(header);
    return NULL;
}

/* Length, JSON, and spaces up to a multiple of 8, as the format wants it. */
static ffl_status write_header(const ffl_layer *l, const float *x, size_t tokens, const double *y, FILE *to)
{
    json_t *header = make_header(l, x, tokens, y);
    char *text = header ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    if (!text)
        return ffl_fail(FFL_NO_MEMORY, "no memory for a safetensors header");
    const uint64_t length = (strlen(text) + 7) / 8 * 8;
    unsigned char start[8];
    for (size_t i = 0; i < sizeof start; i++)
        start[i] = (unsigned char)(length >> (8 * i));
    fwrite(start, 1, sizeof start, to);
    fprintf(to, "%-*s", (int)length, text);
    free(text);
    return FFL_OK;
}

ffl_status ffl_layer_file_write(const char *path, const ffl_layer *layer, const float *x, size_t tokens,
                                const double *y)
{
    ffl_new_file file;
    float *column = ffl_alloc_array(layer->neurons, sizeof *column);
    if (!column)
        return FFL_NO_MEMORY;
    ffl_status status = ffl_file_begin(path, &file);
    if (status == FFL_OK && (status = write_header(layer, x, tokens, y, file.stream)) != FFL_OK)
        ffl_file_abandon(&file);
    if (status != FFL_OK)
        goto fail;
    if (y)
        fwrite(y, sizeof *y, tokens * layer->width_out, file.stream);
    fwrite(layer->w_in, sizeof *column, layer->neurons * layer->width_in, file.stream);
    fwrite(layer->b_in, sizeof *column, layer->neurons, file.stream);
    for (size_t j = 0; j < layer->width_out; j++) {
        for (size_t n = 0; n < layer->neurons; n++)
            column[n] = layer->w_out[n * layer->width_out + j];
        fwrite(column, sizeof *column, layer->neurons, file.stream);
    }
    if (layer->b_out)
        fwrite(layer->b_out, sizeof *column, layer->width_out, file.stream);
    if (x)
        fwrite(x, sizeof *x, tokens * layer->width_in, file.stream);
    status = ffl_file_commit(&file);
fail:
    ffl_free(column);
    return status;
}
