#include "harness/encoder/checkpoint.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ffl_checkpoint_want(ffl_checkpoint *f, const ffl_slot *slot)
{
    if (f->count == f->capacity) {
        const size_t capacity = 2 * f->capacity + 64;
        ffl_slot *grown = realloc(f->slots, capacity * sizeof *grown);
        if (!grown) {
            f->no_memory = true;
            return;
        }
        f->slots = grown;
        f->capacity = capacity;
    }
    f->slots[f->count++] = *slot;
}

/* ---- Do the files hold what the configuration asks for, and nothing else? ---- */

/* "a, b, …" */
typedef struct names {
    char text[400];
    size_t count, length;
    bool full;
} names;

static void name_one(names *list, const char *name)
{
    const size_t room = sizeof list->text - list->length - sizeof ", …";
    list->full = list->full || strlen(name) + 2 >= room;
    if (!list->full)
        list->length +=
            (size_t)snprintf(list->text + list->length, room, "%s%s", list->count ? ", " : "", name);
    list->count++;
}

/* "3 missing: a, b, …" */
static void print_names(const char *title, const names *list, char *out, size_t size)
{
    const size_t length = strlen(out);
    if (list->count)
        snprintf(out + length, size - length, "%s%zu %s: %s%s", length ? "; " : "", list->count, title,
                 list->text, list->full ? ", …" : "");
}

static void print_shape(const size_t *shape, size_t dimensions, char *out, size_t size)
{
    int length = snprintf(out, size, "[");
    for (size_t i = 0; i < dimensions && length < (int)size; i++)
        length += snprintf(out + length, size - (size_t)length, "%s%zu", i ? ", " : "", shape[i]);
    if (length < (int)size)
        snprintf(out + length, size - (size_t)length, "]");
}

static bool fits(const ffl_slot *slot)
{
    const ffl_tensor *t = slot->found->tensor;
    if (slot->kind == FFL_SLOT_SCALAR)
        return t->dimensions <= 1 && t->count == 1;
    return t->dimensions == (slot->width ? 2u : 1u) && t->shape[0] == slot->rows &&
           (!slot->width || t->shape[1] == slot->width);
}

static void name_misshapen(names *list, const ffl_slot *slot)
{
    const size_t wanted[] = {slot->rows, slot->width};
    char text[400], got[96], want[64];
    print_shape(slot->found->tensor->shape, slot->found->tensor->dimensions, got, sizeof got);
    print_shape(wanted, slot->width ? 2 : 1, want, sizeof want);
    snprintf(text, sizeof text, "%s %s, expected %s", slot->name, got, want);
    name_one(list, text);
}

static ffl_status match(ffl_checkpoint *f)
{
    names missing = {.count = 0}, misshapen = {.count = 0}, unknown = {.count = 0};
    char text[1400] = "";
    for (size_t i = 0; i < f->count; i++) {
        ffl_slot *slot = &f->slots[i];
        slot->found = ffl_shards_find(&f->shards, slot->name);
        if (slot->found)
            slot->found->used = true;
        if (!slot->found && !slot->optional)
            name_one(&missing, slot->name);
        else if (slot->found && !fits(slot))
            name_misshapen(&misshapen, slot);
    }
    for (size_t i = 0; i < f->shards.count; i++)
        if (!f->shards.tensors[i].used && !ffl_checkpoint_other_head(f->shards.tensors[i].tensor->name))
            name_one(&unknown, f->shards.tensors[i].tensor->name);
    print_names("missing", &missing, text, sizeof text);
    print_names("misshapen", &misshapen, text, sizeof text);
    print_names("unknown", &unknown, text, sizeof text);
    return text[0] ? ffl_fail(FFL_BAD_INPUT, "%s: tensors: %s", f->folder, text) : FFL_OK;
}

/* ---- Loading ---- */

static ffl_status read_floats(const ffl_checkpoint *f, const ffl_slot *slot, float *out)
{
    const ffl_status status = ffl_tensor_to_float(slot->found->tensor, out);
    return status == FFL_OK ? FFL_OK
                            : ffl_fail(status, "%s: %s", f->shards.paths[slot->found->file], ffl_error());
}

static ffl_status check_finite(const ffl_checkpoint *f, const ffl_slot *slot, const float *values)
{
    for (size_t i = 0; i < slot->found->tensor->count; i++)
        if (!isfinite(values[i]))
            return ffl_fail(FFL_BAD_INPUT, "%s: %s: element %zu is %g; weights must be finite",
                            f->shards.paths[slot->found->file], slot->name, i, (double)values[i]);
    return FFL_OK;
}

