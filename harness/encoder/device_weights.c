#include "harness/encoder/device_weights.h"
#include "harness/device/storage.h"
#include "harness/encoder/pass_clock.h"
#include "kernels/device.h"
#include "kernels/memory.h"
#include <stdlib.h>

/* Elements converted at a time: no second copy of a model on the host. */
enum { CHUNK = 1 << 20 };

static ffl_status keep(ffl_device_weights *d, void *block)
{
    void **grown = realloc(d->blocks, (d->block_count + 1) * sizeof *grown);
    if (!grown) {
        ffl_device_free(block);
        return ffl_fail(FFL_NO_MEMORY, "no memory for the list of device memory");
    }
    d->blocks = grown;
    d->blocks[d->block_count++] = block;
    return FFL_OK;
}

static ffl_status upload(ffl_device_weights *d, const float *host, size_t count, ffl_type type, void **out)
{
    const size_t element = ffl_storage_size(type);
    *out = NULL;
    if (!host)
        return FFL_OK;
    FFL_TRY(ffl_device_alloc(count * element, out));
    FFL_TRY(keep(d, *out));
    void *chunk = ffl_alloc_array(count < CHUNK ? count : CHUNK, element);
    ffl_status status = chunk ? FFL_OK : FFL_NO_MEMORY;
    for (size_t first = 0; first < count && status == FFL_OK; first += CHUNK) {
        const size_t n = count - first < CHUNK ? count - first : CHUNK;
        ffl_storage_narrow(type, host + first, n, chunk);
        status = ffl_device_upload((char *)*out + first * element, chunk, n * element);
    }
    ffl_free(chunk);
    return status;
}

static ffl_status upload_floats(ffl_device_weights *d, const float *host, size_t count, float **out)
{
    void *device;
    FFL_TRY(upload(d, host, count, FFL_F32, &device));
    *out = device;
    return FFL_OK;
}

static ffl_status upload_norm(ffl_device_weights *d, const ffl_norm *norm, size_t width,
                              ffl_device_norm_weights *out)
{
    FFL_TRY(upload_floats(d, norm->weight, width, &out->weight));
    return upload_floats(d, norm->bias, width, &out->bias);
}

static ffl_status upload_linear(ffl_device_weights *d, const ffl_linear *linear, size_t outputs,
                                size_t inputs, ffl_type bias, ffl_device_linear *out)
{
    FFL_TRY(upload(d, linear->weight, outputs * inputs, d->storage, &out->weight));
    return upload(d, linear->bias, outputs, bias, &out->bias);
}

static ffl_status upload_layer(ffl_device_weights *d, const ffl_encoder_layer *l, size_t width,
                               ffl_device_layer *out)
{
    FFL_TRY(upload_linear(d, &l->qkv, 3 * width, width, d->storage, &out->qkv));
    FFL_TRY(upload_linear(d, &l->projection, width, width, FFL_F32, &out->projection));
    FFL_TRY(upload_norm(d, &l->norm1, width, &out->norm1));
    return upload_norm(d, &l->norm2, width, &out->norm2);
}

static ffl_status upload_head(ffl_device_weights *d, const ffl_encoder_weights *w)
{
    const size_t e = w->config.embedding_width, words = w->config.vocabulary;
    if (!w->has_head)
        return FFL_OK;
    if (w->config.head_transform) {
        FFL_TRY(upload_linear(d, &w->transform, e, w->config.width, FFL_F32, &d->transform));
        FFL_TRY(upload_norm(d, &w->transform_norm, e, &d->transform_norm));
    }
    if (w->logits.weight != w->words || d->storage != FFL_F32)
        return upload_linear(d, &w->logits, words, e, FFL_F32, &d->logits);
    d->logits.weight = d->words;
    return upload(d, w->logits.bias, words, FFL_F32, &d->logits.bias);
}

static ffl_status upload_all(ffl_device_weights *d, const ffl_encoder_weights *w)
{
    const ffl_encoder_config *c = &w->config;
    const size_t e = c->embedding_width, layers = c->shared_layers ? 1 : c->layers;
    d->layer = calloc(layers, sizeof *d->layer);
    if (!d->layer)
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu layers", layers);
    FFL_TRY(upload_floats(d, w->words, c->vocabulary * e, &d->words));
    FFL_TRY(upload_floats(d, w->positions, c->position_rows * e, &d->positions));
    FFL_TRY(upload_floats(d, w->types, c->token_types * e, &d->types));
    FFL_TRY(upload_norm(d, &w->embedding_norm, e, &d->embedding_norm));
    FFL_TRY(upload_linear(d, &w->embedding_projection, c->width, e, FFL_F32, &d->embedding_projection));
    for (size_t i = 0; i < layers; i++)
        FFL_TRY(upload_layer(d, &w->layer[i], c->width, &d->layer[i]));
    FFL_TRY(upload_norm(d, &w->final_norm, c->width, &d->final_norm));
    return upload_head(d, w);
}

ffl_status ffl_device_weights_get(const ffl_encoder_weights *weights, ffl_type storage,
                                  const ffl_device_weights **out)
{
    const double start = ffl_pass_clock_ns();
    for (*out = *weights->on_device; *out; *out = (*out)->next)
        if ((*out)->storage == storage)
            return FFL_OK;
    ffl_device_weights *made = calloc(1, sizeof *made);
    if (!made)
        return ffl_fail(FFL_NO_MEMORY, "no memory for weights on the device");
    made->storage = storage;
    const ffl_status status = upload_all(made, weights);
    if (status != FFL_OK) {
        ffl_device_weights_free(made);
        return status;
    }
    made->pack_ns = ffl_pass_clock_ns() - start;
    made->next = *weights->on_device;
    *weights->on_device = made;
    *out = made;
    return FFL_OK;
}

void ffl_device_weights_free(ffl_device_weights *d)
{
    while (d) {
        ffl_device_weights *next = d->next;
        for (size_t i = 0; i < d->block_count; i++)
            ffl_device_free(d->blocks[i]);
        free(d->blocks);
        free(d->layer);
        free(d);
        d = next;
    }
}
