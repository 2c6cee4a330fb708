#include "harness/encoder/serve.h"
#include "harness/bench/pin.h"
#include "harness/encoder/dump.h"
#include "harness/encoder/task.h"
#include "harness/encoder/verify.h"
#include "harness/registry.h"
#include "harness/workload/random.h"
#include "harness/workload/routing.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS_MAX = 9, ROUNDS_MIN = 3, PROBE_TOKENS = 16 };

/* Of timed passes per variant, the baseline's included; and what an unnamed variant may take for one pass. */
static const double row_seconds = 4, patience_seconds = 60;

typedef struct session {
    ffl_answer *answer;
    const json_t *request;
    ffl_encoder_task task;
    ffl_encoder_reference reference[2]; /* by operation, made when first needed */
    bool has_reference[2];
    size_t first; /* sequence that the references are of */
    int threads;
    const ffl_variant *dense; /* the baseline */
    ffl_encoder *baseline;
    double dense_alone; /* its feedforward layers by themselves, ns */
    float *inputs[2]; /* [layers][tokens][width]: what feedforward layers were given: the baseline's, and the
                         variant's */
} session;

typedef struct times {
    double part[FFL_PART_COUNT]; /* medians, ns */
    double pass, body;           /* with and without the logits */
    double alone;                /* the feedforward layers by themselves */
} times;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    const double l = *(const double *)a, r = *(const double *)b;
    return (l > r) - (l < r);
}

static double median(const double *values, size_t count)
{
    double sorted[ROUNDS_MAX];
    memcpy(sorted, values, count * sizeof *values);
    qsort(sorted, count, sizeof *sorted, ascending);
    return count % 2 ? sorted[count / 2] : 0.5 * (sorted[count / 2 - 1] + sorted[count / 2]);
}

/* ---- What a variant would cost, on one layer ---- */

static ffl_layer layer_for(const session *s, const ffl_variant *v)
{
    const ffl_layer *layer = &s->task.weights.layer[0].feedforward.layer;
    return v->operation == FFL_FF ? ffl_layer_dense(layer, layer->neurons) : *layer;
}

/* Best of a few runs on random rows, in seconds. */
static ffl_status probe(const session *s, const ffl_variant *v, size_t tokens, double *out)
{
    const ffl_layer layer = layer_for(s, v);
    ffl_instance instance;
    *out = INFINITY;
    float *x = ffl_alloc_rows(tokens * layer.width_in, sizeof *x),
          *y = ffl_alloc_rows(tokens * layer.width_out, sizeof *y);
    ffl_status status = x && y ? ffl_instance_new(v, &layer, tokens, s->threads, &instance) : FFL_NO_MEMORY;
    ffl_random random = ffl_random_new(1, 1);
    for (size_t i = 0; x && i < tokens * layer.width_in; i++)
        x[i] = (float)ffl_random_normal(&random);
    for (int round = 0; round < 3 && status == FFL_OK; round++) {
        const double start = seconds();
        status = ffl_instance_run(&instance, x, layer.width_in, y, layer.width_out, tokens);
        const double took = seconds() - start;
        *out = took < *out && (round || took > 1) ? took : *out;
        if (took > 1)
            break;
    }
    if (status == FFL_OK)
        ffl_instance_free(&instance);
    ffl_free(x);
    ffl_free(y);
    return status;
}

/* The fastest dense f32 variant for this many tokens. */
static ffl_status find_dense(session *s)
{
    const size_t tokens = s->task.input.batch * s->task.input.sequence;
    double least = INFINITY;
    for (size_t i = 0; i < ffl_registry_count(); i++) {
        const ffl_variant *v = ffl_registry_at(i);
        const ffl_layer layer = layer_for(s, v);
        const char *why = "";
        double took;
        if (v->operation != FFL_FF || v->place != FFL_HOST || v->contract.weights != FFL_F32 ||
            (v->family != FFL_BLAS3 && v->family != FFL_SIMD) || !ffl_registry_built_in(v) ||
            !ffl_variant_supports(v, &layer, tokens, s->threads, &why))
            continue;
        FFL_TRY(ffl_answer_send(s->answer, json_pack("{s:i}", "at", -1)));
        FFL_TRY(probe(s, v, tokens, &took));
        if (took < least) {
            least = took;
            s->dense = v;
        }
    }
    return s->dense
               ? FFL_OK
               : ffl_fail(FFL_UNSUPPORTED, "no dense variant takes this layer with %d threads", s->threads);
}

