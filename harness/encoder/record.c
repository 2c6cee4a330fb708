#include "harness/encoder/record.h"
#include "harness/files/file.h"
#include "harness/files/layer_file.h"
#include "harness/registry.h"
#include "harness/workload/recorded.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ffl_status check_path(const char *path)
{
    ffl_new_file file;
    if (!ffl_recorded_is_layer(path) || strchr(path, ':'))
        return ffl_fail(FFL_BAD_INPUT,
                        "--record %s: expected a name that ends in .safetensors, without a colon", path);
    const ffl_status status = ffl_file_begin(path, &file);
    if (status != FFL_OK)
        return ffl_fail(status, "--record %s", ffl_error());
    ffl_file_abandon(&file);
    return FFL_OK;
}

static ffl_status check_variant(const char *path, const json_t *variants)
{
    const json_t *name = json_array_get(variants, 0);
    const ffl_variant *v = ffl_registry_find(json_string_value(name));
    if (json_array_size(variants) != 1)
        return ffl_fail(FFL_BAD_INPUT, "--record %s: %zu variants are selected; name one with -v", path,
                        json_array_size(variants));
    if (v && v->operation == FFL_FFF)
        return FFL_OK;
    return ffl_fail(FFL_BAD_INPUT, "--record %s: %s is dense; name a variant that evaluates trees with -v",
                    path, json_string_value(name));
}

ffl_status ffl_record_request(const ffl_options *options, const ffl_encoder_config *config, json_t *request)
{
    const char *path = ffl_option_given(options, FFL_OPT_RECORD) ? options->value[FFL_OPT_RECORD] : "";
    const bool one = ffl_option_given(options, FFL_OPT_RECORD_LAYER);
    size_t layer = 0;
    if (one && !*path)
        return ffl_fail(FFL_BAD_INPUT, "--record-layer %s: of what --record FILE writes; it is not given",
                        options->value[FFL_OPT_RECORD_LAYER]);
    if (*path) {
        if (config->operation != FFL_FFF)
            return ffl_fail(FFL_BAD_INPUT, "--record %s: this encoder's layers are dense", path);
        FFL_TRY(ffl_option_size(options, FFL_OPT_RECORD_LAYER, 0, config->layers - 1, 0, &layer));
        FFL_TRY(check_variant(path, json_object_get(request, "variants")));
        FFL_TRY(check_path(path));
    }
    json_object_set_new(request, "record", json_string(path));
    json_object_set_new(request, "record_layer", json_integer(one ? (json_int_t)layer : -1));
    return FFL_OK;
}

ffl_status ffl_record_write(const json_t *request, const ffl_encoder *encoder, size_t layers,
                            const float *inputs, size_t tokens)
{
    const char *path = json_string_value(json_object_get(request, "record"));
    const json_int_t one = json_integer_value(json_object_get(request, "record_layer"));
    if (!path || !*path)
        return FFL_OK;
    const size_t first = one < 0 ? 0 : (size_t)one, count = one < 0 ? layers : 1;
    ffl_layer_entry *entries = calloc(count, sizeof *entries);
    if (!entries)
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu layers", count);
    for (size_t i = 0; i < count; i++) {
        entries[i].layer = *ffl_encoder_feedforward(encoder, first + i);
        entries[i].x = inputs + (first + i) * tokens * entries[i].layer.width_in;
        if (one < 0)
            snprintf(entries[i].prefix, sizeof entries[i].prefix, "layers.%zu", i);
    }
    const ffl_status status = ffl_layer_file_write_all(path, entries, count, tokens);
    free(entries);
    return status == FFL_OK ? status : ffl_fail(status, "--record %s", ffl_error());
}

void ffl_record_print(const json_t *request)
{
    const char *path = json_string_value(json_object_get(request, "record"));
    const bool all = json_integer_value(json_object_get(request, "record_layer")) < 0;
    if (path && *path)
        printf("\nrecorded: ./fflab bench --routing recorded:%s%s\n", path, all ? ":layers.0" : "");
}
