/* Writing layers (layer_file.h). */
#include "harness/files/file.h"
#include "harness/files/layer_file.h"
#include "kernels/memory.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The header while it grows. */
typedef struct heading {
    json_t *all;
    size_t offset; /* where the next tensor's data begins */
    bool failed;
} heading;

/* One entry; its data begins where the last one's ends. columns: 0 for a vector. */
static void add_entry(heading *h, const char *prefix, const char *name, const char *dtype, size_t element,
                      size_t rows, size_t columns)
{
    char full[96];
    const size_t bytes = element * rows * (columns ? columns : 1), begin = h->offset;
    json_t *shape = columns ? json_pack("[I, I]", (json_int_t)rows, (json_int_t)columns)
                            : json_pack("[I]", (json_int_t)rows);
    h->offset += bytes;
    snprintf(full, sizeof full, "%s%s%s", prefix, *prefix ? "." : "", name);
    h->failed |=
        json_object_set_new(h->all, full,
                            json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype, "shape", shape, "data_offsets",
                                      (json_int_t)begin, (json_int_t)h->offset)) != 0;
}

static void add_number(heading *h, json_t *to, const char *key, size_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%zu", value);
    h->failed |= json_object_set_new(to, key, json_string(text)) != 0;
}

/* A tree, and what has experts, has to be named; a dense layer is what its tensors say. */
static void add_metadata(heading *h, const ffl_layer *l, json_t *notes)
{
    json_t *metadata = json_object();
    if (l->operation == FFL_FFF || l->operation == FFL_FFF_LEAF)
        add_number(h, metadata, "depth", l->operation == FFL_FFF ? l->levels - 1 : l->levels);
    if (l->operation == FFL_FFF)
        add_number(h, metadata, "parallel_trees", l->trees);
    if (l->operation == FFL_MOE) {
        add_number(h, metadata, "experts", l->experts);
        add_number(h, metadata, "chosen", l->chosen);
    }
    if (ffl_operation_has_experts(l->operation))
        h->failed |=
            json_object_set_new(metadata, "operation", json_string(ffl_operation_names[l->operation])) != 0;
    if (l->operation != FFL_FF)
        h->failed |= json_object_set_new(metadata, "activation",
                                         json_string(ffl_activation_names[l->activation])) != 0;
    if (notes)
        h->failed |= json_object_update(metadata, notes) != 0;
    h->failed |= json_object_set_new(h->all, "__metadata__", metadata) != 0;
}

/* All y come first: their doubles then start at a multiple of 8. */
static json_t *make_header(const ffl_layer_entry *entries, size_t count, size_t tokens, json_t *notes)
{
    heading h = {.all = json_object()};
    if (entries->layer.operation != FFL_FF || notes)
        add_metadata(&h, &entries->layer, notes);
    for (size_t i = 0; i < count; i++)
        if (entries[i].y)
            add_entry(&h, entries[i].prefix, "y", "F64", 8, tokens, entries[i].layer.width_out);
    for (size_t i = 0; i < count; i++) {
        const ffl_layer *l = &entries[i].layer;
        const char *prefix = entries[i].prefix;
        add_entry(&h, prefix, "linear_in.weight", "F32", 4, l->neurons, l->width_in);
        add_entry(&h, prefix, "linear_in.bias", "F32", 4, l->neurons, 0);
        add_entry(&h, prefix, "linear_out.weight", "F32", 4, l->width_out, l->neurons);
        const bool experts = ffl_operation_has_experts(l->operation);
        if (l->b_out && experts)
            add_entry(&h, prefix, "linear_out.bias", "F32", 4, l->experts, l->width_out);
        else if (l->b_out)
            add_entry(&h, prefix, "linear_out.bias", "F32", 4, l->width_out, 0);
        if (l->gates) {
            add_entry(&h, prefix, "gate.weight", "F32", 4, l->gates, l->width_in);
            add_entry(&h, prefix, "gate.bias", "F32", 4, l->gates, 0);
        }
        if (entries[i].x)
            add_entry(&h, prefix, "x", "F32", 4, tokens, l->width_in);
    }
    if (!h.failed)
        return h.all;
    json_decref(h.all);
    return NULL;
}

/* Length, JSON, and spaces up to a multiple of 8, as the format wants it. */
static ffl_status write_header(const ffl_layer_entry *entries, size_t count, size_t tokens, json_t *notes,
                               FILE *to)
{
    json_t *header = make_header(entries, count, tokens, notes);
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

/* w_out is stored by column: 32 of them at a time, or every element would touch another page. */
static ffl_status write_transposed(const ffl_layer *l, FILE *to)
{
    enum { COLUMNS = 32 };
    float *block = ffl_alloc_array(COLUMNS * l->neurons, sizeof *block);
    if (!block)
        return FFL_NO_MEMORY;
    for (size_t j = 0; j < l->width_out; j += COLUMNS) {
        const size_t columns = l->width_out - j < COLUMNS ? l->width_out - j : COLUMNS;
        for (size_t n = 0; n < l->neurons; n++)
            for (size_t c = 0; c < columns; c++)
                block[c * l->neurons + n] = l->w_out[n * l->width_out + j + c];
        fwrite(block, sizeof *block, columns * l->neurons, to);
    }
    ffl_free(block);
    return FFL_OK;
}

static ffl_status write_layer(const ffl_layer_entry *entry, size_t tokens, FILE *to)
{
    const ffl_layer *l = &entry->layer;
    fwrite(l->w_in, sizeof *l->w_in, l->neurons * l->width_in, to);
    fwrite(l->b_in, sizeof *l->b_in, l->neurons, to);
    FFL_TRY(write_transposed(l, to));
    if (l->b_out)
        fwrite(l->b_out, sizeof *l->b_out, ffl_layer_output_biases(l), to);
    if (l->gates) {
        fwrite(l->w_gate, sizeof *l->w_gate, l->gates * l->width_in, to);
        fwrite(l->b_gate, sizeof *l->b_gate, l->gates, to);
    }
    if (entry->x)
        fwrite(entry->x, sizeof *entry->x, tokens * l->width_in, to);
    return FFL_OK;
}

static ffl_status write_file(const char *path, const ffl_layer_entry *entries, size_t count, size_t tokens,
                             json_t *notes)
{
    ffl_new_file file;
    FFL_TRY(ffl_file_begin(path, &file));
    ffl_status status = write_header(entries, count, tokens, notes, file.stream);
    for (size_t i = 0; i < count && status == FFL_OK; i++)
        if (entries[i].y)
            fwrite(entries[i].y, sizeof *entries[i].y, tokens * entries[i].layer.width_out, file.stream);
    for (size_t i = 0; i < count && status == FFL_OK; i++)
        status = write_layer(&entries[i], tokens, file.stream);
    if (status == FFL_OK)
        return ffl_file_commit(&file);
    ffl_file_abandon(&file);
    return status;
}

ffl_status ffl_layer_file_write_all(const char *path, const ffl_layer_entry *entries, size_t count,
                                    size_t tokens)
{
    return write_file(path, entries, count, tokens, NULL);
}

ffl_status ffl_layer_file_write_noted(const char *path, const ffl_layer_entry *entry, size_t tokens,
                                      json_t *notes)
{
    return write_file(path, entry, 1, tokens, notes);
}

ffl_status ffl_layer_file_write(const char *path, const ffl_layer *layer, const float *x, size_t tokens,
                                const double *y)
{
    const ffl_layer_entry entry = {.layer = *layer, .x = x, .y = y};
    return ffl_layer_file_write_all(path, &entry, 1, tokens);
}
