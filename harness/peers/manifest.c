#include "harness/peers/manifest.h"
#include "harness/files/file.h"
#include <libgen.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20, ENTRIES_MAX = 128, TEXT_MAX = 400, ARGUMENTS_MAX = 32, NAME_MAX_LENGTH = 63 };

static const double prepare_default = 50, run_default = 50, timeout_max = 3600;

/* Where a value stands, for messages. */
typedef struct place {
    const char *path, *name; /* of the entry; "" before it is known */
    const json_t *object;
} place;

__attribute__((format(printf, 3, 4))) static ffl_status refuse(const place *at, const char *key,
                                                               const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return ffl_fail(FFL_BAD_INPUT, "%s: %s%s%s: %s", at->path, at->name, *at->name ? ": " : "", key, text);
}

static ffl_status check_keys(const place *at, const char *const *known, size_t count)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)at->object, key, value)
    {
        bool found = false;
        for (size_t i = 0; i < count; i++)
            found = found || strcmp(key, known[i]) == 0;
        if (!found)
            return refuse(at, key, "no such key; harness/peers/README.md has them all");
    }
    return FFL_OK;
}

/* ---- Values ---- */

/* Printable, of one line: names and summaries go into tables. */
static bool is_plain(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 127)
            return false;
    return length > 0 && length <= TEXT_MAX;
}

static ffl_status copy_text(const place *at, const char *key, const json_t *value, char **out)
{
    if (!json_is_string(value) || !is_plain(json_string_value(value), json_string_length(value)))
        return refuse(at, key, "expected a text of 1 to %d characters on one line", TEXT_MAX);
    *out = strdup(json_string_value(value));
    return *out ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory for a manifest");
}

static ffl_status need_text(const place *at, const char *key, char **out)
{
    const json_t *value = json_object_get(at->object, key);
    return value ? copy_text(at, key, value, out) : refuse(at, key, "is missing");
}

static ffl_status read_flag(const place *at, const char *key, bool *out)
{
    const json_t *value = json_object_get(at->object, key);
    if (value && !json_is_boolean(value))
        return refuse(at, key, "expected true or false");
    *out = value ? json_is_true(value) : *out;
    return FFL_OK;
}

static ffl_status read_number(const place *at, const char *key, double least, double most, double *out)
{
    const json_t *value = json_object_get(at->object, key);
    if (!value)
        return FFL_OK;
    const double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= least && number <= most))
        return refuse(at, key, "expected a number from %g to %g", least, most);
    *out = number;
    return FFL_OK;
}

/* The index of a word in `names`; *out stays as it is when the key is not there. */
static ffl_status read_word(const place *at, const char *key, const char *const *names, size_t count,
                            int *out)
{
    const json_t *value = json_object_get(at->object, key);
    char expected[256] = "";
    if (!value)
        return FFL_OK;
    for (size_t i = 0; i < count; i++) {
        const size_t used = strlen(expected);
        if (json_is_string(value) && strcmp(json_string_value(value), names[i]) == 0) {
            *out = (int)i;
            return FFL_OK;
        }
        snprintf(expected + used, sizeof expected - used, "%s%s", i ? ", " : "", names[i]);
    }
    return refuse(at, key, "expected one of %s", expected);
}

/* ---- The contract ---- */

static ffl_status read_types(const place *at, ffl_contract *out)
{
    const char *names[FFL_TYPE_COUNT];
    ffl_type *const fields[] = {&out->input,  &out->weights,     &out->logit,
                                &out->hidden, &out->accumulator, &out->output};
    static const char *const keys[] = {"input", "weights", "logit", "hidden", "accumulator", "output"};
    for (size_t i = 0; i < FFL_TYPE_COUNT; i++)
        names[i] = ffl_type_name((ffl_type)i);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int type = FFL_F32;
        FFL_TRY(read_word(at, keys[i], names, FFL_TYPE_COUNT, &type));
        *fields[i] = (ffl_type)type;
    }
    return FFL_OK;
}

