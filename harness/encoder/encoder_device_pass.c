/* A pass on the device. Per layer of the pre-norm form: norm with the residual of the layer before, product
 * to q, k and v, attention, product added to the residual stream, norm, the variant's own launches. */
#include "harness/device/storage.h"
#include "harness/encoder/encoder_device.h"
#include "kernels/device.h"

static float *floats(const ffl_fenced *rows)
{
    return (float *)rows->data;
}

/* A norm over the residual stream, to be filled in. */
static ffl_device_norm norm_of(const ffl_encoder *e, const ffl_device_norm_weights *weights)
{
    const ffl_encoder_device *d = e->device;
    return (ffl_device_norm){.rows = e->tokens,
                             .width = e->weights->config.width,
                             .storage = d->storage,
                             .x = floats(&d->state),
                             .weight = weights->weight,
                             .bias = weights->bias,
                             .eps = e->weights->config.norm_eps};
}

static ffl_status multiply(const ffl_encoder *e, const ffl_gemm *gemm, size_t rows, const void *x,
                           const ffl_device_linear *linear, void *y)
{
    const ffl_encoder_device *d = e->device;
    return ffl_gemm_run(gemm, rows, x, linear->weight, linear->bias, y, d->workspace, d->stream);
}

/* Narrow rows of the residual stream as it is. */
static ffl_status narrow_state(const ffl_encoder *e)
{
    static const ffl_device_norm_weights none = {0};
    ffl_device_norm n = norm_of(e, &none);
    n.narrow = e->device->input.data;
    return ffl_device_norm_run(&n, e->device->stream);
}

ffl_status ffl_encoder_device_mark(ffl_encoder *e, ffl_part part)
{
    ffl_encoder_device *d = e->device;
    if (!d->marking)
        return FFL_OK;
    if (d->mark_count == d->mark_capacity)
        return ffl_fail(FFL_INTERNAL, "a pass of more than %zu stretches", d->mark_capacity);
    ffl_pass_mark *m = &d->mark[d->mark_count++];
    m->part = part;
    m->layer = e->clock.layer;
    return ffl_device_event_mark(m->event, d->stream);
}

ffl_status ffl_encoder_device_embed(ffl_encoder *e)
{
    const ffl_encoder_device *d = e->device;
    const ffl_encoder_config *c = &e->weights->config;
    const bool same = c->embedding_width == c->width;
    ffl_device_norm n = norm_of(e, &d->weights->embedding_norm);
    e->pending = false;
    n.width = c->embedding_width;
    n.words = d->weights->words, n.positions = d->weights->positions, n.types = d->weights->types;
    n.id = (const int32_t *)d->id.data, n.position = (const int32_t *)d->position.data;
    n.type = (const int32_t *)d->type.data;
    n.full = same ? floats(&d->state) : NULL;
    n.narrow = !same ? d->hidden.data : c->pre_norm ? NULL : d->input.data;
    FFL_TRY(ffl_device_norm_run(&n, d->stream));
    if (!same) {
        FFL_TRY(multiply(e, d->embedding, e->tokens, d->hidden.data, &d->weights->embedding_projection,
                         d->state.data));
        if (!c->pre_norm)
            FFL_TRY(narrow_state(e));
    }
    return ffl_encoder_device_mark(e, FFL_PART_EMBEDDING);
}

static ffl_status attend(ffl_encoder *e, size_t layer)
{
    const ffl_encoder_device *d = e->device;
    const ffl_encoder_config *c = &e->weights->config;
    const ffl_device_attention a = {.batch = e->input->batch,
                                    .sequence = e->input->sequence,
                                    .heads = c->heads,
                                    .head_width = c->width / c->heads,
                                    .storage = d->storage,
                                    .scale = ffl_encoder_weights_layer(e->weights, layer)->scale};
    FFL_TRY(ffl_device_attention_run(&a, d->wide.data, e->input->mask ? floats(&d->mask) : NULL,
                                     d->mixed.data, d->stream));
    return ffl_encoder_device_mark(e, FFL_PART_ATTENTION);
}

ffl_status ffl_encoder_device_feed(const ffl_encoder *e, size_t layer, const void *x, void *y)
{
    const ffl_instance *i = ffl_encoder_instance(e, layer);
    const size_t width = e->weights->config.width;
    return i->plan.variant->run(&i->plan, &i->exec, x, width, y, width, e->tokens);
}

