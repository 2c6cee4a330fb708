#include "harness/peers/manifest_entry.h"
#include "harness/peers/manifest_values.h"
#include <string.h>

enum { ARGUMENTS_MAX = 32, NAME_MAX_LENGTH = 63 };

static const double prepare_default = 50, run_default = 50, timeout_max = 3600;

/* ---- The contract ---- */

static ffl_status read_types(const ffl_manifest_place *at, ffl_contract *out)
{
    const char *names[FFL_TYPE_COUNT];
    ffl_type *const fields[] = {&out->input,  &out->weights,     &out->logit,
                                &out->hidden, &out->accumulator, &out->output};
    static const char *const keys[] = {"input", "weights", "logit", "hidden", "accumulator", "output"};
    for (size_t i = 0; i < FFL_TYPE_COUNT; i++)
        names[i] = ffl_type_name((ffl_type)i);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int type = FFL_F32;
        FFL_TRY(ffl_manifest_word(at, keys[i], names, FFL_TYPE_COUNT, &type));
        *fields[i] = (ffl_type)type;
    }
    return FFL_OK;
}

static ffl_status read_invariances(const ffl_manifest_place *at, unsigned *out)
{
    static const char *const names[] = {"run-to-run", "threads", "batch", "place"};
    const json_t *list = json_object_get(at->object, "invariances");
    if (list && !json_is_array(list))
        return ffl_manifest_refuse(at, "invariances",
                                   "expected a list of run-to-run, threads, batch and place");
    *out = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        size_t n = 0;
        while (n < 4 && !(word && strcmp(word, names[n]) == 0))
            n++;
        if (n == 4)
            return ffl_manifest_refuse(at, "invariances",
                                       "expected a list of run-to-run, threads, batch and place");
        *out |= 1u << n; /* FFL_SAME_* in the order of the names */
    }
    return FFL_OK;
}

static ffl_status read_contract(const ffl_manifest_place *entry, ffl_contract *out)
{
    static const char *const keys[] = {"input",
                                       "weights",
                                       "logit",
                                       "hidden",
                                       "accumulator",
                                       "output",
                                       "weight_scale",
                                       "reassociates",
                                       "flushes_denormals",
                                       "activation_error",
                                       "invariances"};
    static const char *const scales[] = {"none", "tensor", "row"};
    const ffl_manifest_place at = {entry->path, entry->name, json_object_get(entry->object, "contract")};
    int scale = FFL_SCALE_NONE;
    double units = 0;
    if (!json_is_object(at.object))
        return ffl_manifest_refuse(entry, "contract", "expected an object");
    FFL_TRY(ffl_manifest_check_keys(&at, keys, sizeof keys / sizeof *keys));
    FFL_TRY(read_types(&at, out));
    FFL_TRY(ffl_manifest_word(&at, "weight_scale", scales, 3, &scale));
    if ((out->weights == FFL_INT8) != (scale != FFL_SCALE_NONE))
        return ffl_manifest_refuse(&at, "weight_scale",
                                   "int8 weights, and they alone, have a scale per tensor or row");
    out->weight_scale = (ffl_scale)scale;
    out->reassociates = true;
    FFL_TRY(ffl_manifest_flag(&at, "reassociates", &out->reassociates));
    FFL_TRY(ffl_manifest_flag(&at, "flushes_denormals", &out->flushes_denormals));
    if (!json_object_get(at.object, "activation_error"))
        return ffl_manifest_refuse(&at, "activation_error",
                                   "is missing: units of 2^-24 of |z|, 4 for an exact formula");
    FFL_TRY(ffl_manifest_number(&at, "activation_error", 0, 0x1p24, &units));
    out->activation_error = units * FFL_UNIT_F32;
    out->alignment = sizeof(float);
    return read_invariances(&at, &out->invariances);
}

/* ---- An entry ---- */

static ffl_status read_activations(const ffl_manifest_place *at, bool out[3])
{
    const json_t *list = json_object_get(at->object, "activations");
    if (!list) {
        out[FFL_GELU] = true;
        return FFL_OK;
    }
    for (size_t i = 0; i < json_array_size(list) || i == 0; i++) {
        const char *word = json_string_value(json_array_get(list, i));
        size_t n = 0;
        while (ffl_activation_names[n] && !(word && strcmp(word, ffl_activation_names[n]) == 0))
            n++;
        if (!ffl_activation_names[n])
            return ffl_manifest_refuse(at, "activations", "expected a list of gelu, relu and gelu_tanh");
        out[n] = true;
    }
    return FFL_OK;
}

