/* Life of an encoder on the device: buffers between fences, products, the variant's scratch. */
#include "harness/encoder/encoder_device.h"
#include "harness/device/storage.h"
#include "kernels/cublas.h"
#include "kernels/device.h"
#include <stdio.h>
#include <stdlib.h>

/* Stretches per layer, and beside the layers (pass_clock.c has the same). */
enum { MARKS_PER_LAYER = 8, MARKS_ELSEWHERE = 8 };

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t logits_rows(const ffl_encoder *e)
{
    const size_t tokens = e->batch * e->sequence;
    return tokens < FFL_LOGITS_AT_ONCE ? tokens : FFL_LOGITS_AT_ONCE;
}

/* ---- Buffers ---- */

static ffl_status make_buffers(ffl_encoder *e)
{
    ffl_encoder_device *d = e->device;
    const ffl_encoder_config *c = &e->weights->config;
    const size_t tokens = e->batch * e->sequence, element = ffl_storage_size(d->storage);
    const size_t widest = larger(c->width, c->embedding_width);
    d->logits_ld = (c->vocabulary + 3) / 4 * 4; /* rows of 16 bytes */
    FFL_TRY(ffl_fenced_new("the residual stream", tokens * widest * sizeof(float), 0, &d->state));
    FFL_TRY(ffl_fenced_new("the layer's input", tokens * widest * element, 0, &d->input));
    FFL_TRY(ffl_fenced_new("x", tokens * widest * element, 0, &d->hidden));
    FFL_TRY(ffl_fenced_new("y", tokens * widest * element, 0, &d->mixed));
    FFL_TRY(ffl_fenced_new("q, k and v", tokens * 3 * c->width * element, 0, &d->wide));
    FFL_TRY(ffl_fenced_new("the mask", tokens * sizeof(float), 0, &d->mask));
    FFL_TRY(ffl_fenced_new("the ids", tokens * sizeof(int32_t), 0, &d->id));
    FFL_TRY(ffl_fenced_new("the positions", tokens * sizeof(int32_t), 0, &d->position));
    FFL_TRY(ffl_fenced_new("the token types", tokens * sizeof(int32_t), 0, &d->type));
    if (!e->weights->has_head)
        return FFL_OK;
    if (c->head_transform)
        FFL_TRY(
            ffl_fenced_new("the transform", tokens * c->embedding_width * sizeof(float), 0, &d->transformed));
    return ffl_fenced_new("the logits", logits_rows(e) * d->logits_ld * sizeof(float), 0, &d->logits);
}

/* FFL_DEVICE when something was written beside what the variant writes to. */
static ffl_status find_damage(const ffl_encoder_device *d)
{
    const ffl_fenced *const all[] = {&d->hidden, &d->mixed, &d->input, &d->wide, &d->state};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        FFL_TRY(ffl_fenced_intact(all[i]));
    return d->scratch.base ? ffl_fenced_intact(&d->scratch) : FFL_OK;
}

static ffl_status lend(ffl_encoder *e)
{
    ffl_encoder_device *d = e->device;
    size_t bytes = 0;
    for (size_t i = 0; i < e->instances; i++)
        bytes = larger(bytes, e->instance[i].plan.scratch_bytes);
    if (bytes)
        FFL_TRY(ffl_fenced_new("scratch", bytes, 0, &d->scratch));
    for (size_t i = 0; i < e->instances; i++) {
        e->instance[i].exec.scratch = d->scratch.data;
        e->instance[i].exec.stream = d->stream;
    }
    return FFL_OK;
}

/* ---- Products ---- */

/* y = x·weightᵀ + bias (+ y); a bias is of the output's type. */
static ffl_status plan_product(const ffl_encoder_device *d, size_t rows, size_t inputs, size_t outputs,
                               size_t ldd, ffl_type output, bool bias, bool adds, ffl_gemm **out)
{
    const ffl_gemm_shape shape = {.m = rows,
                                  .n = outputs,
                                  .k = inputs,
                                  .transposed_b = true,
                                  .lda = inputs,
                                  .ldb = inputs,
                                  .ldd = ldd,
                                  .type = d->storage,
                                  .output = output,
                                  .epilogue = bias ? FFL_GEMM_BIAS : FFL_GEMM_PLAIN,
                                  .beta = adds};
    return ffl_gemm_new(&shape, out);
}

