#include "harness/encoder/serve.h"
#include "harness/bench/device_stage.h"
#include "harness/bench/pin.h"
#include "harness/encoder/event_counts.h"
#include "harness/encoder/plan.h"
#include "harness/encoder/record.h"
#include "harness/encoder/serve_session.h"
#include "harness/registry.h"
#include "kernels/device.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROBE_TOKENS = 16 };

/* What an unnamed variant may take for one pass. */
static const double patience_seconds = 60;

static double elapsed(const ffl_serve_session *s)
{
    return 1e-9 * (ffl_pass_clock_ns() - s->start);
}

/* Seconds for the row that is next: the time left by the rows left; NAN without a limit. */
static double share_of(const ffl_serve_session *s)
{
    const double left = s->seconds - elapsed(s);
    return s->seconds > 0 ? (left > 0 ? left : 0) / (double)(s->rows_left ? s->rows_left : 1) : NAN;
}

/* Timed passes after a verified one, whose state they must leave again. */
static ffl_status time_passes(ffl_serve_session *s, const ffl_variant *v, ffl_encoder *e, double share,
                              ffl_encoder_verdict *verdict, ffl_pass_pairs *pairs, ffl_layer_times *times)
{
    const size_t count = s->task.input.batch * s->task.input.sequence * s->task.weights.config.width;
    float *verified = ffl_alloc_array(count, sizeof *verified);
    if (!verified)
        return FFL_NO_MEMORY;
    memcpy(verified, ffl_encoder_state(e), count * sizeof *verified);
    const ffl_status status = ffl_serve_measure(s, e, share, pairs, times);
    if (status == FFL_OK)
        ffl_serve_hold(verdict, v, verified, ffl_encoder_state(e), count);
    ffl_free(verified);
    return status;
}

static ffl_status serve_pass(ffl_serve_session *s, int index, const ffl_variant *v, ffl_encoder *e)
{
    ffl_encoder_verdict verdict;
    ffl_pass_pairs pairs;
    ffl_layer_times times;
    json_t *row = NULL;
    const double share = share_of(s), start = ffl_pass_clock_ns();
    FFL_TRY(ffl_serve_reference(s, v->operation));
    FFL_TRY(ffl_serve_verify(s, index, v, e, &verdict));
    if (index >= 0 && e != s->baseline && verdict.verdict < FFL_FAILED)
        FFL_TRY(ffl_record_write(s->request, e, s->task.weights.config.layers, s->inputs[1],
                                 s->task.input.batch * s->task.input.sequence));
    FFL_TRY(ffl_layer_times_new(s->task.weights.config.layers, ffl_serve_scale(s), &times));
    ffl_status status =
        time_passes(s, v, e, share - 1e-9 * (ffl_pass_clock_ns() - start), &verdict, &pairs, &times);
    if (status == FFL_OK)
        status = ffl_serve_row(s, index, v, e, &verdict, &pairs, &times, &row);
    ffl_layer_times_free(&times);
    if (status == FFL_OK && (status = ffl_serve_count(s, e, row)) != FFL_OK)
        json_decref(row);
    FFL_TRY(status);
    return ffl_answer_send(s->answer, row);
}

static ffl_status skip(const ffl_serve_session *s, int index, const ffl_variant *v, ffl_verdict verdict,
                       const char *why)
{
    return ffl_answer_send(s->answer, json_pack("{s:i, s:s, s:s, s:s}", "row", index, "variant", v->name,
                                                "verdict", ffl_verdict_name(verdict), "reason", why));
}

static bool is_strict(const ffl_serve_session *s)
{
    return json_is_true(json_object_get(s->request, "strict"));
}

/* For one pass. A verified and a timed one must fit into what a budget leaves; but a point without any answer
 * would have been made for nothing. */
static double patience_of(const ffl_serve_session *s)
{
    const double most = json_is_true(json_object_get(s->request, "named")) ? INFINITY : patience_seconds;
    const double left = (s->seconds - elapsed(s)) / 2;
    return s->trees_run && is_strict(s) && left < most ? left : most;
}

/* Without its device this process can only fail what comes next, too: it dies as from a fault of its own. */
static void die_with_device(const ffl_variant *v)
{
    const char *why;
    if (v->place != FFL_CUDA || !ffl_device_lost(&why))
        return;
    fprintf(stderr, "fflab: %s: %s; the device is lost to this process\n", v->name, why);
    abort();
}

