#include "harness/encoder/encoder_weights.h"
#include "harness/encoder/device_weights.h"
#include "harness/workload/parallel.h"
#include "harness/workload/random.h"
#include "kernels/cpu.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdlib.h>

float *ffl_encoder_weights_floats(ffl_encoder_weights *weights, size_t rows, size_t width)
{
    size_t count;
    void **grown = realloc(weights->blocks, (weights->block_count + 1) * sizeof *grown);
    if (!grown || __builtin_mul_overflow(rows, width, &count)) {
        weights->blocks = grown ? grown : weights->blocks;
        ffl_fail(FFL_NO_MEMORY, "no memory for %zu rows of %zu weights", rows, width);
        return NULL;
    }
    weights->blocks = grown;
    float *floats = ffl_alloc_array(count, sizeof *floats);
    if (floats)
        weights->blocks[weights->block_count++] = floats;
    return floats;
}

ffl_status ffl_encoder_weights_layers(ffl_encoder_weights *weights)
{
    const ffl_encoder_config *c = &weights->config;
    const ffl_layer shape = ffl_encoder_layer_shape(c);
    const size_t count = c->shared_layers ? 1 : c->layers, memory = ffl_machine_host()->memory_bytes;
    const double bytes = 4.0 * (double)ffl_encoder_parameters(c);
    if (memory && bytes > (double)memory)
        return ffl_fail(FFL_BAD_INPUT,
                        "%zu layers of width %zu: %.1f GB of weights, this machine has %.1f GB", c->layers,
                        c->width, bytes / 1e9, (double)memory / 1e9);
    weights->layer = calloc(count, sizeof *weights->layer);
    weights->packed = calloc(1, sizeof *weights->packed);
    weights->on_device = calloc(1, sizeof(struct ffl_device_weights *));
    if (!weights->layer || !weights->packed || !weights->on_device)
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu layers", count);
    for (size_t i = 0; i < count; i++) {
        FFL_TRY(ffl_weights_new(&shape, c->out_bias, &weights->layer[i].feedforward));
        weights->layer[i].scale = 1.0f / sqrtf((float)(c->width / c->heads));
    }
    return FFL_OK;
}

const ffl_encoder_layer *ffl_encoder_weights_layer(const ffl_encoder_weights *weights, size_t i)
{
    return &weights->layer[weights->config.shared_layers ? 0 : i];
}

size_t ffl_encoder_dense_neurons(const ffl_encoder_weights *weights)
{
    return weights->dense_neurons ? weights->dense_neurons : weights->config.neurons;
}

ffl_layer ffl_encoder_dense_layer(const ffl_encoder_weights *weights, size_t i)
{
    return ffl_layer_dense(&ffl_encoder_weights_layer(weights, i)->feedforward.layer,
                           ffl_encoder_dense_neurons(weights));
}

void ffl_sinusoidal_positions(size_t rows, size_t width, float scale, float *out)
{
    for (size_t c = 0; c < width; c += 2) {
        const float rate = expf((float)c * (float)(-log(10000.0) / (double)width));
        for (size_t p = 0; p < rows; p++) {
            out[p * width + c] = scale * sinf((float)p * rate);
            if (c + 1 < width)
                out[p * width + c + 1] = scale * cosf((float)p * rate);
        }
    }
}

void ffl_encoder_weights_free(ffl_encoder_weights *weights)
{
    const size_t layers = weights->config.shared_layers ? 1 : weights->config.layers;
    for (size_t i = 0; weights->layer && i < layers; i++)
        ffl_weights_free(&weights->layer[i].feedforward);
    free(weights->layer);
    if (weights->packed)
        ffl_packed_set_free(weights->packed);
    free(weights->packed);
    if (weights->on_device)
        ffl_device_weights_free(*weights->on_device);
    free(weights->on_device);
    for (size_t i = 0; i < weights->block_count; i++)
        ffl_free(weights->blocks[i]);
    free(weights->blocks);
    for (size_t i = 0; i < weights->file_count; i++)
        ffl_safetensors_close(weights->files[i]);
    free(weights->files);
    *weights = (ffl_encoder_weights){0};
}

/* ---- Seeded ---- */

typedef struct filling {
    float *to;
    size_t width;
    double scale, centre;
    uint64_t seed, stream;
} filling;

static void fill_rows(void *user, size_t begin, size_t end)
{
    const filling *f = user;
    for (size_t row = begin; row < end; row++) {
        ffl_random random = ffl_random_new(f->seed, (f->stream << 32) + row);
        for (size_t i = 0; i < f->width; i++)
            f->to[row * f->width + i] = (float)(f->centre + f->scale * ffl_random_normal(&random));
    }
}

/* What is being made; each tensor takes the next stream of random numbers. */
typedef struct maker {
    ffl_encoder_weights *weights;
    uint64_t seed, stream;
} maker;