/* Handed on as it is, but small and flat: a program's own switches. */
static ffl_status read_arguments(const ffl_manifest_place *at, json_t **out)
{
    json_t *object = json_object_get(at->object, "arguments"), *value;
    const char *key;
    if (!object)
        return FFL_OK;
    if (!json_is_object(object) || json_object_size(object) > ARGUMENTS_MAX)
        return ffl_manifest_refuse(at, "arguments", "expected an object of at most %d values", ARGUMENTS_MAX);
    json_object_foreach(object, key, value)
    {
        if (json_is_object(value) || json_is_array(value) ||
            (json_is_string(value) && json_string_length(value) > FFL_MANIFEST_TEXT_MAX))
            return ffl_manifest_refuse(at, "arguments", "expected numbers, short texts, true or false");
    }
    *out = json_incref(object);
    return FFL_OK;
}

static ffl_status read_kind(const ffl_manifest_place *at, ffl_variant *v)
{
    static const char *const places[] = {"host", "cuda"};
    const char *families[FFL_FAMILY_COUNT];
    int operation = -1, where = FFL_HOST, family = -1;
    size_t operations = 0;
    while (ffl_operation_names[operations])
        operations++;
    for (size_t i = 0; i < FFL_FAMILY_COUNT; i++)
        families[i] = ffl_family_name((ffl_family)i);
    FFL_TRY(ffl_manifest_word(at, "operation", ffl_operation_names, operations, &operation));
    FFL_TRY(ffl_manifest_word(at, "place", places, 2, &where));
    FFL_TRY(ffl_manifest_word(at, "family", families, FFL_AUTO, &family)); /* FFL_AUTO is none of them */
    if (operation < 0 || family < 0)
        return ffl_manifest_refuse(at, operation < 0 ? "operation" : "family", "is missing");
    v->operation = (ffl_operation)operation;
    v->place = (ffl_place)where;
    v->family = (ffl_family)family;
    v->library = FFL_PROCESS;
    return ffl_manifest_flag(at, "threaded", &v->threaded);
}

static ffl_status read_timeouts(const ffl_manifest_place *entry, ffl_peer_manifest *out)
{
    static const char *const keys[] = {"prepare", "run"};
    const ffl_manifest_place at = {entry->path, entry->name, json_object_get(entry->object, "timeout_s")};
    out->prepare_s = prepare_default;
    out->run_s = run_default;
    if (!at.object)
        return FFL_OK;
    if (!json_is_object(at.object))
        return ffl_manifest_refuse(entry, "timeout_s", "expected an object with prepare and run, in seconds");
    FFL_TRY(ffl_manifest_check_keys(&at, keys, 2));
    FFL_TRY(ffl_manifest_number(&at, "prepare", 0.1, timeout_max, &out->prepare_s));
    return ffl_manifest_number(&at, "run", 0.1, timeout_max, &out->run_s);
}

ffl_status ffl_manifest_entry(const char *path, const json_t *object, ffl_peer_manifest *out)
{
    static const char *const keys[] = {"name",      "summary",     "source",   "operation", "place",
                                       "family",    "threaded",    "contract", "command",   "needs",
                                       "arguments", "activations", "timeout_s"};
    ffl_manifest_place at = {path, "", object};
    if (!json_is_object(object))
        return ffl_manifest_refuse(&at, "variants", "expected objects");
    FFL_TRY(ffl_manifest_text(&at, "name", &out->name));
    if (strlen(out->name) > NAME_MAX_LENGTH)
        return ffl_manifest_refuse(&at, "name", "longer than %d characters", NAME_MAX_LENGTH);
    at.name = out->name;
    FFL_TRY(ffl_manifest_check_keys(&at, keys, sizeof keys / sizeof *keys));
    FFL_TRY(ffl_manifest_text(&at, "summary", &out->summary));
    FFL_TRY(ffl_manifest_text(&at, "source", &out->source));
    FFL_TRY(read_kind(&at, &out->variant));
    FFL_TRY(read_contract(&at, &out->variant.contract));
    FFL_TRY(ffl_manifest_list(&at, "command", true, out->command, FFL_PEER_WORDS_MAX));
    FFL_TRY(ffl_manifest_list(&at, "needs", false, out->needs, FFL_PEER_NEEDS_MAX));
    FFL_TRY(read_arguments(&at, &out->arguments));
    FFL_TRY(read_activations(&at, out->activations));
    FFL_TRY(read_timeouts(&at, out));
    out->variant.name = out->name;
    out->variant.summary = out->summary;
    out->variant.source = out->source;
    return FFL_OK;
}