static ffl_status serve_variant(ffl_serve_session *s, int index, const ffl_variant *v)
{
    const ffl_layer layer = ffl_serve_layer(s, v);
    const size_t tokens = s->task.input.batch * s->task.input.sequence;
    const bool named = json_is_true(json_object_get(s->request, "named"));
    const char *why = "";
    ffl_encoder *e;
    FFL_TRY(ffl_answer_send(s->answer, json_pack("{s:i}", "at", index)));
    if (s->trees_run && s->seconds > 0 && elapsed(s) > s->seconds && is_strict(s))
        return skip(s, index, v, FFL_SKIPPED, "the budget is spent; --resume goes on");
    if (layer.operation != v->operation)
        return skip(s, index, v, FFL_UNSUPPORTED_HERE, "this encoder's layers are dense");
    if (v->library == FFL_PROCESS)
        return skip(s, index, v, FFL_UNSUPPORTED_HERE,
                    "another process does its work: `fflab bench` times it alone");
    if (!ffl_variant_supports(v, &layer, tokens, s->threads, &why))
        return skip(s, index, v, FFL_UNSUPPORTED_HERE, why);
    const double patience = patience_of(s);
    if (isfinite(patience)) {
        double took;
        const size_t few = tokens < PROBE_TOKENS ? tokens : PROBE_TOKENS;
        FFL_TRY(ffl_serve_probe(s, v, few, &took));
        took *= (double)tokens / (double)few * (double)s->task.weights.config.layers;
        char text[96];
        snprintf(text, sizeof text, "a pass would take about %.0f s; %s", took,
                 named ? "more than the budget leaves" : "name it with -v to run it");
        if (took > patience)
            return skip(s, index, v, FFL_SKIPPED, text);
    }
    ffl_status status =
        ffl_encoder_new(&s->task.weights, v, s->task.input.batch, s->task.input.sequence, s->threads, &e);
    if (status == FFL_UNSUPPORTED)
        return skip(s, index, v, FFL_UNSUPPORTED_HERE, ffl_error());
    if (status == FFL_OK) {
        status = serve_pass(s, index, v, e);
        ffl_encoder_free(e);
    }
    s->trees_run++;
    if (status == FFL_DEVICE)
        die_with_device(v);
    if (status == FFL_DEVICE || status == FFL_UNSUPPORTED || status == FFL_INTERNAL)
        status = skip(s, index, v, FFL_FAILED, ffl_error());
    else if (status == FFL_NO_MEMORY)
        status = skip(s, index, v, FFL_SKIPPED, "not enough memory");
    return status;
}

/* -1: not among them. */
static int index_of(const json_t *names, const ffl_variant *v)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (json_is_string(json_array_get(names, i)) &&
            strcmp(json_string_value(json_array_get(names, i)), v->name) == 0)
            return (int)i;
    return -1;
}

static const ffl_variant *variant_at(const json_t *names, size_t i)
{
    const json_t *name = json_array_get(names, i);
    return json_is_string(name) ? ffl_registry_find(json_string_value(name)) : NULL;
}

/* Is it the first of its side? */
static bool opens_side(const json_t *names, size_t index)
{
    const ffl_serve_side side = ffl_serve_side_of(variant_at(names, index));
    for (size_t i = 0; i < index; i++)
        if (variant_at(names, i) && ffl_serve_same_side(&side, variant_at(names, i)))
            return false;
    return true;
}

/* The baseline of each side is a row, too. */
static size_t count_rows(const json_t *names)
{
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(names); i++)
        if (variant_at(names, i))
            count += 1 + opens_side(names, i);
    return count;
}

static bool all_on_device(const json_t *names)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (variant_at(names, i) && variant_at(names, i)->place == FFL_HOST)
            return false;
    return true;
}