static ffl_status make(maker *m, size_t rows, size_t width, double scale, double centre, const float **out)
{
    float *to = ffl_encoder_weights_floats(m->weights, rows, width);
    if (!to)
        return FFL_NO_MEMORY;
    filling f = {to, width, scale, centre, m->seed, ++m->stream};
    ffl_parallel_rows(rows, fill_rows, &f);
    *out = to;
    return FFL_OK;
}

static ffl_status make_linear(maker *m, size_t outputs, size_t inputs, bool bias, ffl_linear *out)
{
    FFL_TRY(make(m, outputs, inputs, 1 / sqrt((double)inputs), 0, &out->weight));
    return bias ? make(m, 1, outputs, 0.1, 0, &out->bias) : FFL_OK;
}

/* Off 1 and 0, so that a norm applied twice, or with another's weights, shows. */
static ffl_status make_norm(maker *m, size_t width, ffl_norm *out)
{
    FFL_TRY(make(m, 1, width, 0.1, 1, &out->weight));
    return make(m, 1, width, 0.1, 0, &out->bias);
}

static ffl_status make_embedding(maker *m)
{
    ffl_encoder_weights *w = m->weights;
    const ffl_encoder_config *c = &w->config;
    const double unit = 1 / sqrt((double)c->embedding_width); /* a logit then has unit variance */
    FFL_TRY(make(m, c->vocabulary, c->embedding_width, unit, 0, &w->words));
    if (c->positions == FFL_SINUSOIDAL) {
        float *table = ffl_encoder_weights_floats(w, c->position_rows, c->embedding_width);
        if (!table)
            return FFL_NO_MEMORY;
        ffl_sinusoidal_positions(c->position_rows, c->embedding_width, (float)unit, table);
        w->positions = table;
    } else {
        FFL_TRY(make(m, c->position_rows, c->embedding_width, unit / 2, 0, &w->positions));
    }
    if (c->token_types)
        FFL_TRY(make(m, c->token_types, c->embedding_width, unit / 4, 0, &w->types));
    FFL_TRY(make_norm(m, c->embedding_width, &w->embedding_norm));
    if (c->embedding_width != c->width)
        FFL_TRY(make_linear(m, c->width, c->embedding_width, true, &w->embedding_projection));
    return FFL_OK;
}

static ffl_status make_head(maker *m)
{
    ffl_encoder_weights *w = m->weights;
    const ffl_encoder_config *c = &w->config;
    w->has_head = true;
    if (c->head_transform) {
        FFL_TRY(make_linear(m, c->embedding_width, c->width, true, &w->transform));
        FFL_TRY(make_norm(m, c->embedding_width, &w->transform_norm));
    }
    w->logits.weight = w->words;
    if (!c->tied)
        FFL_TRY(make_linear(m, c->vocabulary, c->embedding_width, false, &w->logits));
    return c->logits_bias ? make(m, 1, c->vocabulary, 0.1, 0, &w->logits.bias) : FFL_OK;
}

static void fill_feedforward(void *user, size_t begin, size_t end)
{
    const maker *m = user;
    const ffl_encoder_config *c = &m->weights->config;
    for (size_t i = begin; i < end; i++) {
        ffl_weights *f = &m->weights->layer[i].feedforward;
        ffl_weights_randomise(f, m->seed + 1000003 * (i + 1));
        for (size_t n = 0; n < f->layer.neurons && !c->in_bias; n++)
            f->b_in[n] = 0;
    }
}

static ffl_status make_all(maker *m)
{
    ffl_encoder_weights *w = m->weights;
    const ffl_encoder_config *c = &w->config;
    const size_t layers = c->shared_layers ? 1 : c->layers;
    FFL_TRY(make_embedding(m));
    FFL_TRY(ffl_encoder_weights_layers(w));
    for (size_t i = 0; i < layers; i++) {
        ffl_encoder_layer *l = &w->layer[i];
        FFL_TRY(make_linear(m, 3 * c->width, c->width, c->qkv_bias, &l->qkv));
        FFL_TRY(make_linear(m, c->width, c->width, c->projection_bias, &l->projection));
        FFL_TRY(make_norm(m, c->width, &l->norm1));
        FFL_TRY(make_norm(m, c->width, &l->norm2));
    }
    ffl_parallel_rows(layers, fill_feedforward, m);
    if (c->final_norm)
        FFL_TRY(make_norm(m, c->width, &w->final_norm));
    return make_head(m);
}

ffl_status ffl_encoder_weights_seeded(const ffl_encoder_config *config, uint64_t seed,
                                      ffl_encoder_weights *out)
{
    *out = (ffl_encoder_weights){.config = *config};
    maker m = {.weights = out, .seed = seed};
    const ffl_status status = make_all(&m);
    if (status != FFL_OK)
        ffl_encoder_weights_free(out);
    return status;
}
