/* What the worker tells: the model, and a row per variant. */
#include "harness/encoder/answers.h"
#include "harness/encoder/arithmetic.h"
#include "harness/encoder/event_counts.h"
#include "harness/workload/routing.h"
#include "reports/passes.h"
#include <math.h>
#include <stdio.h>

json_t *ffl_json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static void arithmetic_of(const ffl_serve_session *s, double work[FFL_PART_COUNT])
{
    ffl_encoder_config all = s->task.weights.config;
    all.layers = s->task.layers;
    ffl_encoder_arithmetic(&all, s->task.input.sequence, ffl_encoder_dense_neurons(&s->task.weights),
                           s->task.weights.has_head, work);
}

/* The name of a preset, or the file or folder that the model comes from. */
static const char *model_name(const ffl_serve_session *s)
{
    static const char *const keys[] = {"checkpoint", "config", "preset"};
    const char *name = "";
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !*name; i++)
        name = json_string_value(json_object_get(s->request, keys[i]));
    return name;
}

static json_t *view_json(const ffl_pass_view *view, double arithmetic_share)
{
    return json_pack(
        "{s:f, s:f, s:f, s:f, s:f, s:o, s:o, s:o}", "share", view->share.median, "ceiling",
        view->ceiling.median, "limit", view->limit.median, "speed_up", view->speed_up.median, "of_ceiling",
        view->of_ceiling.median, "of_ceiling_low", ffl_json_number(view->of_ceiling.low), "of_ceiling_high",
        ffl_json_number(view->of_ceiling.high), "share_by_arithmetic", ffl_json_number(arithmetic_share));
}

static json_t *times_json(const double (*passes)[FFL_PART_COUNT], size_t count)
{
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *parts = json_array();
        for (size_t p = 0; p < FFL_PART_COUNT; p++)
            json_array_append_new(parts, json_real(round(passes[i][p])));
        json_array_append_new(all, parts);
    }
    return all;
}

/* What the journal keeps of it (reports/record.h): the model, and every pair. */
static json_t *journal_json(const ffl_serve_session *s, const ffl_encoder_verdict *c,
                            const ffl_pass_pairs *pairs)
{
    const ffl_encoder_config *config = &s->task.weights.config;
    json_t *names = json_array(), *flops = json_array(), *alone = json_array();
    double work[FFL_PART_COUNT];
    arithmetic_of(s, work);
    for (size_t p = 0; p < FFL_PART_COUNT; p++) {
        json_array_append_new(names, json_string(ffl_part_name((ffl_part)p)));
        json_array_append_new(flops, json_real(work[p]));
    }
    for (size_t i = 0; i < pairs->count; i++)
        json_array_append_new(alone, json_real(round(pairs->alone[i])));
    return json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:s, s:I, s:s, s:o, s:o, s:f, s:o, s:o, s:o, s:o, s:I, s:I, s:I}", "model",
        model_name(s), "layers", (json_int_t)s->task.layers, "layers_timed", (json_int_t)config->layers,
        "batch", (json_int_t)s->task.input.batch, "sequence", (json_int_t)s->task.input.sequence, "baseline",
        s->dense->name, "baseline_neurons", (json_int_t)ffl_encoder_dense_neurons(&s->task.weights),
        "projections", ffl_encoder_projection_name(s->baseline), "parts", names, "flops", flops,
        "dense_penalty", s->dense_penalty, "dense_ns", times_json(pairs->dense, pairs->count), "own_ns",
        times_json(pairs->own, pairs->count), "alone_ns", alone, "pass_error", ffl_json_number(c->pass_error),
        "pass_flips", (json_int_t)c->pass_flips, "agreed", (json_int_t)c->agreed, "tokens",
        (json_int_t)c->tokens);
}

static void add_answer(json_t *row, const ffl_pass_answer *a)
{
    json_t *parts = json_object(), *missing = json_object();
    for (size_t p = 0; p < a->parts; p++) {
        json_object_set_new(parts, a->name[p], json_real(a->own_ns[p].median));
        json_object_set_new(missing, a->name[p], json_real(a->missing_ns[p].median));
    }
    json_object_set_new(row, "passes", json_integer((json_int_t)a->pairs));
    json_object_set_new(row, "pass_ns", json_real(a->whole.pass_ns.median));
    json_object_set_new(row, "body_ns", json_real(a->body.pass_ns.median));
    json_object_set_new(row, "speed_up", json_real(a->whole.speed_up.median));
    json_object_set_new(row, "speed_up_body", json_real(a->body.speed_up.median));
    json_object_set_new(row, "parts_ns", parts);
    json_object_set_new(row, "missing_ns", missing);
    json_object_set_new(row, "alone_ns", json_real(a->alone_ns.median));
    json_object_set_new(row, "alone_speed_up", json_real(a->kernel_speed_up.median));
    json_object_set_new(row, "context_penalty", json_real(a->context_penalty.median));
    json_object_set_new(row, "whole", view_json(&a->whole, a->whole_share));
    json_object_set_new(row, "body", view_json(&a->body, a->body_share));
}

/* [part, layer (-1: none), start, length] of the last pass, in µs. */
static json_t *events_json(const ffl_encoder *e)
{
    const ffl_encoder_event *events;
    const size_t count = ffl_encoder_events(e, &events);
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            all, json_pack("[s, I, f, f]", ffl_part_name(events[i].part),
                           events[i].layer == SIZE_MAX ? (json_int_t)-1 : (json_int_t)events[i].layer,
                           events[i].start_ns / 1e3, events[i].ns / 1e3));
    return all;
}

