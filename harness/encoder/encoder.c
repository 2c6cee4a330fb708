#include "harness/encoder/encoder.h"
#include "harness/encoder/projection.h"
#include "harness/registry.h"
#include "kernels/attention.h"
#include "kernels/gelu.h"
#include "kernels/layernorm.h"
#include "kernels/memory.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct ffl_encoder {
    const ffl_encoder_weights *weights;
    const ffl_variant *variant;
    ffl_blas *blas;
    size_t batch, sequence; /* at most */
    int threads;
    ffl_layer *feedforward; /* [layers]: what the variant evaluates */
    ffl_instance *instance; /* [layers] */
    size_t instances;
    void *scratch; /* of all instances, and of attention */

    const ffl_encoder_input *input;
    size_t tokens;
    bool pending; /* the feedforward output is not yet added to the state (pre-norm) */
    float *state, *hidden, *wide, *mixed, *mask, *logits;
    double ns[FFL_PART_COUNT], pack_ns;
    ffl_encoder_event *events;
    size_t event_count, event_capacity, layer; /* at work; SIZE_MAX: none */
};

/* Rows of logits at a time: 134 MB with 32768 words. */
enum { LOGITS_AT_ONCE = 1024 };

const char *ffl_part_name(ffl_part part)
{
    static const char *const names[] = {"embedding",  "norm",        "qkv",   "attention",
                                        "projection", "feedforward", "logits"};
    return names[part];
}

ffl_status ffl_encoder_input_check(const ffl_encoder_config *config, const ffl_encoder_input *input)
{
    if (input->batch == 0 || input->sequence == 0)
        return ffl_fail(FFL_BAD_INPUT, "%zu sequences of %zu tokens: nothing to do", input->batch,
                        input->sequence);
    if (input->sequence > ffl_encoder_longest(config))
        return ffl_fail(FFL_BAD_INPUT, "sequences of %zu tokens; the position table takes %zu",
                        input->sequence, ffl_encoder_longest(config));
    for (size_t b = 0; b < input->batch; b++) {
        size_t tokens = 0;
        for (size_t s = 0; s < input->sequence; s++) {
            const size_t at = b * input->sequence + s;
            if (input->ids[at] < 0 || (size_t)input->ids[at] >= config->vocabulary)
                return ffl_fail(FFL_BAD_INPUT,
                                "sequence %zu, position %zu: token id %d; the vocabulary has %zu words", b, s,
                                (int)input->ids[at], config->vocabulary);
            tokens += !input->mask || input->mask[at];
        }
        if (tokens == 0)
            return ffl_fail(FFL_BAD_INPUT, "sequence %zu is nothing but padding", b);
    }
    return FFL_OK;
}

/* ---- Life ---- */

static ffl_attention attention_of(const ffl_encoder *e, const ffl_encoder_layer *layer)
{
    const ffl_encoder_config *c = &e->weights->config;
    return (ffl_attention){.batch = e->input ? e->input->batch : e->batch,
                           .sequence = e->input ? e->input->sequence : e->sequence,
                           .heads = c->heads,
                           .head_width = c->width / c->heads,
                           .scale = layer ? layer->scale : 0,
                           .bias = layer ? layer->qkv.bias : NULL};
}

static ffl_status prepare_layers(ffl_encoder *e)
{
    const ffl_encoder_config *c = &e->weights->config;
    const size_t count = c->shared_layers ? 1 : c->layers, tokens = e->batch * e->sequence;
    const ffl_attention attention = attention_of(e, NULL);
    size_t scratch = ffl_attention_scratch(&attention, e->threads);
    const char *why = "";
    e->feedforward = calloc(count, sizeof *e->feedforward);
    e->instance = calloc(count, sizeof *e->instance);
    if (!e->feedforward || !e->instance)
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu layers", count);
    for (size_t i = 0; i < count; i++) {
        const ffl_layer *layer = &e->weights->layer[i].feedforward.layer;
        e->feedforward[i] = e->variant->operation == FFL_FF ? ffl_layer_dense(layer, layer->neurons) : *layer;
        if (e->feedforward[i].operation != e->variant->operation)
            return ffl_fail(FFL_BAD_INPUT, "%s evaluates trees; this encoder's layers are dense",
                            e->variant->name);
        if (i == 0 && !ffl_variant_supports(e->variant, &e->feedforward[i], tokens, e->threads, &why))
            return ffl_fail(FFL_BAD_INPUT, "%s: %s", e->variant->name, why);
        FFL_TRY((e->variant->place == FFL_CUDA ? ffl_instance_new : ffl_instance_prepare)(
            e->variant, &e->feedforward[i], tokens, e->threads, &e->instance[i]));
        e->instances++;
        e->pack_ns += e->instance[i].pack_ns;
        if (e->variant->place == FFL_HOST && e->instance[i].plan.scratch_bytes > scratch)
            scratch = e->instance[i].plan.scratch_bytes;
    }
    e->scratch = ffl_alloc(scratch);
    for (size_t i = 0; i < count && e->variant->place == FFL_HOST; i++)
        e->instance[i].exec.scratch = e->scratch;
    return e->scratch ? FFL_OK : FFL_NO_MEMORY;
}

