#include "harness/check/capsule.h"
#include "harness/check/cases.h"
#include "harness/commit.h"
#include "harness/files/layer_file.h"
#include "harness/files/safetensors.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 1024, PADDING_MAX = 1 << 16, OFFSET_MAX = 1 << 10 };

static const char *const data_names[] = {[FFL_DATA_GENERAL] = "general",
                                         [FFL_DATA_EXACT_LOGITS] = "exact_logits",
                                         [FFL_DATA_EXACT] = "exact",
                                         [FFL_DATA_EQUAL_PRODUCTS] = "equal_products",
                                         NULL};

enum { ROWS_OF_SINGLES = 3 }; /* as a trial of single tokens has them */

ffl_status ffl_capsule_from_case(const ffl_check_case *item, const char *variant, ffl_capsule *out)
{
    *out = (ffl_capsule){
        .threads = item->threads, .seed = item->seed, .layout = ffl_layout_from_seed(item->seed)};
    const ffl_fixture_request request = {.name = item->fixture,
                                         .shape = item->shape,
                                         .bias = out->layout.bias,
                                         .tokens = item->batch == 1 ? ROWS_OF_SINGLES : item->batch,
                                         .seed = item->seed};
    snprintf(out->variant, sizeof out->variant, "%s", variant);
    ffl_case_words(item, item->threads, out->origin, sizeof out->origin);
    FFL_TRY(ffl_fixture_make(&request, &out->fixture));
    out->batch = item->batch ? item->batch : out->fixture.tokens;
    return FFL_OK;
}

ffl_check_case ffl_capsule_case(const ffl_capsule *capsule)
{
    ffl_check_case item = {.fixture = "capsule",
                           .shape = capsule->fixture.weights.layer,
                           .batch = capsule->batch,
                           .threads = capsule->threads,
                           .seed = capsule->seed};
    item.shape.w_in = item.shape.b_in = item.shape.w_out = item.shape.b_out = NULL;
    item.shape.w_gate = item.shape.b_gate = NULL;
    return item;
}

void ffl_capsule_free(ffl_capsule *capsule)
{
    ffl_fixture_free(&capsule->fixture);
}

/* FNV-1a. */
static uint64_t mix(uint64_t hash, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3;
    return hash;
}

uint64_t ffl_capsule_hash(const ffl_capsule *c)
{
    const ffl_layer *l = &c->fixture.weights.layer;
    const uint64_t called[] = {c->batch,
                               (uint64_t)c->threads,
                               c->seed,
                               c->layout.padding_x,
                               c->layout.padding_y,
                               c->layout.offset_x,
                               c->layout.offset_y,
                               (uint64_t)c->fixture.data,
                               l->operation,
                               l->activation,
                               l->width_in,
                               l->width_out,
                               l->neurons,
                               l->levels,
                               l->experts,
                               l->chosen};
    uint64_t hash = mix(0xcbf29ce484222325, called, sizeof called);
    hash = mix(hash, c->variant, strlen(c->variant));
    hash = mix(hash, l->w_in, l->neurons * l->width_in * sizeof(float));
    hash = mix(hash, l->b_in, l->neurons * sizeof(float));
    hash = mix(hash, l->w_out, l->neurons * l->width_out * sizeof(float));
    if (l->b_out)
        hash = mix(hash, l->b_out, ffl_layer_output_biases(l) * sizeof(float));
    if (l->gates) {
        hash = mix(hash, l->w_gate, l->gates * l->width_in * sizeof(float));
        hash = mix(hash, l->b_gate, l->gates * sizeof(float));
    }
    return mix(hash, c->fixture.x, c->fixture.tokens * l->width_in * sizeof(float));
}

/* ---- Writing ---- */

static void note(json_t *notes, const char *key, unsigned long long value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", value);
    json_object_set_new(notes, key, json_string(text));
}

ffl_status ffl_capsule_write(const char *path, const ffl_capsule *c)
{
    const ffl_layer_entry entry = {.layer = c->fixture.weights.layer, .x = c->fixture.x};
    json_t *notes =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "capsule", "1", "variant", c->variant,
                  "operation", ffl_operation_names[entry.layer.operation], "activation",
                  ffl_activation_names[entry.layer.activation], "data", data_names[c->fixture.data], "found",
                  c->found, "origin", c->origin, "commit", FFL_COMMIT);
    if (!notes)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the capsule %s", path);
    note(notes, "batch", c->batch);
    note(notes, "threads", (unsigned long long)c->threads);
    note(notes, "seed", c->seed);
    note(notes, "padding_x", c->layout.padding_x);
    note(notes, "padding_y", c->layout.padding_y);
    note(notes, "offset_x", c->layout.offset_x);
    note(notes, "offset_y", c->layout.offset_y);
    const ffl_status status = ffl_layer_file_write_noted(path, &entry, c->fixture.tokens, notes);
    json_decref(notes);
    return status;
}