/* The architecture first: how much of it the time is enough for. */
static ffl_status open_task(ffl_serve_session *s)
{
    size_t layers;
    ffl_encoder_task sizes;
    json_t *request = json_copy((json_t *)s->request);
    if (!request)
        return ffl_fail(FFL_NO_MEMORY, "no memory for a request");
    ffl_status status = FFL_OK;
    if (json_integer_value(json_object_get(request, "layers_timed")) == 0 &&
        !all_on_device(json_object_get(request, "variants")) && /* there a pass takes milliseconds */
        !*json_string_value(json_object_get(request, "checkpoint"))) {
        status = ffl_encoder_task_open(request, false, &sizes);
        if (status == FFL_OK) {
            status = ffl_encoder_plan(&sizes, s->rows_left, s->seconds, s->threads, &layers);
            ffl_encoder_task_close(&sizes);
        }
        if (status == FFL_OK)
            json_object_set_new(request, "layers_timed", json_integer((json_int_t)layers));
    }
    if (status == FFL_OK)
        status = ffl_encoder_task_open(request, true, &s->task);
    json_decref(request);
    return status;
}

/* Why nothing runs on this side, if so. */
static const char *closed(const ffl_serve_side *side)
{
    const char *why = "";
    return side->place == FFL_CUDA && !ffl_device_timing(&why) ? why : NULL;
}

/* All variants of the side at work, but for its baseline; reason: none runs, each is left out with it. */
static ffl_status serve_variants(ffl_serve_session *s, const json_t *names, ffl_verdict verdict,
                                 const char *reason)
{
    for (size_t i = 0; i < json_array_size(names); i++) {
        const ffl_variant *v = variant_at(names, i);
        if (!v || (!reason && v == s->dense) || !ffl_serve_same_side(&s->side, v))
            continue;
        FFL_TRY(reason ? skip(s, (int)i, v, verdict, reason) : serve_variant(s, (int)i, v));
        s->rows_left -= s->rows_left > 0;
    }
    return FFL_OK;
}

static ffl_status serve_side(ffl_serve_session *s, const json_t *names)
{
    char reason[512];
    if (closed(&s->side))
        return serve_variants(s, names, FFL_SKIPPED, closed(&s->side));
    ffl_status status = ffl_serve_find_dense(s);
    if (status == FFL_OK)
        status = ffl_encoder_new(&s->task.weights, s->dense, s->task.input.batch, s->task.input.sequence,
                                 s->threads, &s->baseline);
    if (status == FFL_UNSUPPORTED && s->side.place == FFL_CUDA) {
        snprintf(reason, sizeof reason, "%s", ffl_error());
        return serve_variants(s, names, FFL_UNSUPPORTED_HERE, reason);
    }
    FFL_TRY(status);
    FFL_TRY(ffl_serve_model(s));
    FFL_TRY(serve_pass(s, index_of(names, s->dense), s->dense, s->baseline));
    s->rows_left -= s->rows_left > 0;
    return serve_variants(s, names, FFL_PASSED, NULL);
}

static ffl_status serve_all(ffl_serve_session *s)
{
    const char *cpus = json_string_value(json_object_get(s->request, "cpus"));
    const json_t *names = json_object_get(s->request, "variants");
    FFL_TRY(ffl_pin(cpus ? cpus : ""));
    FFL_TRY(open_task(s));
    s->first = s->task.input.batch - 1; /* the last sequence: earlier ones shift its rows */
    for (size_t i = 0; i < json_array_size(names); i++) {
        if (!variant_at(names, i) || !opens_side(names, i))
            continue;
        s->side = ffl_serve_side_of(variant_at(names, i));
        const ffl_status status = serve_side(s, names);
        ffl_encoder_free(s->baseline);
        s->baseline = NULL;
        FFL_TRY(status);
    }
    return FFL_OK;
}

ffl_status ffl_encoder_serve(const json_t *request, ffl_answer *answer)
{
    ffl_serve_session s = {.answer = answer,
                           .request = request,
                           .threads = (int)json_integer_value(json_object_get(request, "threads")),
                           .start = ffl_pass_clock_ns(),
                           .counting = json_is_true(json_object_get(request, "counters")),
                           .seconds = json_number_value(json_object_get(request, "seconds")),
                           .rows_left = count_rows(json_object_get(request, "variants"))};
    if (s.counting) /* before any thread starts that is to be counted */
        ffl_events_open(&s.events);
    const ffl_status status = serve_all(&s);
    if (s.counting)
        ffl_events_close(&s.events);
    ffl_encoder_free(s.baseline);
    for (size_t o = 0; o < 2; o++)
        if (s.has_reference[o])
            ffl_encoder_reference_free(&s.reference[o]);
    ffl_free(s.inputs[0]);
    ffl_free(s.inputs[1]);
    ffl_encoder_task_close(&s.task);
    return status;
}