/* ---- One variant ---- */

static ffl_status need_reference(session *s, ffl_operation operation)
{
    if (s->has_reference[operation])
        return FFL_OK;
    const size_t at = s->first * s->task.input.sequence;
    const ffl_encoder_input part = {1, s->task.input.sequence, s->task.input.ids + at,
                                    s->task.input.mask ? s->task.input.mask + at : NULL};
    FFL_TRY(ffl_encoder_reference_run(&s->task.weights, operation, &part, true, &s->reference[operation]));
    s->has_reference[operation] = true;
    return ffl_answer_send(s->answer, json_pack("{s:i}", "at", -1));
}

static ffl_status pass(session *s, ffl_encoder *e, double parts[FFL_PART_COUNT])
{
    ffl_encoder_clear_times(e);
    FFL_TRY(ffl_encoder_run(e, &s->task.input, true));
    memcpy(parts, ffl_encoder_times(e), FFL_PART_COUNT * sizeof *parts);
    return FFL_OK;
}

static times summarise(double (*rounds)[FFL_PART_COUNT], size_t count)
{
    times out = {.pass = 0};
    double value[ROUNDS_MAX], body[ROUNDS_MAX];
    for (size_t p = 0; p < FFL_PART_COUNT; p++) {
        for (size_t r = 0; r < count; r++)
            value[r] = rounds[r][p];
        out.part[p] = median(value, count);
    }
    for (size_t r = 0; r < count; r++) {
        value[r] = 0;
        for (size_t p = 0; p < FFL_PART_COUNT; p++)
            value[r] += rounds[r][p];
        body[r] = value[r] - rounds[r][FFL_PART_LOGITS];
    }
    out.pass = median(value, count);
    out.body = median(body, count);
    return out;
}

/* Passes in turn with the baseline's: the machine's moods hit both. The feedforward layers alone do not touch
 * the state that the pass left. */
static ffl_status measure(session *s, ffl_encoder *e, size_t *rounds, times *own, times *base)
{
    double mine[ROUNDS_MAX][FFL_PART_COUNT], theirs[ROUNDS_MAX][FFL_PART_COUNT], alone[ROUNDS_MAX];
    const bool is_base = e == s->baseline;
    const double start = seconds();
    size_t n = 0, bases = 0;
    while (n < ROUNDS_MIN || (n < ROUNDS_MAX && seconds() - start < row_seconds)) {
        if (n && !is_base)
            FFL_TRY(pass(s, s->baseline, theirs[bases++]));
        FFL_TRY(ffl_answer_send(s->answer, json_pack("{s:i}", "at", -1)));
        FFL_TRY(pass(s, e, mine[n]));
        FFL_TRY(ffl_encoder_feedforward_alone(e, s->inputs[!is_base], &alone[n]));
        n++;
    }
    *rounds = n;
    *own = summarise(mine, n);
    own->alone = median(alone, n);
    if (is_base)
        s->dense_alone = own->alone;
    *base = is_base ? *own : summarise(theirs, bases);
    base->alone = s->dense_alone;
    return FFL_OK;
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* What Amdahl's law makes of it: `share` of the baseline's pass is feedforward, this variant does it `s`
 * times as fast alone. The ceiling is what the pass can gain from that, the limit what it could gain from a
 * kernel that takes no time. */
static json_t *answer_json(double pass, double feedforward, double own_pass, const times *own,
                           const times *base)
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

static json_t *row_json(const json_t *request, int index, const ffl_variant *v, const ffl_encoder *e,
                        const ffl_encoder_verdict *c, size_t rounds, const times *own, const times *base)
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
    if (json_is_true(json_object_get(request, "trace")))
        json_object_set_new(row, "events", events_json(e));
    json_object_set_new(row, "whole", answer_json(base->pass, ff, own->pass, own, base));
    json_object_set_new(row, "body", answer_json(base->body, ff, own->body, own, base));
    return row;
}

