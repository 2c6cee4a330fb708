#include "reports/roof.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

json_t *ffl_roof_measured(const ffl_roof *roof)
{
    json_t *json = json_pack("{s:f, s:f, s:s, s:I, s:s}", "value", roof->value, "median", roof->median,
                             "unit", roof->unit, "rounds", (json_int_t)roof->rounds, "date", roof->date);
    if (json && isfinite(roof->bytes))
        json_object_set_new(json, "bytes", json_real(roof->bytes));
    if (json && roof->device[0])
        json_object_set_new(json, "device", json_string(roof->device));
    return json;
}

ffl_status ffl_roof_to_record(const ffl_roof *roof, ffl_record *out)
{
    ffl_record_init(out);
    strcpy(out->kind, "roof");
    strcpy(out->roof, roof->name);
    strcpy(out->place, roof->place);
    out->threads = roof->threads;
    snprintf(out->key, sizeof out->key, "roof/%s/%s/threads:%lld", roof->place, roof->name,
             (long long)roof->threads);
    strcpy(out->command, "./fflab calibrate");
    out->measured = ffl_roof_measured(roof);
    return out->measured ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory for a roof");
}

static ffl_status read_text(const json_t *from, const char *name, bool needed, char *out, size_t size)
{
    const json_t *value = json_object_get(from, name);
    out[0] = '\0';
    if (!value && !needed)
        return FFL_OK;
    if (!json_is_string(value) || json_string_length(value) >= size || (needed && !json_string_length(value)))
        return ffl_fail(FFL_BAD_INPUT, "a roof without a usable \"%s\"", name);
    strcpy(out, json_string_value(value));
    return FFL_OK;
}

static ffl_status read_positive(const json_t *from, const char *name, double *out)
{
    *out = json_number_value(json_object_get(from, name));
    if (!(*out > 0) || !isfinite(*out))
        return ffl_fail(FFL_BAD_INPUT, "a roof whose \"%s\" is no positive number", name);
    return FFL_OK;
}

ffl_status ffl_roof_from_record(const ffl_record *record, ffl_roof *out)
{
    const json_t *m = record->measured;
    *out = (ffl_roof){.threads = record->threads, .bytes = NAN};
    strcpy(out->name, record->roof);
    strcpy(out->place, record->place);
    if (!out->name[0] || !out->place[0] || out->threads < 1)
        return ffl_fail(FFL_BAD_INPUT, "a roof needs a name, a place and threads");
    FFL_TRY(read_text(m, "unit", true, out->unit, sizeof out->unit));
    FFL_TRY(read_text(m, "date", true, out->date, sizeof out->date));
    FFL_TRY(read_text(m, "device", false, out->device, sizeof out->device));
    FFL_TRY(read_positive(m, "value", &out->value));
    FFL_TRY(read_positive(m, "median", &out->median));
    out->rounds = json_integer_value(json_object_get(m, "rounds"));
    if (json_object_get(m, "bytes"))
        FFL_TRY(read_positive(m, "bytes", &out->bytes));
    return FFL_OK;
}