static ffl_status make_buffers(ffl_encoder *e)
{
    const ffl_encoder_config *c = &e->weights->config;
    const size_t tokens = e->batch * e->sequence;
    const size_t widest = c->width > c->embedding_width ? c->width : c->embedding_width;
    const size_t rows = tokens < LOGITS_AT_ONCE ? tokens : LOGITS_AT_ONCE;
    e->state = ffl_alloc_rows(tokens * widest, sizeof *e->state);
    e->hidden = ffl_alloc_rows(tokens * widest, sizeof *e->hidden);
    e->mixed = ffl_alloc_rows(tokens * widest, sizeof *e->mixed);
    e->wide = ffl_alloc_rows(tokens * 3 * c->width, sizeof *e->wide);
    e->mask = ffl_alloc_array(tokens, sizeof *e->mask);
    e->event_capacity = 8 * c->layers + tokens / LOGITS_AT_ONCE + 8;
    e->events = calloc(e->event_capacity, sizeof *e->events);
    e->layer = SIZE_MAX;
    if (e->weights->has_head)
        e->logits = ffl_alloc_rows(rows * c->vocabulary, sizeof *e->logits);
    return e->state && e->hidden && e->mixed && e->wide && e->mask && e->events &&
                   (e->logits || !e->weights->has_head)
               ? FFL_OK
               : FFL_NO_MEMORY;
}

ffl_status ffl_encoder_new(const ffl_encoder_weights *weights, const ffl_variant *variant, size_t batch,
                           size_t sequence, int threads, ffl_encoder **out)
{
    ffl_encoder *e = calloc(1, sizeof *e);
    *out = NULL;
    if (!e)
        return ffl_fail(FFL_NO_MEMORY, "no memory for an encoder");
    *e = (ffl_encoder){
        .weights = weights, .variant = variant, .batch = batch, .sequence = sequence, .threads = threads};
    ffl_status status = ffl_projection_blas(batch * sequence, weights->config.width, threads, &e->blas);
    if (status == FFL_OK)
        status = prepare_layers(e);
    if (status == FFL_OK)
        status = make_buffers(e);
    if (status == FFL_OK)
        *out = e;
    else
        ffl_encoder_free(e);
    return status;
}

void ffl_encoder_free(ffl_encoder *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < e->instances; i++) {
        if (e->variant->place == FFL_HOST)
            e->instance[i].exec.scratch = NULL; /* lent */
        ffl_instance_free(&e->instance[i]);
    }
    free(e->instance);
    free(e->feedforward);
    ffl_free(e->scratch);
    ffl_free(e->state);
    ffl_free(e->hidden);
    ffl_free(e->mixed);
    ffl_free(e->wide);
    ffl_free(e->mask);
    ffl_free(e->logits);
    free(e->events);
    free(e);
}

/* ---- The pass ---- */

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

/* Adds the time since *start to the part, and starts the next. */
static void count(ffl_encoder *e, ffl_part part, double *start)
{
    const double now = now_ns();
    e->ns[part] += now - *start;
    if (e->event_count < e->event_capacity)
        e->events[e->event_count++] = (ffl_encoder_event){part, e->layer, *start, now - *start};
    *start = now;
}

static void normalise(const ffl_encoder *e, const ffl_norm *norm, size_t width, float *x, const float *add,
                      const float *add_bias, float *y)
{
    const ffl_layernorm n = {.width = width,
                             .weight = norm->weight,
                             .bias = norm->bias,
                             .eps = e->weights->config.norm_eps,
                             .add_bias = add_bias};
    ffl_layernorm_run(&n, x, width, add, width, y, width, e->tokens, e->threads);
}

static void project(const ffl_encoder *e, const float *x, size_t inputs, const ffl_linear *linear,
                    size_t outputs, float *y)
{
    ffl_project(e->blas, e->threads, x, inputs, e->tokens, linear->weight, outputs, y);
}

static void add_rows(float *x, size_t tokens, size_t width, const float *bias)
{
    for (size_t t = 0; t < tokens; t++)
        for (size_t i = 0; i < width; i++)
            x[t * width + i] += bias[i];
}