/* The timed passes must have been the verified one: what the last of them left is compared with it. */
static void hold_to(ffl_encoder_verdict *out, const ffl_variant *v, const float *verified, const float *timed,
                    size_t count)
{
    double error = 0, scale = 0;
    for (size_t i = 0; i < count; i++) {
        const double e = fabs((double)timed[i] - (double)verified[i]);
        error = !(e <= error) ? e : error;
        scale = fmax(scale, fabs((double)verified[i]));
    }
    if (!(v->contract.invariances & FFL_SAME_RUN_TO_RUN) || error <= 1e-5 * scale ||
        out->verdict >= FFL_FAILED)
        return;
    out->verdict = FFL_FAILED;
    snprintf(out->reason, sizeof out->reason,
             "the timed passes differ from the verified one by %.1e of its scale", error / scale);
}

/* During the verified pass: inputs are kept, and files written. */
typedef struct watching {
    float *inputs;
    size_t count; /* of one layer */
    ffl_dump dump;
} watching;

static ffl_status watch(void *user, ffl_encoder *encoder, size_t layer)
{
    watching *w = user;
    if (layer < w->dump.config->layers)
        memcpy(w->inputs + layer * w->count, ffl_encoder_feedforward_input(encoder),
               w->count * sizeof *w->inputs);
    return *w->dump.folder ? ffl_dump_watch(&w->dump, encoder, layer) : FFL_OK;
}

static void watch_logits(void *user, size_t first, size_t count, const float *logits)
{
    watching *w = user;
    if (*w->dump.folder)
        ffl_dump_logits(&w->dump, first, count, logits);
}

static ffl_status verify(session *s, int index, const ffl_variant *v, ffl_encoder *e, size_t count,
                         ffl_encoder_verdict *out)
{
    const char *folder = json_string_value(json_object_get(s->request, "dump"));
    const ffl_encoder_config *c = &s->task.weights.config;
    float **inputs = &s->inputs[e != s->baseline];
    watching w = {.count = count,
                  .dump = {.folder = index < 0 ? ""
                                     : folder  ? folder
                                               : "",
                           .input = &s->task.input,
                           .config = c}};
    if (!*inputs && !(*inputs = ffl_alloc_rows(c->layers * count, sizeof **inputs)))
        return FFL_NO_MEMORY;
    w.inputs = *inputs;
    const bool dumping = *w.dump.folder != '\0';
    ffl_status status = dumping ? ffl_dump_begin(&w.dump, &s->task.weights) : FFL_OK;
    if (status == FFL_OK)
        status = ffl_encoder_verify(e, &s->task.weights, v, &s->task.input, s->first,
                                    &s->reference[v->operation], watch, watch_logits, &w, out);
    if (status == FFL_OK && dumping)
        status = ffl_dump_end(&w.dump);
    ffl_dump_free(&w.dump);
    return status;
}

static ffl_status serve_pass(session *s, int index, const ffl_variant *v, ffl_encoder *e)
{
    const size_t count = s->task.input.batch * s->task.input.sequence * s->task.weights.config.width;
    ffl_encoder_verdict verdict;
    times own, base;
    size_t rounds;
    FFL_TRY(need_reference(s, v->operation));
    FFL_TRY(verify(s, index, v, e, count, &verdict));
    float *verified = ffl_alloc_array(count, sizeof *verified);
    if (!verified)
        return FFL_NO_MEMORY;
    memcpy(verified, ffl_encoder_state(e), count * sizeof *verified);
    const ffl_status status = measure(s, e, &rounds, &own, &base);
    if (status == FFL_OK)
        hold_to(&verdict, v, verified, ffl_encoder_state(e), count);
    ffl_free(verified);
    FFL_TRY(status);
    return ffl_answer_send(s->answer, row_json(s->request, index, v, e, &verdict, rounds, &own, &base));
}

static ffl_status skip(const session *s, int index, const ffl_variant *v, ffl_verdict verdict,
                       const char *why)
{
    return ffl_answer_send(s->answer, json_pack("{s:i, s:s, s:s, s:s}", "row", index, "variant", v->name,
                                                "verdict", ffl_verdict_name(verdict), "reason", why));
}