static ffl_status view(ffl_checkpoint *f, const ffl_slot *slot)
{
    const ffl_tensor *t = slot->found->tensor;
    const float **to = slot->to;
    if (t->dtype == FFL_DTYPE_F32 && (uintptr_t)t->data % sizeof(float) == 0) {
        *to = (const float *)(const void *)t->data;
        return check_finite(f, slot, *to);
    }
    float *copy = ffl_encoder_weights_floats(f->weights, t->count, 1);
    if (!copy)
        return FFL_NO_MEMORY;
    *to = copy;
    FFL_TRY(read_floats(f, slot, copy));
    return check_finite(f, slot, copy);
}

/* In blocks: a whole column at a time would touch another page with every element. */
static void transpose(const float *from, size_t rows, size_t columns, float *to)
{
    enum { BLOCK = 32 };
    for (size_t r = 0; r < rows; r += BLOCK)
        for (size_t c = 0; c < columns; c += BLOCK)
            for (size_t i = r; i < rows && i < r + BLOCK; i++)
                for (size_t k = c; k < columns && k < c + BLOCK; k++)
                    to[k * rows + i] = from[i * columns + k];
}

/* Row 3·d·h + part·d + i of a file is row part·width + h·d + i here; d: width of a head. */
static void ungroup(const ffl_encoder_config *c, const float *from, size_t width, float *to)
{
    const size_t d = c->width / c->heads;
    for (size_t head = 0; head < c->heads; head++)
        for (size_t part = 0; part < 3; part++)
            memcpy(to + (part * c->width + head * d) * width, from + (3 * head + part) * d * width,
                   d * width * sizeof *to);
}

static ffl_status load(ffl_checkpoint *f, const ffl_slot *slot)
{
    if (slot->kind == FFL_SLOT_VIEW)
        return view(f, slot);
    if (slot->kind == FFL_SLOT_COPY || slot->kind == FFL_SLOT_SCALAR) {
        FFL_TRY(read_floats(f, slot, slot->to));
        return check_finite(f, slot, slot->to);
    }
    float *stored = ffl_alloc_array(slot->found->tensor->count, sizeof *stored);
    if (!stored)
        return FFL_NO_MEMORY;
    ffl_status status = read_floats(f, slot, stored);
    if (status == FFL_OK)
        status = check_finite(f, slot, stored);
    if (status == FFL_OK && slot->kind == FFL_SLOT_TRANSPOSED)
        transpose(stored, slot->rows, slot->width, slot->to);
    else if (status == FFL_OK)
        ungroup(&f->weights->config, stored, slot->width ? slot->width : 1, slot->to);
    ffl_free(stored);
    return status;
}

static ffl_status compute_positions(ffl_checkpoint *f)
{
    ffl_encoder_weights *w = f->weights;
    const ffl_encoder_config *c = &w->config;
    if (c->positions != FFL_SINUSOIDAL)
        return FFL_OK;
    float *table = ffl_encoder_weights_floats(w, c->position_rows, c->embedding_width);
    if (!table)
        return FFL_NO_MEMORY;
    ffl_sinusoidal_positions(c->position_rows, c->embedding_width, f->position_scale, table);
    w->positions = table;
    return FFL_OK;
}

static ffl_status load_all(ffl_checkpoint *f)
{
    FFL_TRY(ffl_shards_open(f->folder, &f->shards));
    FFL_TRY(ffl_encoder_weights_layers(f->weights));
    FFL_TRY(ffl_checkpoint_want_all(f));
    if (f->no_memory)
        return ffl_fail(FFL_NO_MEMORY, "%s: no memory for the list of tensors", f->folder);
    FFL_TRY(match(f));
    for (size_t i = 0; i < f->count; i++)
        if (f->slots[i].found)
            FFL_TRY(load(f, &f->slots[i]));
    if (f->weights->has_head && !f->weights->logits.weight)
        f->weights->logits.weight = f->weights->words;
    return compute_positions(f);
}

ffl_status ffl_encoder_weights_load(const char *folder, ffl_encoder_weights *out)
{
    char config[512];
    *out = (ffl_encoder_weights){0};
    if (snprintf(config, sizeof config, "%s/config.json", folder) >= (int)sizeof config)
        return ffl_fail(FFL_BAD_INPUT, "the path '%.40s…' is too long", folder);
    FFL_TRY(ffl_encoder_config_read(config, &out->config));
    ffl_checkpoint f = {.folder = folder, .weights = out};
    const ffl_status status = load_all(&f);
    free(f.slots);
    if (status == FFL_OK) { /* the views need the files as long as the weights live */
        out->files = f.shards.files;
        out->file_count = f.shards.file_count;
        f.shards.files = NULL;
    } else {
        ffl_encoder_weights_free(out);
    }
    ffl_shards_close(&f.shards);
    return status;
}
