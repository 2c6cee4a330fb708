#include "harness/encoder/event_counts.h"
#include <math.h>
#include <stdio.h>

enum { COUNTED_PASSES = 3 };

json_t *ffl_event_names_json(const ffl_events *events)
{
    json_t *available = json_array(), *missing = json_object();
    for (size_t i = 0; i < events->count; i++) {
        const ffl_event *e = &events->value[i];
        if (e->descriptor >= 0)
            json_array_append_new(available, json_string(e->name));
        else
            json_object_set_new(missing, e->name, json_string(e->reason));
    }
    return json_pack("{s:o, s:o}", "available", available, "missing", missing);
}

static json_t *part_json(const ffl_events *events, const double counts[FFL_EVENTS_MAX])
{
    json_t *part = json_object();
    for (size_t i = 0; i < events->count; i++)
        if (isfinite(counts[i]))
            json_object_set_new(part, events->value[i].name, json_real(counts[i] / COUNTED_PASSES));
    return part;
}

ffl_status ffl_serve_count(ffl_serve_session *s, ffl_encoder *e, json_t *row)
{
    if (!s->counting)
        return FFL_OK;
    ffl_encoder_count_events(e, &s->events);
    ffl_encoder_clear_times(e);
    ffl_status status = FFL_OK;
    for (int i = 0; i < COUNTED_PASSES && status == FFL_OK; i++) {
        status = ffl_encoder_run(e, &s->task.input, true);
        if (status == FFL_OK)
            status = ffl_answer_send(s->answer, json_pack("{s:i}", "at", -1));
    }
    const double(*counts)[FFL_EVENTS_MAX] = ffl_encoder_counts(e);
    json_t *parts = json_object();
    for (size_t p = 0; p < FFL_PART_COUNT; p++)
        json_object_set_new(parts, ffl_part_name((ffl_part)p), part_json(&s->events, counts[p]));
    json_object_set_new(row, "counters", json_pack("{s:i, s:o}", "passes", COUNTED_PASSES, "parts", parts));
    ffl_encoder_count_events(e, NULL);
    return status;
}

/* ---- Tables ---- */

static void print_event(const json_t *parts, const char *event)
{
    printf("    %-37s", event);
    for (size_t p = 0; p < FFL_PART_COUNT; p++) {
        const json_t *value = json_object_get(json_object_get(parts, ffl_part_name((ffl_part)p)), event);
        const int width = p == FFL_PART_FEEDFORWARD ? 11 : 10;
        if (json_is_number(value))
            printf(" %*.4g", width, json_number_value(value));
        else
            printf(" %*s", width, "-");
    }
    putchar('\n');
}

static void print_head(void)
{
    printf("\ncounts per pass, all threads; mean of passes of their own\n  %-39s", "variant, event");
    for (size_t p = 0; p < FFL_PART_COUNT; p++)
        printf(" %*s", p == FFL_PART_FEEDFORWARD ? 11 : 10, ffl_part_name((ffl_part)p));
    putchar('\n');
}

/* One line per reason: it is mostly the same for all. */
static void print_missing(const json_t *missing)
{
    const char *name, *other;
    json_t *reason, *same;
    json_t *told = json_object();
    json_object_foreach((json_t *)missing, name, reason)
    {
        if (json_object_get(told, json_string_value(reason)))
            continue;
        json_object_set_new(told, json_string_value(reason), json_true());
        printf("\nnot available here: %s", name);
        json_object_foreach((json_t *)missing, other, same)
        {
            if (other != name && json_equal(same, reason))
                printf(", %s", other);
        }
        printf(": %s\n", json_string_value(reason));
    }
    json_decref(told);
}

void ffl_print_counters(const json_t *model, const json_t *rows)
{
    const json_t *names = json_object_get(model, "counters");
    const json_t *available = json_object_get(names, "available");
    size_t i, k;
    json_t *row, *event;
    if (json_array_size(available))
        print_head();
    json_array_foreach((json_t *)rows, i, row)
    {
        const json_t *parts = json_object_get(json_object_get(row, "counters"), "parts");
        if (!parts || !json_array_size(available))
            continue;
        printf("  %s\n", json_string_value(json_object_get(row, "variant")));
        json_array_foreach((json_t *)available, k, event) print_event(parts, json_string_value(event));
    }
    print_missing(json_object_get(names, "missing"));
}
