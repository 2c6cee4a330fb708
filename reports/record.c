#include "reports/record.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum field_type { TEXT, INTEGER, SEED, REAL, FLAG } field_type;

typedef struct field {
    const char *name;
    field_type type;
    size_t offset, size;
} field;

#define FIELD(name, type, member)                                                                            \
    {                                                                                                        \
        name, type, offsetof(ffl_record, member), sizeof(((ffl_record *)0)->member)                          \
    }

/* The line's format: name in JSON, type, place in the struct. Order = order in the line. */
static const field fields[] = {
    FIELD("schema", INTEGER, schema),
    FIELD("kind", TEXT, kind),
    FIELD("run", TEXT, run),
    FIELD("key", TEXT, key),
    FIELD("group", TEXT, group),
    FIELD("date", TEXT, date),
    FIELD("variant", TEXT, variant),
    FIELD("operation", TEXT, operation),
    FIELD("family", TEXT, family),
    FIELD("library", TEXT, library),
    FIELD("isa", TEXT, isa),
    FIELD("class", TEXT, clazz),
    FIELD("place", TEXT, place),
    FIELD("library_version", TEXT, library_version),
    FIELD("kernel_family", TEXT, kernel_family),
    FIELD("shape", TEXT, shape),
    FIELD("trees", INTEGER, trees),
    FIELD("depth", INTEGER, depth),
    FIELD("neurons", INTEGER, neurons),
    FIELD("width_in", INTEGER, width_in),
    FIELD("width_out", INTEGER, width_out),
    FIELD("activation", TEXT, activation),
    FIELD("fixture", TEXT, fixture),
    FIELD("routing", TEXT, routing),
    FIELD("cache", TEXT, cache),
    FIELD("batch", INTEGER, batch),
    FIELD("tokens", INTEGER, tokens),
    FIELD("threads", INTEGER, threads),
    FIELD("cpus", TEXT, cpus),
    FIELD("seed", SEED, seed),
    FIELD("verdict", TEXT, verdict),
    FIELD("reason", TEXT, reason),
    FIELD("weak", FLAG, weak),
    FIELD("handicapped", FLAG, handicapped),
    FIELD("implausible", FLAG, implausible),
    FIELD("rows", INTEGER, rows),
    FIELD("flips", INTEGER, flips),
    FIELD("flip_margin", REAL, flip_margin),
    FIELD("error_statistical", REAL, error_statistical),
    FIELD("error_worst", REAL, error_worst),
    FIELD("calls", INTEGER, calls),
    FIELD("median_ns", REAL, median_ns),
    FIELD("low_ns", REAL, low_ns),
    FIELD("high_ns", REAL, high_ns),
    FIELD("min_ns", REAL, min_ns),
    FIELD("mean_ns", REAL, mean_ns),
    FIELD("p99_ns", REAL, p99_ns),
    FIELD("ns_per_token", REAL, ns_per_token),
    FIELD("form", TEXT, form),
    FIELD("burst", INTEGER, burst),
    FIELD("plain_ns", REAL, plain_ns),
    FIELD("graph_ns", REAL, graph_ns),
    FIELD("wall_ns", REAL, wall_ns),
    FIELD("enqueue_ns", REAL, enqueue_ns),
    FIELD("sm_mhz", REAL, sm_mhz),
    FIELD("memory_mhz", REAL, memory_mhz),
    FIELD("own_clock", FLAG, own_clock),
    FIELD("emulated", FLAG, emulated),
    FIELD("stolen", REAL, stolen),
    FIELD("clock_ns", REAL, clock_ns),
    FIELD("pack_ns", REAL, pack_ns),
    FIELD("pack_bytes", REAL, pack_bytes),
    FIELD("flops", REAL, flops),
    FIELD("dense_flops", REAL, dense_flops),
    FIELD("bytes", REAL, bytes),
    FIELD("roof_share", REAL, roof_share),
    FIELD("roof", TEXT, roof),
    FIELD("leaves_mean", REAL, leaves_mean),
    FIELD("leaves_max", REAL, leaves_max),
    FIELD("entropy_mean", REAL, entropy_mean),
    FIELD("entropy_max", REAL, entropy_max),
    FIELD("top1_mean", REAL, top1_mean),
    FIELD("top1_max", REAL, top1_max),
    FIELD("unique_weight_bytes", REAL, unique_weight_bytes),
    FIELD("forced_margin", REAL, forced_margin),
    FIELD("command", TEXT, command),
};
enum { FIELDS = sizeof fields / sizeof *fields };

/* Up to here a double holds every whole number. Nothing that is counted comes near it, and what stays below
 * can be added up and converted without overflow. */
static const int64_t whole_max = (int64_t)1 << 53;

const char *ffl_record_field(size_t i)
{
    return i < FIELDS ? fields[i].name : NULL;
}

void ffl_record_init(ffl_record *record)
{
    *record = (ffl_record){.schema = FFL_RECORD_SCHEMA};
    for (size_t f = 0; f < FIELDS; f++)
        if (fields[f].type == REAL)
            *(double *)((char *)record + fields[f].offset) = NAN;
}

void ffl_record_free(ffl_record *record)
{
    ffl_samples_free(&record->samples);
    json_decref(record->encoder);
    record->encoder = NULL;
    json_decref(record->ways);
    record->ways = NULL;
    json_decref(record->measured);
    record->measured = NULL;
    json_decref(record->circumstances);
    record->circumstances = NULL;
}