size_t ffl_encoder_position(const ffl_encoder_config *c, const int32_t *ids, size_t s, size_t *seen)
{
    if (c->positions != FFL_LEARNED_SKIPPING_PADDING)
        return s + c->position_offset;
    if ((size_t)ids[s] == c->padding_id)
        return c->padding_id;
    return (*seen)++ + c->position_offset;
}

static void look_up(const ffl_encoder *e, float *x)
{
    const ffl_encoder_weights *w = e->weights;
    const ffl_encoder_config *c = &w->config;
    const size_t width = c->embedding_width;
    for (size_t b = 0; b < e->input->batch; b++) {
        const int32_t *ids = e->input->ids + b * e->input->sequence;
        size_t seen = 0;
        for (size_t s = 0; s < e->input->sequence; s++, x += width) {
            const float *word = w->words + (size_t)ids[s] * width;
            const float *position = w->positions + ffl_encoder_position(c, ids, s, &seen) * width;
            for (size_t i = 0; i < width; i++)
                x[i] = word[i] + position[i] + (w->types ? w->types[i] : 0.0f);
        }
    }
}

ffl_status ffl_encoder_embed(ffl_encoder *e, const ffl_encoder_input *input)
{
    const ffl_encoder_weights *w = e->weights;
    const ffl_encoder_config *c = &w->config;
    double start = now_ns();
    if (input->batch > e->batch || input->sequence > e->sequence)
        return ffl_fail(FFL_INTERNAL, "the encoder was prepared for %zu x %zu tokens", e->batch, e->sequence);
    e->input = input;
    e->tokens = input->batch * input->sequence;
    e->pending = false;
    for (size_t t = 0; t < e->tokens; t++)
        e->mask[t] = !input->mask || input->mask[t] ? 0.0f : -10000.0f;
    float *x = c->embedding_width == c->width ? e->state : e->hidden;
    look_up(e, x);
    normalise(e, &w->embedding_norm, c->embedding_width, x, NULL, NULL, x);
    if (c->embedding_width != c->width) {
        project(e, x, c->embedding_width, &w->embedding_projection, c->width, e->state);
        add_rows(e->state, e->tokens, c->width, w->embedding_projection.bias);
    }
    count(e, FFL_PART_EMBEDDING, &start);
    return FFL_OK;
}

ffl_status ffl_encoder_layer_run(ffl_encoder *e, size_t i)
{
    const ffl_encoder_config *c = &e->weights->config;
    const ffl_encoder_layer *l = ffl_encoder_weights_layer(e->weights, i);
    const ffl_attention attention = attention_of(e, l);
    const size_t h = c->width;
    double start = now_ns();
    e->layer = i;
    float *x = e->state; /* what attention and feedforward read */
    if (c->pre_norm) {
        normalise(e, &l->norm1, h, e->state, e->pending ? e->mixed : NULL, NULL, e->hidden);
        x = e->hidden;
        count(e, FFL_PART_NORM, &start);
    }
    project(e, x, h, &l->qkv, 3 * h, e->wide);
    count(e, FFL_PART_QKV, &start);
    ffl_attention_run(&attention, e->wide, 3 * h, e->input->mask ? e->mask : NULL, e->mixed, h, e->scratch,
                      e->threads);
    count(e, FFL_PART_ATTENTION, &start);
    project(e, e->mixed, h, &l->projection, h, e->wide);
    count(e, FFL_PART_PROJECTION, &start);
    normalise(e, c->pre_norm ? &l->norm2 : &l->norm1, h, e->state, e->wide, l->projection.bias, e->hidden);
    count(e, FFL_PART_NORM, &start);
    const ffl_instance *instance = &e->instance[c->shared_layers ? 0 : i];
    FFL_TRY(ffl_instance_run(instance, e->hidden, h, e->mixed, h, e->tokens));
    count(e, FFL_PART_FEEDFORWARD, &start);
    e->pending = c->pre_norm;
    if (!c->pre_norm) /* the sum is left in mixed: hidden is kept for ffl_encoder_feedforward_input */
        normalise(e, &l->norm2, h, e->mixed, e->hidden, NULL, e->state);
    count(e, FFL_PART_NORM, &start);
    e->layer = SIZE_MAX;
    return FFL_OK;
}

static void settle(ffl_encoder *e)
{
    const size_t n = e->tokens * e->weights->config.width;
    for (size_t i = 0; e->pending && i < n; i++)
        e->state[i] += e->mixed[i];
    e->pending = false;
}