static ffl_status plan_products(ffl_encoder *e)
{
    ffl_encoder_device *d = e->device;
    const ffl_encoder_config *c = &e->weights->config;
    const ffl_device_weights *w = d->weights;
    const size_t tokens = e->batch * e->sequence, h = c->width, narrow = c->embedding_width;
    FFL_TRY(plan_product(d, tokens, h, 3 * h, 3 * h, d->storage, w->layer->qkv.bias, false, &d->qkv));
    FFL_TRY(plan_product(d, tokens, h, h, h, FFL_F32, w->layer->projection.bias, true, &d->projection));
    if (narrow != h)
        FFL_TRY(plan_product(d, tokens, narrow, h, h, FFL_F32, w->embedding_projection.bias, false,
                             &d->embedding));
    if (!e->weights->has_head)
        return FFL_OK;
    if (c->head_transform)
        FFL_TRY(plan_product(d, tokens, h, narrow, narrow, FFL_F32, w->transform.bias, false, &d->transform));
    FFL_TRY(plan_product(d, logits_rows(e), narrow, c->vocabulary, d->logits_ld, FFL_F32, w->logits.bias,
                         false, &d->words));
    /* A pass's last block, and the sequence that is verified. */
    if (tokens > FFL_LOGITS_AT_ONCE && tokens % FFL_LOGITS_AT_ONCE)
        FFL_TRY(ffl_gemm_plan_rows(d->words, tokens % FFL_LOGITS_AT_ONCE));
    return FFL_OK;
}

static ffl_status tune(const ffl_encoder_device *d, ffl_gemm *gemm, size_t rows, const ffl_fenced *x,
                       const ffl_device_linear *linear, const ffl_fenced *y)
{
    double us;
    return gemm ? ffl_gemm_tune(gemm, rows, x->data, linear->weight, linear->bias, y->data, d->workspace, &us)
                : FFL_OK;
}

/* The fastest of the library's kernels for each, on rows of zeros: no value takes longer than another. */
static ffl_status tune_products(ffl_encoder *e)
{
    ffl_encoder_device *d = e->device;
    const ffl_device_weights *w = d->weights;
    const size_t tokens = e->batch * e->sequence;
    ffl_gemm *const all[] = {d->qkv, d->projection, d->embedding, d->transform, d->words};
    const ffl_fenced *const rows[] = {&d->input, &d->mixed, &d->hidden, &d->state};
    size_t bytes = 16;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        bytes = all[i] ? larger(bytes, ffl_gemm_workspace(all[i])) : bytes;
    FFL_TRY(ffl_device_alloc(bytes, &d->workspace));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        FFL_TRY(ffl_device_fill(rows[i]->data, 0, rows[i]->bytes));
    FFL_TRY(tune(d, d->qkv, tokens, &d->input, &w->layer->qkv, &d->wide));
    FFL_TRY(tune(d, d->projection, tokens, &d->mixed, &w->layer->projection, &d->state));
    FFL_TRY(tune(d, d->embedding, tokens, &d->hidden, &w->embedding_projection, &d->state));
    FFL_TRY(tune(d, d->transform, tokens, &d->input, &w->transform, &d->transformed));
    return tune(d, d->words, logits_rows(e), &d->input, &w->logits, &d->logits);
}

/* ---- What encoder_host.h asks of a backend ---- */

static ffl_status embed(ffl_encoder *e, const ffl_encoder_input *input)
{
    FFL_TRY(ffl_encoder_device_take(e, input));
    e->device->alone_tokens = 0; /* a pass that is looked at may give the layers other rows */
    return ffl_encoder_device_embed(e);
}

static ffl_status finish(ffl_encoder *e)
{
    FFL_TRY(ffl_encoder_device_finish(e));
    FFL_TRY(ffl_device_stream_wait(e->device->stream));
    return find_damage(e->device);
}