static ffl_status read_invariances(const place *at, unsigned *out)
{
    static const char *const names[] = {"run-to-run", "threads", "batch", "place"};
    const json_t *list = json_object_get(at->object, "invariances");
    if (list && !json_is_array(list))
        return refuse(at, "invariances", "expected a list of run-to-run, threads, batch and place");
    *out = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        size_t n = 0;
        while (n < 4 && !(word && strcmp(word, names[n]) == 0))
            n++;
        if (n == 4)
            return refuse(at, "invariances", "expected a list of run-to-run, threads, batch and place");
        *out |= 1u << n; /* FFL_SAME_* in the order of the names */
    }
    return FFL_OK;
}

static ffl_status read_contract(const place *entry, ffl_contract *out)
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
    const place at = {entry->path, entry->name, json_object_get(entry->object, "contract")};
    int scale = FFL_SCALE_NONE;
    double units = 0;
    if (!json_is_object(at.object))
        return refuse(entry, "contract", "expected an object");
    FFL_TRY(check_keys(&at, keys, sizeof keys / sizeof *keys));
    FFL_TRY(read_types(&at, out));
    FFL_TRY(read_word(&at, "weight_scale", scales, 3, &scale));
    if ((out->weights == FFL_INT8) != (scale != FFL_SCALE_NONE))
        return refuse(&at, "weight_scale", "int8 weights, and they alone, have a scale per tensor or row");
    out->weight_scale = (ffl_scale)scale;
    out->reassociates = true;
    FFL_TRY(read_flag(&at, "reassociates", &out->reassociates));
    FFL_TRY(read_flag(&at, "flushes_denormals", &out->flushes_denormals));
    if (!json_object_get(at.object, "activation_error"))
        return refuse(&at, "activation_error", "is missing: units of 2^-24 of |z|, 4 for an exact formula");
    FFL_TRY(read_number(&at, "activation_error", 0, 0x1p24, &units));
    out->activation_error = units * FFL_UNIT_F32;
    out->alignment = sizeof(float);
    return read_invariances(&at, &out->invariances);
}

/* ---- An entry ---- */

static ffl_status read_list(const place *at, const char *key, bool needed, char **out, size_t most)
{
    const json_t *list = json_object_get(at->object, key);
    const size_t count = json_array_size(list);
    if (!list && !needed)
        return FFL_OK;
    if (!json_is_array(list) || count == 0 || count > most)
        return refuse(at, key, "expected a list of 1 to %zu words", most);
    for (size_t i = 0; i < count; i++)
        FFL_TRY(copy_text(at, key, json_array_get(list, i), &out[i]));
    return FFL_OK;
}

static ffl_status read_activations(const place *at, bool out[3])
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
            return refuse(at, "activations", "expected a list of gelu, relu and gelu_tanh");
        out[n] = true;
    }
    return FFL_OK;
}

/* Handed on as it is, but small and flat: a program's own switches. */
static ffl_status read_arguments(const place *at, json_t **out)
{
    json_t *object = json_object_get(at->object, "arguments"), *value;
    const char *key;
    if (!object)
        return FFL_OK;
    if (!json_is_object(object) || json_object_size(object) > ARGUMENTS_MAX)
        return refuse(at, "arguments", "expected an object of at most %d values", ARGUMENTS_MAX);
    json_object_foreach(object, key, value)
    {
        if (json_is_object(value) || json_is_array(value) ||
            (json_is_string(value) && json_string_length(value) > TEXT_MAX))
            return refuse(at, "arguments", "expected numbers, short texts, true or false");
    }
    *out = json_incref(object);
    return FFL_OK;
}

