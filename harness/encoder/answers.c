/* What the worker tells: the model, and a row per variant. */
#include "harness/encoder/serve_session.h"
#include "harness/workload/routing.h"
#include <math.h>
#include <stdio.h>

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* What Amdahl's law makes of it: `share` of the baseline's pass is feedforward, this variant does it `s`
 * times as fast alone. The ceiling is what the pass can gain from that, the limit what it could gain from a
 * kernel that takes no time. */
static json_t *answer_json(double pass, double feedforward, double own_pass, const ffl_pass_times *own,
                           const ffl_pass_times *base)
{
    const double share = feedforward / pass, s = base->alone / own->alone,
                 ceiling = 1 / (1 - share + share / s);
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "share", share, "ceiling", ceiling, "limit",
                     1 / (1 - share), "speed_up", pass / own_pass, "of_ceiling", pass / own_pass / ceiling);
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

json_t *ffl_serve_row(const ffl_serve_session *s, int index, const ffl_variant *v, const ffl_encoder *e,
                      const ffl_encoder_verdict *c, size_t rounds, const ffl_pass_times *own,
                      const ffl_pass_times *base)
{
    json_t *parts = json_object();
    for (size_t p = 0; p < FFL_PART_COUNT; p++)
        json_object_set_new(parts, ffl_part_name((ffl_part)p), json_real(own->part[p]));
    json_t *row = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:I, s:f, s:f, s:f, s:f, s:o, s:f, s:o, s:o, s:I, s:I, s:o, s:b, s:I, "
        "s:I, "
        "s:I, s:o, s:I, s:I}",
        "row", index, "variant", v->name, "class", ffl_type_name(v->contract.weights), "verdict",
        ffl_verdict_name(c->verdict), "reason", c->reason, "passes", (json_int_t)rounds, "pass_ns", own->pass,
        "body_ns", own->body, "speed_up", base->pass / own->pass, "speed_up_body", base->body / own->body,
        "parts_ns", parts, "pack_ns", ffl_encoder_pack_ns(e), "parts_error", number(c->parts_error),
        "pass_error", number(c->pass_error), "judged", (json_int_t)c->judged, "flips", (json_int_t)c->flips,
        "flip_margin", number(c->flip_margin), "traced", c->traced, "pass_flips", (json_int_t)c->pass_flips,
        "flip_layer", (json_int_t)c->flip_layer, "flip_token", (json_int_t)c->flip_token, "flip_logit",
        number(c->flip_logit), "tokens", (json_int_t)c->tokens, "agreed", (json_int_t)c->agreed);
    const double ff = base->part[FFL_PART_FEEDFORWARD];
    json_object_set_new(row, "alone_ns", json_real(own->alone));
    json_object_set_new(row, "alone_speed_up", json_real(base->alone / own->alone));
    json_object_set_new(row, "context_penalty", json_real(own->part[FFL_PART_FEEDFORWARD] / own->alone));
    if (json_is_true(json_object_get(s->request, "trace")))
        json_object_set_new(row, "events", events_json(e));
    json_object_set_new(row, "whole", answer_json(base->pass, ff, own->pass, own, base));
    json_object_set_new(row, "body", answer_json(base->body, ff, own->body, own, base));
    return row;
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
    json_t *model = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:s, s:I, s:f, s:I, s:I, s:i, s:s, s:s, s:b}", "family",
        ffl_encoder_family_name(c->family), "layers", (json_int_t)c->layers, "width", (json_int_t)c->width,
        "heads", (json_int_t)c->heads, "vocabulary", (json_int_t)c->vocabulary, "feedforward", name,
        "neurons", (json_int_t)shape.neurons, "parameters", (double)ffl_encoder_parameters(c), "batch",
        (json_int_t)s->task.input.batch, "sequence", (json_int_t)s->task.input.sequence, "threads",
        s->threads, "projections", ffl_encoder_projection_name(s->baseline), "baseline", s->dense->name, "head",
        s->task.weights.has_head);
    const ffl_status status = routing_json(s, model);
    if (status != FFL_OK) {
        json_decref(model);
        return status;
    }
    return ffl_answer_send(s->answer, json_pack("{s:o}", "model", model));
}