static ffl_status fetch_feedforward(const ffl_encoder *e, bool output, float *to)
{
    const ffl_encoder_device *d = e->device;
    return ffl_encoder_device_fetch(e, output ? d->mixed.data : d->hidden.data,
                                    e->tokens * e->weights->config.width, to);
}

static const char *name(const ffl_encoder *e)
{
    return e->device->name;
}

static ffl_type storage(const ffl_encoder *e)
{
    return e->device->storage;
}

static void close_device(ffl_encoder *e)
{
    ffl_encoder_device *d = e->device;
    ffl_fenced *const rows[] = {&d->state,       &d->input,   &d->hidden,    &d->mixed, &d->wide,
                                &d->transformed, &d->logits,  &d->mask,      &d->id,    &d->position,
                                &d->type,        &d->scratch, &d->alone_rows};
    ffl_encoder_device_drop_graphs(d);
    ffl_device_graph_free(d->alone);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ffl_fenced_free(rows[i]);
    ffl_gemm_free(d->qkv);
    ffl_gemm_free(d->projection);
    ffl_gemm_free(d->embedding);
    ffl_gemm_free(d->transform);
    ffl_gemm_free(d->words);
    ffl_device_free(d->workspace);
    for (size_t i = 0; i < d->mark_capacity; i++)
        ffl_device_event_free(d->mark[i].event);
    free(d->mark);
    ffl_device_event_free(d->start);
    ffl_device_event_free(d->end);
    ffl_device_stream_free(d->stream);
    free(d);
    e->device = NULL;
}

static const ffl_encoder_backend backend = {.embed = embed,
                                            .layer_run = ffl_encoder_device_layer,
                                            .finish = finish,
                                            .logits = ffl_encoder_device_logits,
                                            .run = ffl_encoder_device_run,
                                            .fetch_state = ffl_encoder_device_fetch_state,
                                            .put_state = ffl_encoder_device_put_state,
                                            .fetch_feedforward = fetch_feedforward,
                                            .alone = ffl_encoder_device_alone,
                                            .storage = storage,
                                            .name = name,
                                            .close = close_device};

/* ---- Life ---- */

static ffl_status make_events(ffl_encoder *e)
{
    ffl_encoder_device *d = e->device;
    const size_t count = MARKS_PER_LAYER * e->weights->config.layers +
                         e->batch * e->sequence / FFL_LOGITS_AT_ONCE + MARKS_ELSEWHERE;
    FFL_TRY(ffl_device_stream_new(&d->stream));
    FFL_TRY(ffl_device_event_new(&d->start));
    FFL_TRY(ffl_device_event_new(&d->end));
    d->mark = calloc(count, sizeof *d->mark);
    if (!d->mark)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the events of a pass");
    for (; d->mark_capacity < count; d->mark_capacity++)
        FFL_TRY(ffl_device_event_new(&d->mark[d->mark_capacity].event));
    return FFL_OK;
}

ffl_status ffl_encoder_device_open(ffl_encoder *e)
{
    const ffl_encoder_config *c = &e->weights->config;
    const char *why = "";
    const ffl_type type = e->variant->contract.storage;
    if (!ffl_device_encoder_supports(c->width, c->embedding_width, c->heads, type, &why))
        return ffl_fail(FFL_UNSUPPORTED, "%s", why);
    if (!ffl_cublas_open())
        return FFL_UNSUPPORTED; /* no library for the products: it said why */
    ffl_encoder_device *d = calloc(1, sizeof *d);
    if (!d)
        return ffl_fail(FFL_NO_MEMORY, "no memory for an encoder on the device");
    d->storage = type;
    snprintf(d->name, sizeof d->name, "%s on %.60s, rows %s", ffl_cublas_open()->version, ffl_device_name(),
             ffl_type_name(type));
    e->device = d;
    e->backend = &backend; /* from here on ffl_encoder_free closes it */
    FFL_TRY(ffl_device_weights_get(e->weights, type, &d->weights));
    e->pack_ns += d->weights->pack_ns;
    FFL_TRY(make_events(e));
    FFL_TRY(make_buffers(e));
    FFL_TRY(lend(e));
    FFL_TRY(plan_products(e));
    return tune_products(e);
}