static ffl_status read_kind(const place *at, ffl_variant *v)
{
    static const char *const places[] = {"host", "cuda"};
    const char *families[FFL_FAMILY_COUNT];
    int operation = -1, where = FFL_HOST, family = -1;
    size_t operations = 0;
    while (ffl_operation_names[operations])
        operations++;
    for (size_t i = 0; i < FFL_FAMILY_COUNT; i++)
        families[i] = ffl_family_name((ffl_family)i);
    FFL_TRY(read_word(at, "operation", ffl_operation_names, operations, &operation));
    FFL_TRY(read_word(at, "place", places, 2, &where));
    FFL_TRY(read_word(at, "family", families, FFL_AUTO, &family)); /* FFL_AUTO is none of them */
    if (operation < 0 || family < 0)
        return refuse(at, operation < 0 ? "operation" : "family", "is missing");
    v->operation = (ffl_operation)operation;
    v->place = (ffl_place)where;
    v->family = (ffl_family)family;
    v->library = FFL_PROCESS;
    return read_flag(at, "threaded", &v->threaded);
}

static ffl_status read_timeouts(const place *entry, ffl_peer_manifest *out)
{
    static const char *const keys[] = {"prepare", "run"};
    const place at = {entry->path, entry->name, json_object_get(entry->object, "timeout_s")};
    out->prepare_s = prepare_default;
    out->run_s = run_default;
    if (!at.object)
        return FFL_OK;
    if (!json_is_object(at.object))
        return refuse(entry, "timeout_s", "expected an object with prepare and run, in seconds");
    FFL_TRY(check_keys(&at, keys, 2));
    FFL_TRY(read_number(&at, "prepare", 0.1, timeout_max, &out->prepare_s));
    return read_number(&at, "run", 0.1, timeout_max, &out->run_s);
}

static ffl_status read_entry(const char *path, const json_t *object, ffl_peer_manifest *out)
{
    static const char *const keys[] = {"name",      "summary",     "source",   "operation", "place",
                                       "family",    "threaded",    "contract", "command",   "needs",
                                       "arguments", "activations", "timeout_s"};
    place at = {path, "", object};
    if (!json_is_object(object))
        return refuse(&at, "variants", "expected objects");
    FFL_TRY(need_text(&at, "name", &out->name));
    if (strlen(out->name) > NAME_MAX_LENGTH)
        return refuse(&at, "name", "longer than %d characters", NAME_MAX_LENGTH);
    at.name = out->name;
    FFL_TRY(check_keys(&at, keys, sizeof keys / sizeof *keys));
    FFL_TRY(need_text(&at, "summary", &out->summary));
    FFL_TRY(need_text(&at, "source", &out->source));
    FFL_TRY(read_kind(&at, &out->variant));
    FFL_TRY(read_contract(&at, &out->variant.contract));
    FFL_TRY(read_list(&at, "command", true, out->command, FFL_PEER_WORDS_MAX));
    FFL_TRY(read_list(&at, "needs", false, out->needs, FFL_PEER_NEEDS_MAX));
    FFL_TRY(read_arguments(&at, &out->arguments));
    FFL_TRY(read_activations(&at, out->activations));
    FFL_TRY(read_timeouts(&at, out));
    out->variant.name = out->name;
    out->variant.summary = out->summary;
    out->variant.source = out->source;
    return FFL_OK;
}

/* ---- A file ---- */

/* The entries as a new array, each with what it takes from "common". */
static ffl_status list_entries(const char *path, json_t *root, json_t **out)
{
    const place at = {path, "", root};
    static const char *const keys[] = {"common", "variants"};
    *out = NULL;
    if (json_is_array(root))
        *out = json_incref(root);
    else if (!json_is_object(root))
        return refuse(&at, "manifest", "expected an object or a list of objects");
    else if (!json_object_get(root, "variants"))
        *out = json_pack("[O]", root);
    if (*out)
        return FFL_OK;
    FFL_TRY(check_keys(&at, keys, 2));
    json_t *common = json_object_get(root, "common"), *variants = json_object_get(root, "variants"), *entry;
    size_t i;
    if (!json_is_array(variants) || (common && !json_is_object(common)))
        return refuse(&at, "variants", "expected a list, and \"common\" as an object");
    json_array_foreach(variants, i, entry)
    {
        if (!json_is_object(entry))
            return refuse(&at, "variants", "expected objects");
        if (common && json_object_update_missing(entry, common) != 0)
            return ffl_fail(FFL_NO_MEMORY, "no memory for a manifest");
    }
    *out = json_incref(variants);
    return FFL_OK;
}