/* NULL for "not measured": nothing is written. Seeds use all 64 bits, JSON integers 63: hence as text. */
static json_t *encode(const field *f, const void *at)
{
    char digits[24];
    switch (f->type) {
    case TEXT:
        return *(const char *)at ? json_string(at) : NULL;
    case INTEGER:
        return *(const int64_t *)at ? json_integer(*(const int64_t *)at) : NULL;
    case SEED:
        snprintf(digits, sizeof digits, "%llu", (unsigned long long)*(const uint64_t *)at);
        return json_string(digits);
    case REAL:
        return isfinite(*(const double *)at) ? json_real(*(const double *)at) : NULL;
    case FLAG:
        return *(const bool *)at ? json_true() : NULL;
    }
    return NULL;
}

static json_t *encode_samples(const ffl_samples *samples)
{
    json_t *pairs = json_array();
    for (size_t i = 0; i < samples->distinct; i++)
        json_array_append_new(pairs,
                              json_pack("[I, I]", (json_int_t)samples->ns[i], (json_int_t)samples->count[i]));
    return pairs;
}

json_t *ffl_record_to_json(const ffl_record *record)
{
    json_t *json = json_object();
    for (size_t f = 0; f < FIELDS; f++) {
        json_t *value = encode(&fields[f], (const char *)record + fields[f].offset);
        if (value && json_object_set_new(json, fields[f].name, value) != 0) {
            json_decref(json);
            return NULL;
        }
    }
    if (record->samples.distinct)
        json_object_set_new(json, "samples_ns", encode_samples(&record->samples));
    if (record->ways)
        json_object_set(json, "ways", record->ways);
    if (record->encoder)
        json_object_set(json, "encoder", record->encoder);
    if (record->measured)
        json_object_set(json, "measured", record->measured);
    if (record->circumstances)
        json_object_set(json, "circumstances", record->circumstances);
    return json;
}

static bool decode_seed(const char *text, uint64_t *out)
{
    if (!text || !*text || strspn(text, "0123456789") != strlen(text))
        return false;
    errno = 0;
    *out = strtoull(text, NULL, 10);
    return errno == 0;
}

static ffl_status decode(const field *f, const json_t *value, void *at)
{
    bool fits = false;
    switch (f->type) {
    case TEXT:
        fits = json_is_string(value) && json_string_length(value) < f->size;
        if (fits)
            strcpy(at, json_string_value(value));
        break;
    case INTEGER:
        fits = json_is_integer(value) && json_integer_value(value) >= 0 &&
               json_integer_value(value) <= whole_max;
        *(int64_t *)at = json_integer_value(value);
        break;
    case SEED:
        fits = decode_seed(json_string_value(value), at);
        break;
    case REAL:
        fits = json_is_number(value);
        *(double *)at = json_number_value(value);
        break;
    case FLAG:
        fits = json_is_boolean(value);
        *(bool *)at = json_is_true(value);
        break;
    }
    return fits ? FFL_OK : ffl_fail(FFL_BAD_INPUT, "field \"%s\" has the wrong type or size", f->name);
}

static ffl_status decode_samples(const json_t *pairs, ffl_samples *out)
{
    const size_t count = json_array_size(pairs);
    if (!json_is_array(pairs))
        return ffl_fail(FFL_BAD_INPUT, "field \"samples_ns\" is not an array");
    out->ns = calloc(count + 1, sizeof *out->ns);
    out->count = calloc(count + 1, sizeof *out->count);
    if (!out->ns || !out->count)
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu samples", count);
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *pair = json_array_get(pairs, i);
        const double ns = json_number_value(json_array_get(pair, 0));
        const json_int_t n = json_integer_value(json_array_get(pair, 1));
        if (!json_is_number(json_array_get(pair, 0)) || n < 1 || (i > 0 && !(ns > out->ns[i - 1])))
            return ffl_fail(FFL_BAD_INPUT, "field \"samples_ns\", item %zu: not an ascending [ns, count]", i);
        if (!(ns >= 0 && ns <= (double)whole_max) || (uint64_t)n > (uint64_t)whole_max - total)
            return ffl_fail(FFL_BAD_INPUT, "field \"samples_ns\", item %zu: no time, or too many of them", i);
        out->ns[i] = ns;
        out->count[i] = (uint64_t)n;
        total += (uint64_t)n;
    }
    out->distinct = count;
    return FFL_OK;
}

ffl_status ffl_record_from_json(const json_t *json, ffl_record *record)
{
    ffl_record_init(record);
    if (!json_is_object(json))
        return ffl_fail(FFL_BAD_INPUT, "not a JSON object");
    ffl_status status = FFL_OK;
    for (size_t f = 0; f < FIELDS && status == FFL_OK; f++) {
        const json_t *value = json_object_get(json, fields[f].name);
        if (value)
            status = decode(&fields[f], value, (char *)record + fields[f].offset);
    }
    if (status == FFL_OK && record->schema > FFL_RECORD_SCHEMA)
        status = ffl_fail(FFL_BAD_INPUT, "written by a newer fflab (schema %lld)", (long long)record->schema);
    if (status == FFL_OK && record->schema < 1)
        status = ffl_fail(FFL_BAD_INPUT, "\"schema\" %lld: they count from 1", (long long)record->schema);
    if (status == FFL_OK && json_object_get(json, "samples_ns"))
        status = decode_samples(json_object_get(json, "samples_ns"), &record->samples);
    if (status == FFL_OK)
        record->encoder = json_incref(json_object_get(json, "encoder"));
    if (status == FFL_OK)
        record->ways = json_incref(json_object_get(json, "ways"));
    if (status == FFL_OK)
        record->measured = json_incref(json_object_get(json, "measured"));
    if (status == FFL_OK)
        record->circumstances = json_incref(json_object_get(json, "circumstances"));
    else
        ffl_record_free(record);
    return status;
}