static ffl_status run_layer(ffl_encoder *e, size_t i)
{
    ffl_encoder_device *d = e->device;
    const bool pre_norm = e->weights->config.pre_norm;
    const ffl_device_layer *l = &d->weights->layer[e->weights->config.shared_layers ? 0 : i];
    ffl_device_norm n = norm_of(e, &l->norm1);
    if (pre_norm) {
        n.add = e->pending ? d->mixed.data : NULL;
        n.keep = e->pending;
        n.narrow = d->input.data;
        FFL_TRY(ffl_device_norm_run(&n, d->stream));
        FFL_TRY(ffl_encoder_device_mark(e, FFL_PART_NORM));
    }
    FFL_TRY(multiply(e, d->qkv, e->tokens, d->input.data, &l->qkv, d->wide.data));
    FFL_TRY(ffl_encoder_device_mark(e, FFL_PART_QKV));
    FFL_TRY(attend(e, i));
    FFL_TRY(multiply(e, d->projection, e->tokens, d->mixed.data, &l->projection, d->state.data));
    FFL_TRY(ffl_encoder_device_mark(e, FFL_PART_PROJECTION));
    n = norm_of(e, pre_norm ? &l->norm2 : &l->norm1);
    n.full = pre_norm ? NULL : floats(&d->state);
    n.narrow = d->hidden.data;
    FFL_TRY(ffl_device_norm_run(&n, d->stream));
    FFL_TRY(ffl_encoder_device_mark(e, FFL_PART_NORM));
    FFL_TRY(ffl_encoder_device_feed(e, i, d->hidden.data, d->mixed.data));
    FFL_TRY(ffl_encoder_device_mark(e, FFL_PART_FEEDFORWARD));
    e->pending = pre_norm;
    if (pre_norm)
        return FFL_OK;
    n = norm_of(e, &l->norm2);
    n.add = d->mixed.data;
    n.full = floats(&d->state);
    n.narrow = d->input.data;
    FFL_TRY(ffl_device_norm_run(&n, d->stream));
    return ffl_encoder_device_mark(e, FFL_PART_NORM);
}

ffl_status ffl_encoder_device_layer(ffl_encoder *e, size_t layer)
{
    e->clock.layer = layer;
    const ffl_status status = run_layer(e, layer);
    e->clock.layer = SIZE_MAX;
    return status;
}

ffl_status ffl_encoder_device_finish(ffl_encoder *e)
{
    static const ffl_device_norm_weights none = {0};
    const ffl_encoder_device *d = e->device;
    const ffl_encoder_config *c = &e->weights->config;
    if (!c->pre_norm)
        return FFL_OK;
    ffl_device_norm n = norm_of(e, c->final_norm ? &d->weights->final_norm : &none);
    n.add = e->pending ? d->mixed.data : NULL;
    n.full = floats(&d->state);
    n.narrow = d->input.data;
    e->pending = false;
    FFL_TRY(ffl_device_norm_run(&n, d->stream));
    return ffl_encoder_device_mark(e, FFL_PART_NORM);
}

/* norm(act(dense)), into the rows that the head reads. */
static ffl_status transform(ffl_encoder *e)
{
    const ffl_encoder_device *d = e->device;
    const ffl_encoder_config *c = &e->weights->config;
    ffl_device_norm n = norm_of(e, &d->weights->transform_norm);
    n.width = c->embedding_width;
    n.x = floats(&d->transformed);
    n.activates = true;
    n.activation = ffl_encoder_head_activation(c);
    n.narrow = d->hidden.data;
    FFL_TRY(multiply(e, d->transform, e->tokens, d->input.data, &d->weights->transform, d->transformed.data));
    return ffl_device_norm_run(&n, d->stream);
}

/* A block of logits on its way to the host: without the padding of its rows. */
static ffl_status hand_over(ffl_encoder *e, size_t first, size_t count, ffl_logits_rows *rows, void *user)
{
    const ffl_encoder_device *d = e->device;
    const size_t words = e->weights->config.vocabulary;
    FFL_TRY(ffl_device_stream_wait(d->stream));
    for (size_t t = 0; t < count; t++)
        FFL_TRY(ffl_device_download(e->logits + t * words, floats(&d->logits) + t * d->logits_ld,
                                    words * sizeof *e->logits));
    rows(user, first, count, e->logits);
    return FFL_OK;
}

ffl_status ffl_encoder_device_logits(ffl_encoder *e, ffl_logits_rows *rows, void *user)
{
    const ffl_encoder_device *d = e->device;
    const ffl_encoder_config *c = &e->weights->config;
    const unsigned char *x = c->head_transform ? d->hidden.data : d->input.data;
    if (!e->weights->has_head)
        return ffl_fail(FFL_UNSUPPORTED, "the checkpoint has no head for masked words");
    if (c->head_transform)
        FFL_TRY(transform(e));
    for (size_t first = 0; first < e->tokens; first += FFL_LOGITS_AT_ONCE) {
        const size_t left = e->tokens - first, n = left < FFL_LOGITS_AT_ONCE ? left : FFL_LOGITS_AT_ONCE;
        FFL_TRY(multiply(e, d->words, n, x + first * c->embedding_width * ffl_storage_size(d->storage),
                         &d->weights->logits, d->logits.data));
        FFL_TRY(ffl_encoder_device_mark(e, FFL_PART_LOGITS));
        if (rows)
            FFL_TRY(hand_over(e, first, n, rows, user));
    }
    return FFL_OK;
}

ffl_status ffl_encoder_device_pass(ffl_encoder *e, bool logits)
{
    FFL_TRY(ffl_encoder_device_embed(e));
    for (size_t i = 0; i < e->weights->config.layers; i++)
        FFL_TRY(ffl_encoder_device_layer(e, i));
    FFL_TRY(ffl_encoder_device_finish(e));
    return logits && e->weights->has_head ? ffl_encoder_device_logits(e, NULL, NULL) : FFL_OK;
}