ffl_status ffl_serve_row(const ffl_serve_session *s, int index, const ffl_variant *v, const ffl_encoder *e,
                         const ffl_encoder_verdict *c, const ffl_pass_pairs *pairs,
                         const ffl_layer_times *times, json_t **out)
{
    ffl_pass_answer answer;
    json_t *row = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:f, s:o, s:o, s:I, s:I, s:o, s:b, s:I, s:I, s:I, s:o, s:I, s:I, s:o}",
        "row", index, "variant", v->name, "class", ffl_type_name(v->contract.weights), "verdict",
        ffl_verdict_name(c->verdict), "reason", c->reason, "pack_ns", ffl_encoder_pack_ns(e), "parts_error",
        ffl_json_number(c->parts_error), "pass_error", ffl_json_number(c->pass_error), "judged",
        (json_int_t)c->judged, "flips", (json_int_t)c->flips, "flip_margin", ffl_json_number(c->flip_margin),
        "traced", c->traced, "pass_flips", (json_int_t)c->pass_flips, "flip_layer", (json_int_t)c->flip_layer,
        "flip_token", (json_int_t)c->flip_token, "flip_logit", ffl_json_number(c->flip_logit), "tokens",
        (json_int_t)c->tokens, "agreed", (json_int_t)c->agreed, "encoder", journal_json(s, c, pairs));
    if (!row)
        return ffl_fail(FFL_NO_MEMORY, "no memory for a row");
    ffl_status status = ffl_pass_answer_of(json_object_get(row, "encoder"), &answer);
    if (status == FFL_OK)
        status = ffl_serve_profile(s, v, e, times, row);
    if (status != FFL_OK) {
        json_decref(row);
        return status;
    }
    add_answer(row, &answer);
    if (json_is_true(json_object_get(s->request, "trace")))
        json_object_set_new(row, "events", events_json(e));
    *out = row;
    return FFL_OK;
}

/* Leaves and entropy of every layer's inputs, as the reference has them: means over the layers. */
static ffl_status routing_json(ffl_serve_session *s, json_t *model)
{
    const ffl_encoder_config *c = &s->task.weights.config;
    double leaves = 0, entropy = 0, top = 0;
    if (c->operation != FFL_FFF)
        return FFL_OK;
    FFL_TRY(ffl_serve_reference(s, FFL_FFF));
    const ffl_encoder_reference *r = &s->reference[FFL_FFF];
    for (size_t i = 0; i < c->layers; i++) {
        ffl_routing_report report;
        FFL_TRY(ffl_routing_measure(&ffl_encoder_weights_layer(&s->task.weights, i)->feedforward.layer,
                                    r->feedforward + i * r->tokens * r->width, r->width, r->tokens, &report));
        leaves += report.leaves_mean / (double)c->layers;
        entropy += report.entropy_mean / (double)c->layers;
        top += report.top1_mean / (double)c->layers;
    }
    json_object_set_new(model, "routing",
                        json_pack("{s:I, s:f, s:I, s:f, s:f}", "tokens", (json_int_t)r->tokens, "leaves",
                                  leaves, "leaves_of", (json_int_t)1 << (c->levels - 1), "entropy_bits",
                                  entropy, "top1", top));
    return FFL_OK;
}

ffl_status ffl_serve_model(ffl_serve_session *s)
{
    const ffl_encoder_config *c = &s->task.weights.config;
    const ffl_layer shape = ffl_encoder_layer_shape(c);
    char name[48];
    if (c->operation == FFL_FFF)
        snprintf(name, sizeof name, "%zux%zu", shape.trees, shape.levels - 1);
    else
        snprintf(name, sizeof name, "%zu", shape.neurons);
    ffl_encoder_config all = *c;
    double work[FFL_PART_COUNT], sum = 0;
    arithmetic_of(s, work);
    for (size_t p = 0; p < FFL_PART_COUNT; p++)
        sum += work[p];
    all.layers = s->task.layers;
    json_t *model = json_pack(
        "{s:s, s:I, s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:s, s:I, s:f, s:I, s:I, s:i, s:s, s:s, s:b}",
        "family", ffl_encoder_family_name(c->family), "layers", (json_int_t)s->task.layers, "layers_timed",
        (json_int_t)c->layers, "neurons_dense", (json_int_t)ffl_encoder_dense_neurons(&s->task.weights),
        "share", work[FFL_PART_FEEDFORWARD] / sum, "share_body",
        work[FFL_PART_FEEDFORWARD] / (sum - work[FFL_PART_LOGITS]), "width", (json_int_t)c->width, "heads",
        (json_int_t)c->heads, "vocabulary", (json_int_t)c->vocabulary, "feedforward", name, "neurons",
        (json_int_t)shape.neurons, "parameters", (double)ffl_encoder_parameters(&all), "batch",
        (json_int_t)s->task.input.batch, "sequence", (json_int_t)s->task.input.sequence, "threads",
        s->threads, "projections", ffl_encoder_projection_name(s->baseline), "baseline", s->dense->name,
        "head", s->task.weights.has_head);
    const ffl_status status = routing_json(s, model);
    if (status != FFL_OK) {
        json_decref(model);
        return status;
    }
    if (s->counting)
        json_object_set_new(model, "counters", ffl_event_names_json(&s->events));
    return ffl_answer_send(s->answer, json_pack("{s:o}", "model", model));
}
