/* Life of an encoder on the host: the variant prepared for every layer, and the buffers of a pass. */
#include "harness/encoder/encoder_host.h"
#include "harness/registry.h"
#include "kernels/memory.h"
#include <stdlib.h>

ffl_attention ffl_encoder_attention(const ffl_encoder *e, const ffl_encoder_layer *layer)
{
    const ffl_encoder_config *c = &e->weights->config;
    return (ffl_attention){.batch = e->input ? e->input->batch : e->batch,
                           .sequence = e->input ? e->input->sequence : e->sequence,
                           .heads = c->heads,
                           .head_width = c->width / c->heads,
                           .scale = layer ? layer->scale : 0,
                           .bias = layer ? layer->qkv.bias : NULL};
}

static ffl_status pack(const ffl_encoder *e, const ffl_linear *linear, size_t outputs, size_t inputs)
{
    return linear->weight
               ? ffl_packed_set_add(e->weights->packed, &e->projection, linear->weight, outputs, inputs)
               : FFL_OK;
}

/* Once for all encoders with these weights. */
static ffl_status pack_matrices(const ffl_encoder *e)
{
    const ffl_encoder_weights *w = e->weights;
    const ffl_encoder_config *c = &w->config;
    for (size_t i = 0; i < (c->shared_layers ? 1 : c->layers); i++) {
        FFL_TRY(pack(e, &w->layer[i].qkv, 3 * c->width, c->width));
        FFL_TRY(pack(e, &w->layer[i].projection, c->width, c->width));
    }
    FFL_TRY(pack(e, &w->embedding_projection, c->width, c->embedding_width));
    FFL_TRY(pack(e, &w->transform, c->embedding_width, c->width));
    return pack(e, &w->logits, c->vocabulary, c->embedding_width);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static ffl_status prepare_layers(ffl_encoder *e)
{
    const ffl_encoder_config *c = &e->weights->config;
    const size_t count = c->shared_layers ? 1 : c->layers, tokens = e->batch * e->sequence;
    const char *why = "";
    e->feedforward = calloc(count, sizeof *e->feedforward);
    e->instance = calloc(count, sizeof *e->instance);
    if (!e->feedforward || !e->instance)
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu layers", count);
    for (size_t i = 0; i < count; i++) {
        const ffl_layer *layer = &e->weights->layer[i].feedforward.layer;
        e->feedforward[i] = e->variant->operation == FFL_FF ? ffl_encoder_dense_layer(e->weights, i) : *layer;
        if (e->feedforward[i].operation != e->variant->operation)
            return ffl_fail(FFL_BAD_INPUT, "%s evaluates trees; this encoder's layers are dense",
                            e->variant->name);
        if (i == 0 && !ffl_variant_supports(e->variant, &e->feedforward[i], tokens, e->threads, &why))
            return ffl_fail(FFL_BAD_INPUT, "%s: %s", e->variant->name, why);
        FFL_TRY(ffl_instance_prepare(e->variant, &e->feedforward[i], tokens, e->threads, &e->instance[i]));
        e->instances++;
        e->pack_ns += e->instance[i].pack_ns;
    }
    return FFL_OK;
}

/* One for all: attention, products and the variant take turns. */
static ffl_status lend_scratch(ffl_encoder *e)
{
    const ffl_encoder_config *c = &e->weights->config;
    const ffl_attention attention = ffl_encoder_attention(e, NULL);
    size_t bytes = larger(ffl_attention_scratch(&attention, e->threads),
                          ffl_projection_scratch(&e->projection, e->batch * e->sequence,
                                                 larger(c->width, c->embedding_width), e->threads));
    for (size_t i = 0; i < e->instances; i++)
        bytes = larger(bytes, e->instance[i].plan.scratch_bytes);
    e->scratch = ffl_alloc(bytes);
    for (size_t i = 0; i < e->instances; i++)
        e->instance[i].exec.scratch = e->scratch;
    return e->scratch ? FFL_OK : FFL_NO_MEMORY;
}

/* Everything that the host computes with. */
static ffl_status open_host(ffl_encoder *e)
{
    const ffl_encoder_config *c = &e->weights->config;
    const size_t tokens = e->batch * e->sequence, widest = larger(c->width, c->embedding_width);
    FFL_TRY(ffl_projection_choose(tokens, c->width, e->threads, &e->projection));
    FFL_TRY(pack_matrices(e));
    FFL_TRY(lend_scratch(e));
    e->mixed = ffl_alloc_rows(tokens * widest, sizeof *e->mixed);
    e->wide = ffl_alloc_rows(tokens * 3 * c->width, sizeof *e->wide);
    e->mask = ffl_alloc_array(tokens, sizeof *e->mask);
    return e->mixed && e->wide && e->mask ? FFL_OK : FFL_NO_MEMORY;
}

/* What a pass anywhere is looked at through. */
static ffl_status make_buffers(ffl_encoder *e)
{
    const ffl_encoder_config *c = &e->weights->config;
    const size_t tokens = e->batch * e->sequence;
    const size_t widest = larger(c->width, c->embedding_width);
    const size_t rows = tokens < FFL_LOGITS_AT_ONCE ? tokens : FFL_LOGITS_AT_ONCE;
    e->state = ffl_alloc_rows(tokens * widest, sizeof *e->state);
    e->hidden = ffl_alloc_rows(tokens * widest, sizeof *e->hidden);
    if (e->weights->has_head)
        e->logits = ffl_alloc_rows(rows * c->vocabulary, sizeof *e->logits);
    FFL_TRY(ffl_pass_clock_new(c->layers, tokens, FFL_LOGITS_AT_ONCE, &e->clock));
    return e->state && e->hidden && (e->logits || !e->weights->has_head) ? FFL_OK : FFL_NO_MEMORY;
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
    ffl_status status = prepare_layers(e);
    if (status == FFL_OK)
        status = make_buffers(e);
    if (status == FFL_OK)
        status = variant->place == FFL_CUDA ? ffl_encoder_device_open(e) : open_host(e);
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
        e->instance[i].exec.scratch = NULL; /* lent */
        ffl_instance_free(&e->instance[i]);
    }
    if (e->backend)
        e->backend->close(e);
    free(e->instance);
    free(e->feedforward);
    ffl_free(e->scratch);
    ffl_free(e->state);
    ffl_free(e->hidden);
    ffl_free(e->mixed);
    ffl_free(e->wide);
    ffl_free(e->mask);
    ffl_free(e->logits);
    ffl_pass_clock_free(&e->clock);
    free(e);
}

const ffl_instance *ffl_encoder_instance(const ffl_encoder *e, size_t layer)
{
    return &e->instance[e->weights->config.shared_layers ? 0 : layer];
}