static ffl_status serve_variant(session *s, int index, const ffl_variant *v)
{
    const ffl_layer layer = layer_for(s, v);
    const size_t tokens = s->task.input.batch * s->task.input.sequence;
    const char *why = "";
    ffl_encoder *e;
    FFL_TRY(ffl_answer_send(s->answer, json_pack("{s:i}", "at", index)));
    if (layer.operation != v->operation)
        return skip(s, index, v, FFL_UNSUPPORTED_HERE, "this encoder's layers are dense");
    if (!ffl_variant_supports(v, &layer, tokens, s->threads, &why))
        return skip(s, index, v, FFL_UNSUPPORTED_HERE, why);
    if (!json_is_true(json_object_get(s->request, "named"))) {
        double took;
        const size_t few = tokens < PROBE_TOKENS ? tokens : PROBE_TOKENS;
        FFL_TRY(probe(s, v, few, &took));
        took *= (double)tokens / (double)few * (double)s->task.weights.config.layers;
        char text[96];
        snprintf(text, sizeof text, "a pass would take about %.0f s; name it with -v to run it", took);
        if (took > patience_seconds)
            return skip(s, index, v, FFL_SKIPPED, text);
    }
    FFL_TRY(
        ffl_encoder_new(&s->task.weights, v, s->task.input.batch, s->task.input.sequence, s->threads, &e));
    ffl_status status = serve_pass(s, index, v, e);
    ffl_encoder_free(e);
    if (status == FFL_DEVICE || status == FFL_UNSUPPORTED || status == FFL_INTERNAL)
        status = skip(s, index, v, FFL_FAILED, ffl_error());
    else if (status == FFL_NO_MEMORY)
        status = skip(s, index, v, FFL_SKIPPED, "not enough memory");
    return status;
}

/* Leaves and entropy of every layer's inputs, as the reference has them: means over the layers. */
static ffl_status routing_json(session *s, json_t *model)
{
    const ffl_encoder_config *c = &s->task.weights.config;
    double leaves = 0, entropy = 0, top = 0;
    if (c->operation != FFL_FFF)
        return FFL_OK;
    FFL_TRY(need_reference(s, FFL_FFF));
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

static ffl_status send_model(session *s)
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
        s->threads, "projections", ffl_encoder_blas_name(s->baseline), "baseline", s->dense->name, "head",
        s->task.weights.has_head);
    const ffl_status status = routing_json(s, model);
    if (status != FFL_OK) {
        json_decref(model);
        return status;
    }
    return ffl_answer_send(s->answer, json_pack("{s:o}", "model", model));
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

static ffl_status serve_all(session *s)
{
    const char *cpus = json_string_value(json_object_get(s->request, "cpus"));
    const json_t *names = json_object_get(s->request, "variants");
    size_t i;
    json_t *name;
    FFL_TRY(ffl_pin(cpus ? cpus : ""));
    FFL_TRY(ffl_encoder_task_open(s->request, true, &s->task));
    s->first = s->task.input.batch - 1; /* the last sequence: earlier ones shift its rows */
    FFL_TRY(find_dense(s));
    FFL_TRY(ffl_encoder_new(&s->task.weights, s->dense, s->task.input.batch, s->task.input.sequence,
                            s->threads, &s->baseline));
    FFL_TRY(send_model(s));
    FFL_TRY(serve_pass(s, index_of(names, s->dense), s->dense, s->baseline));
    json_array_foreach(names, i, name)
    {
        const ffl_variant *v = json_is_string(name) ? ffl_registry_find(json_string_value(name)) : NULL;
        if (v && v != s->dense)
            FFL_TRY(serve_variant(s, (int)i, v));
    }
    return FFL_OK;
}

ffl_status ffl_encoder_serve(const json_t *request, ffl_answer *answer)
{
    session s = {.answer = answer,
                 .request = request,
                 .threads = (int)json_integer_value(json_object_get(request, "threads"))};
    const ffl_status status = serve_all(&s);
    ffl_encoder_free(s.baseline);
    for (size_t o = 0; o < 2; o++)
        if (s.has_reference[o])
            ffl_encoder_reference_free(&s.reference[o]);
    ffl_free(s.inputs[0]);
    ffl_free(s.inputs[1]);
    ffl_encoder_task_close(&s.task);
    return status;
}