static ffl_status load(const char *path, json_t **out)
{
    int descriptor;
    size_t bytes;
    json_error_t error;
    FFL_TRY(ffl_file_open(path, &descriptor, &bytes));
    *out = bytes <= FILE_MAX ? json_loadfd(descriptor, JSON_REJECT_DUPLICATES, &error) : NULL;
    close(descriptor);
    if (bytes > FILE_MAX)
        return ffl_fail(FFL_BAD_INPUT, "%s: %zu bytes are more than a manifest has", path, bytes);
    return *out ? FFL_OK : ffl_fail(FFL_BAD_INPUT, "%s: line %d: %s", path, error.line, error.text);
}

static ffl_status folder_of(const char *path, char out[PATH_MAX])
{
    char copy[PATH_MAX];
    if (!realpath(path, copy))
        return ffl_fail(FFL_BAD_INPUT, "%s: its folder cannot be found", path);
    snprintf(out, PATH_MAX, "%s", dirname(copy));
    return FFL_OK;
}

static ffl_status read_all(const char *path, const json_t *entries, ffl_peer_manifest **out, size_t *count)
{
    char folder[PATH_MAX];
    FFL_TRY(folder_of(path, folder));
    for (size_t i = 0; i < json_array_size(entries); i++) {
        ffl_peer_manifest *one = calloc(1, sizeof *one);
        if (!one)
            return ffl_fail(FFL_NO_MEMORY, "no memory for a manifest");
        out[(*count)++] = one;
        if (!(one->folder = strdup(folder)))
            return ffl_fail(FFL_NO_MEMORY, "no memory for a manifest");
        FFL_TRY(read_entry(path, json_array_get(entries, i), one));
    }
    return FFL_OK;
}

ffl_status ffl_peer_manifests_read(const char *path, ffl_peer_manifest ***out, size_t *count)
{
    json_t *root, *entries = NULL;
    *out = NULL;
    *count = 0;
    FFL_TRY(load(path, &root));
    ffl_status status = list_entries(path, root, &entries);
    const size_t entry_count = json_array_size(entries);
    if (status == FFL_OK && (entry_count == 0 || entry_count > ENTRIES_MAX))
        status = ffl_fail(FFL_BAD_INPUT, "%s: expected 1 to %d variants", path, ENTRIES_MAX);
    if (status == FFL_OK && !(*out = calloc(entry_count, sizeof **out)))
        status = ffl_fail(FFL_NO_MEMORY, "no memory for a manifest");
    if (status == FFL_OK)
        status = read_all(path, entries, *out, count);
    json_decref(entries);
    json_decref(root);
    if (status == FFL_OK)
        return FFL_OK;
    for (size_t i = 0; i < *count; i++)
        ffl_peer_manifest_free((*out)[i]);
    free(*out);
    *out = NULL;
    *count = 0;
    return status;
}

void ffl_peer_manifest_free(ffl_peer_manifest *m)
{
    if (!m)
        return;
    free(m->name);
    free(m->summary);
    free(m->source);
    free(m->folder);
    for (size_t i = 0; i <= FFL_PEER_WORDS_MAX; i++)
        free(m->command[i]);
    for (size_t i = 0; i <= FFL_PEER_NEEDS_MAX; i++)
        free(m->needs[i]);
    json_decref(m->arguments);
    free(m);
}