/* ---- Reading: the file may come from anywhere ---- */

typedef struct reader {
    const char *path;
    const ffl_safetensors *file;
} reader;

static ffl_status read_text(const reader *r, const char *key, char *out, size_t size)
{
    const char *text = ffl_safetensors_metadata(r->file, key);
    if (!text || strlen(text) >= size)
        return ffl_fail(FFL_BAD_INPUT, "%s: __metadata__: %s %s", r->path, key,
                        text ? "is too long" : "is missing; a capsule of `fflab check` has it");
    snprintf(out, size, "%s", text);
    return FFL_OK;
}

static ffl_status read_number(const reader *r, const char *key, uint64_t min, uint64_t max, uint64_t *out)
{
    char text[24];
    FFL_TRY(read_text(r, key, text, sizeof text));
    *out = strtoull(text, NULL, 10);
    char again[24];
    snprintf(again, sizeof again, "%llu", (unsigned long long)*out); /* refuses signs, overflow and junk */
    if (strcmp(text, again) != 0 || *out < min || *out > max)
        return ffl_fail(FFL_BAD_INPUT, "%s: __metadata__: %s is '%s'; expected %llu to %llu", r->path, key,
                        text, (unsigned long long)min, (unsigned long long)max);
    return FFL_OK;
}

static ffl_status read_choice(const reader *r, const char *key, const char *const *names, int *out)
{
    char text[32];
    FFL_TRY(read_text(r, key, text, sizeof text));
    for (*out = 0; names[*out]; ++*out)
        if (strcmp(text, names[*out]) == 0)
            return FFL_OK;
    return ffl_fail(FFL_BAD_INPUT, "%s: __metadata__: %s is '%s'; expected %s, %s, …", r->path, key, text,
                    names[0], names[1]);
}

static ffl_status read_call(const reader *r, ffl_capsule *out, ffl_layer_request *layer)
{
    int operation, activation, data;
    uint64_t threads, padding_x, padding_y, offset_x, offset_y, version;
    FFL_TRY(read_number(r, "capsule", 1, 1, &version));
    FFL_TRY(read_text(r, "variant", out->variant, sizeof out->variant));
    FFL_TRY(read_text(r, "found", out->found, sizeof out->found));
    FFL_TRY(read_text(r, "origin", out->origin, sizeof out->origin));
    FFL_TRY(read_choice(r, "operation", ffl_operation_names, &operation));
    FFL_TRY(read_choice(r, "activation", ffl_activation_names, &activation));
    FFL_TRY(read_choice(r, "data", data_names, &data));
    FFL_TRY(read_number(r, "threads", 1, THREADS_MAX, &threads));
    FFL_TRY(read_number(r, "seed", 0, UINT64_MAX, &out->seed));
    FFL_TRY(read_number(r, "padding_x", 0, PADDING_MAX, &padding_x));
    FFL_TRY(read_number(r, "padding_y", 0, PADDING_MAX, &padding_y));
    FFL_TRY(read_number(r, "offset_x", 0, OFFSET_MAX, &offset_x));
    FFL_TRY(read_number(r, "offset_y", 0, OFFSET_MAX, &offset_y));
    *layer =
        (ffl_layer_request){.operation = (ffl_operation)operation, .activation = (ffl_activation)activation};
    out->fixture.data = (ffl_data)data;
    out->threads = (int)threads;
    out->layout = (ffl_layout){
        .padding_x = padding_x, .padding_y = padding_y, .offset_x = offset_x, .offset_y = offset_y};
    return FFL_OK;
}

static ffl_status read_layer(const reader *r, const ffl_layer_request *request, ffl_capsule *out)
{
    uint64_t batch;
    FFL_TRY(ffl_layer_file_read(r->path, request, &out->fixture.weights));
    FFL_TRY(ffl_layer_file_inputs(r->path, out->fixture.weights.layer.width_in, &out->fixture.x,
                                  &out->fixture.tokens));
    if (!out->fixture.x)
        return ffl_fail(FFL_BAD_INPUT, "%s: a capsule without inputs x", r->path);
    FFL_TRY(read_number(r, "batch", 1, out->fixture.tokens, &batch));
    out->batch = batch;
    return FFL_OK;
}

ffl_status ffl_capsule_read(const char *path, ffl_capsule *out)
{
    ffl_safetensors *file;
    ffl_layer_request request;
    *out = (ffl_capsule){0};
    FFL_TRY(ffl_safetensors_open(path, &file));
    const reader r = {.path = path, .file = file};
    ffl_status status = read_call(&r, out, &request);
    if (status == FFL_OK)
        status = read_layer(&r, &request, out);
    ffl_safetensors_close(file);
    if (status != FFL_OK)
        ffl_capsule_free(out);
    return status;
}
