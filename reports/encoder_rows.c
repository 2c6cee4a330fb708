/* Which rows of kind "encoder" say something, and which of them belong together. */
#include "reports/encoder.h"
#include <string.h>

static int64_t whole(const json_t *json, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(json, key));
}

static const char *word(const json_t *json, const char *key)
{
    const char *value = json_string_value(json_object_get(json, key));
    return value ? value : "";
}

bool ffl_pass_row_of(const ffl_row *row, ffl_pass_row *out)
{
    const json_t *encoder = row->record.encoder;
    *out = (ffl_pass_row){.row = row};
    if (strcmp(row->record.verdict, "PASSED") != 0 || ffl_pass_answer_of(encoder, &out->answer) != FFL_OK)
        return false;
    out->layers = whole(encoder, "layers");
    out->layers_timed = whole(encoder, "layers_timed");
    out->batch = whole(encoder, "batch");
    out->sequence = whole(encoder, "sequence");
    out->dense_neurons = whole(encoder, "baseline_neurons");
    out->model = word(encoder, "model");
    out->baseline = word(encoder, "baseline");
    return true;
}

bool ffl_pass_same_group(const ffl_row *a, const ffl_row *b)
{
    return a->machine == b->machine && strcmp(a->record.group, b->record.group) == 0;
}

static bool goes_before(const ffl_pass_row *a, const ffl_pass_row *b)
{
    const bool whole_a = a->layers_timed >= a->layers, whole_b = b->layers_timed >= b->layers;
    if (whole_a != whole_b)
        return whole_a;
    return a->answer.kernel_speed_up.median > b->answer.kernel_speed_up.median;
}

bool ffl_pass_fastest(const ffl_rows *rows, const ffl_row *row, ffl_pass_row *out)
{
    bool any = false;
    for (size_t i = 0; i < rows->pass_count; i++) {
        ffl_pass_row candidate;
        if (!ffl_pass_same_group(&rows->passes[i], row) ||
            strcmp(rows->passes[i].record.operation, "fff") != 0 ||
            strcmp(rows->passes[i].record.clazz, "f32") != 0 ||
            !ffl_pass_row_of(&rows->passes[i], &candidate))
            continue;
        if (!any || goes_before(&candidate, out))
            *out = candidate;
        any = true;
    }
    return any;
}
