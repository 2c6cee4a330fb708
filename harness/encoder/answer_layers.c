/* Where the time of a variant's passes went, layer by layer and part by part (answers.h). */
#include "harness/encoder/answers.h"
#include "harness/encoder/part_work.h"
#include "kernels/memory.h"

typedef struct profile {
    const ffl_serve_session *s;
    const ffl_encoder *encoder;
    const ffl_layer_times *times;
    double pass;
    ffl_work *work; /* [layers + 1][FFL_PART_COUNT] */
} profile;

static ffl_work work_in(const profile *p, size_t layer, size_t part)
{
    ffl_work all = {0};
    for (size_t l = 0; l <= p->times->layers; l++) {
        const ffl_work one = p->work[l * FFL_PART_COUNT + part];
        const double scale = layer == FFL_ALL && l < p->times->layers ? p->times->scale : 1;
        if (layer == FFL_ALL || layer == l)
            all = (ffl_work){all.flops + scale * one.flops, all.bytes + scale * one.bytes};
    }
    return all;
}

static json_t *part_json(const profile *p, size_t layer, size_t part)
{
    const double ns = ffl_layer_times_ns(p->times, layer, part);
    const ffl_work work = work_in(p, layer, part);
    return json_pack("{s:f, s:f, s:f, s:f, s:o, s:o}", "ns", ns, "share", ns / p->pass, "flops", work.flops,
                     "bytes", work.bytes, "flops_per_s", ffl_json_number(1e9 * work.flops / ns),
                     "bytes_per_s", ffl_json_number(1e9 * work.bytes / ns));
}

/* Only what there is: attention does not happen outside the layers. */
static json_t *parts_json(const profile *p, size_t layer)
{
    json_t *parts = json_object();
    for (size_t part = 0; part < FFL_PART_COUNT; part++)
        if (layer == FFL_ALL || work_in(p, layer, part).bytes > 0)
            json_object_set_new(parts, ffl_part_name((ffl_part)part), part_json(p, layer, part));
    return parts;
}

static json_t *layer_json(const profile *p, size_t layer)
{
    const double ns = ffl_layer_times_ns(p->times, layer, FFL_ALL);
    return json_pack("{s:I, s:f, s:f, s:o}", "layer",
                     layer < p->times->layers ? (json_int_t)layer : (json_int_t)-1, "ns", ns, "share",
                     ns / p->pass, "parts", parts_json(p, layer));
}

/* The feedforward layer's work, and where its tokens went. */
static ffl_status look_at_trees(profile *p, const ffl_variant *v, size_t i, json_t **routing)
{
    const ffl_serve_session *s = p->s;
    const ffl_layer *layer = ffl_encoder_feedforward(p->encoder, i);
    const size_t tokens = s->task.input.batch * s->task.input.sequence;
    const float *x = s->inputs[p->encoder != s->baseline] + i * tokens * layer->width_in;
    double bytes = (double)ffl_layer_bytes(layer);
    *routing = NULL;
    if (layer->operation == FFL_FFF)
        FFL_TRY(ffl_layer_routing_json(layer, x, tokens, json_is_true(json_object_get(s->request, "detail")),
                                       &bytes, routing));
    ffl_work *work = &p->work[i * FFL_PART_COUNT + FFL_PART_FEEDFORWARD];
    *work = ffl_feedforward_work(layer, v->contract.weights, ffl_encoder_storage(p->encoder), tokens, bytes);
    ffl_encoder_feedforward_cost(p->encoder, i, &work->flops, &work->bytes);
    return FFL_OK;
}

static ffl_status fill(profile *p, const ffl_variant *v, json_t *layers, json_t *row)
{
    const ffl_encoder_task *task = &p->s->task;
    const size_t count = p->times->layers;
    size_t words;
    FFL_TRY(ffl_distinct_words(&task->weights.config, &task->input, &words));
    for (size_t l = 0; l <= count; l++) {
        json_t *routing = NULL;
        for (size_t part = 0; part < FFL_PART_COUNT; part++)
            p->work[l * FFL_PART_COUNT + part] =
                ffl_part_work(&task->weights, &task->input, words, (ffl_part)part, l < count ? l : SIZE_MAX,
                              ffl_encoder_storage(p->encoder));
        if (l < count)
            FFL_TRY(look_at_trees(p, v, l, &routing));
        json_t *layer = layer_json(p, l);
        if (routing)
            json_object_set_new(layer, "routing", routing);
        json_array_append_new(layers, layer);
    }
    json_object_set_new(row, "parts", parts_json(p, FFL_ALL));
    return FFL_OK;
}

ffl_status ffl_serve_profile(const ffl_serve_session *s, const ffl_variant *v, const ffl_encoder *e,
                             const ffl_layer_times *times, json_t *row)
{
    profile p = {.s = s, .encoder = e, .times = times, .pass = ffl_layer_times_ns(times, FFL_ALL, FFL_ALL)};
    json_t *layers = json_array();
    p.work = ffl_alloc_array((times->layers + 1) * FFL_PART_COUNT, sizeof *p.work);
    const ffl_status status = p.work && layers ? fill(&p, v, layers, row) : FFL_NO_MEMORY;
    json_object_set_new(row, "layers", layers);
    ffl_free(p.work);
    return status;
}