void ffl_encoder_finish(ffl_encoder *e)
{
    const ffl_encoder_config *c = &e->weights->config;
    double start = now_ns();
    if (c->final_norm)
        normalise(e, &e->weights->final_norm, c->width, e->state, e->pending ? e->mixed : NULL, NULL,
                  e->state);
    else
        settle(e);
    e->pending = false;
    count(e, FFL_PART_NORM, &start);
}

ffl_status ffl_encoder_logits(ffl_encoder *e, ffl_logits_rows *rows, void *user)
{
    const ffl_encoder_weights *w = e->weights;
    const ffl_encoder_config *c = &w->config;
    const float *x = e->state;
    if (!w->has_head)
        return ffl_fail(FFL_UNSUPPORTED, "the checkpoint has no head for masked words");
    double start = now_ns();
    if (c->head_transform) {
        project(e, x, c->width, &w->transform, c->embedding_width, e->hidden);
        add_rows(e->hidden, e->tokens, c->embedding_width, w->transform.bias);
        ffl_activate_array(c->activation, e->hidden, e->tokens * c->embedding_width);
        normalise(e, &w->transform_norm, c->embedding_width, e->hidden, NULL, NULL, e->hidden);
        x = e->hidden;
    }
    for (size_t first = 0; first < e->tokens; first += LOGITS_AT_ONCE) {
        const size_t n = e->tokens - first < LOGITS_AT_ONCE ? e->tokens - first : LOGITS_AT_ONCE;
        ffl_project(e->blas, e->threads, x + first * c->embedding_width, c->embedding_width, n,
                    w->logits.weight, c->vocabulary, e->logits);
        if (w->logits.bias)
            add_rows(e->logits, n, c->vocabulary, w->logits.bias);
        count(e, FFL_PART_LOGITS, &start);
        if (rows)
            rows(user, first, n, e->logits);
        start = now_ns();
    }
    return FFL_OK;
}

ffl_status ffl_encoder_run(ffl_encoder *e, const ffl_encoder_input *input, bool logits)
{
    FFL_TRY(ffl_encoder_embed(e, input));
    for (size_t i = 0; i < e->weights->config.layers; i++)
        FFL_TRY(ffl_encoder_layer_run(e, i));
    ffl_encoder_finish(e);
    return logits && e->weights->has_head ? ffl_encoder_logits(e, NULL, NULL) : FFL_OK;
}

/* ---- Looking inside ---- */

float *ffl_encoder_state(ffl_encoder *e)
{
    settle(e);
    return e->state;
}

const float *ffl_encoder_feedforward_input(const ffl_encoder *e)
{
    return e->hidden;
}

ffl_status ffl_encoder_feedforward_again(const ffl_encoder *e, size_t i, float *y)
{
    const ffl_encoder_config *c = &e->weights->config;
    return ffl_instance_run(&e->instance[c->shared_layers ? 0 : i], e->hidden, c->width, y, c->width,
                            e->tokens);
}

ffl_status ffl_encoder_feedforward_alone(const ffl_encoder *e, const float *x, double *ns)
{
    const ffl_encoder_config *c = &e->weights->config;
    double start = now_ns();
    for (size_t i = 0; i < c->layers; i++)
        FFL_TRY(ffl_instance_run(&e->instance[c->shared_layers ? 0 : i], x + i * e->tokens * c->width,
                                 c->width, e->mixed, c->width, e->tokens));
    *ns = now_ns() - start;
    return FFL_OK;
}

ffl_status ffl_encoder_trace(const ffl_encoder *e, size_t i, int32_t *nodes, float *logits)
{
    const ffl_encoder_config *c = &e->weights->config;
    return ffl_instance_trace(&e->instance[c->shared_layers ? 0 : i], e->hidden, c->width, e->tokens, nodes,
                              logits);
}

const ffl_layer *ffl_encoder_feedforward(const ffl_encoder *e, size_t i)
{
    return &e->feedforward[e->weights->config.shared_layers ? 0 : i];
}

size_t ffl_encoder_events(const ffl_encoder *e, const ffl_encoder_event **out)
{
    *out = e->events;
    return e->event_count;
}

const double *ffl_encoder_times(const ffl_encoder *e)
{
    return e->ns;
}

void ffl_encoder_clear_times(ffl_encoder *e)
{
    memset(e->ns, 0, sizeof e->ns);
    e->event_count = 0;
}

double ffl_encoder_pack_ns(const ffl_encoder *e)
{
    return e->pack_ns;
}

const char *ffl_encoder_blas_name(const ffl_encoder *e)
{
    return ffl_library_name(e->blas->library);
}
