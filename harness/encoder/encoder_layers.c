/* The pass on the host: its layers, and the products and norms that its other parts use, too. */
#include "harness/encoder/encoder_host.h"
#include "kernels/layernorm.h"
#include <string.h>

void ffl_encoder_normalise(const ffl_encoder *e, const ffl_norm *norm, size_t width, float *x,
                           const float *add, const float *add_bias, float *y)
{
    const ffl_layernorm n = {.width = width,
                             .weight = norm->weight,
                             .bias = norm->bias,
                             .eps = e->weights->config.norm_eps,
                             .add_bias = add_bias};
    ffl_layernorm_run(&n, x, width, add, width, y, width, e->tokens, e->threads);
}

void ffl_encoder_project(const ffl_encoder *e, const float *x, size_t inputs, size_t tokens,
                         const ffl_linear *linear, const float *bias, size_t outputs, float *y)
{
    ffl_project(&e->projection, e->weights->packed, x, inputs, tokens, linear->weight, bias, outputs, y,
                e->scratch, e->threads);
}

static ffl_status run_layer(ffl_encoder *e, size_t i)
{
    const ffl_encoder_config *c = &e->weights->config;
    const ffl_encoder_layer *l = ffl_encoder_weights_layer(e->weights, i);
    const ffl_attention attention = ffl_encoder_attention(e, l);
    const size_t h = c->width;
    double start = ffl_pass_clock_ns();
    e->clock.layer = i;
    float *x = e->state; /* what attention and feedforward read */
    if (c->pre_norm) {
        ffl_encoder_normalise(e, &l->norm1, h, e->state, e->pending ? e->mixed : NULL, NULL, e->hidden);
        x = e->hidden;
        ffl_pass_clock_count(&e->clock, FFL_PART_NORM, &start);
    }
    ffl_encoder_project(e, x, h, e->tokens, &l->qkv, NULL, 3 * h, e->wide); /* attention adds the bias */
    ffl_pass_clock_count(&e->clock, FFL_PART_QKV, &start);
    ffl_attention_run(&attention, e->wide, 3 * h, e->input->mask ? e->mask : NULL, e->mixed, h, e->scratch,
                      e->threads);
    ffl_pass_clock_count(&e->clock, FFL_PART_ATTENTION, &start);
    ffl_encoder_project(e, e->mixed, h, e->tokens, &l->projection, NULL, h, e->wide); /* the norm adds it */
    ffl_pass_clock_count(&e->clock, FFL_PART_PROJECTION, &start);
    ffl_encoder_normalise(e, c->pre_norm ? &l->norm2 : &l->norm1, h, e->state, e->wide, l->projection.bias,
                          e->hidden);
    ffl_pass_clock_count(&e->clock, FFL_PART_NORM, &start);
    const ffl_instance *instance = ffl_encoder_instance(e, i);
    FFL_TRY(ffl_instance_run(instance, e->hidden, h, e->mixed, h, e->tokens));
    ffl_pass_clock_count(&e->clock, FFL_PART_FEEDFORWARD, &start);
    e->pending = c->pre_norm;
    if (!c->pre_norm) /* the sum is left in mixed: hidden is kept for ffl_encoder_feedforward_input */
        ffl_encoder_normalise(e, &l->norm2, h, e->mixed, e->hidden, NULL, e->state);
    ffl_pass_clock_count(&e->clock, FFL_PART_NORM, &start);
    e->clock.layer = SIZE_MAX;
    return FFL_OK;
}

ffl_status ffl_encoder_layer_run(ffl_encoder *e, size_t i)
{
    return e->backend ? e->backend->layer_run(e, i) : run_layer(e, i);
}

static void settle(ffl_encoder *e)
{
    const size_t n = e->tokens * e->weights->config.width;
    for (size_t i = 0; e->pending && i < n; i++)
        e->state[i] += e->mixed[i];
    e->pending = false;
}

ffl_status ffl_encoder_finish(ffl_encoder *e)
{
    const ffl_encoder_config *c = &e->weights->config;
    if (e->backend)
        return e->backend->finish(e);
    double start = ffl_pass_clock_ns();
    if (c->final_norm)
        ffl_encoder_normalise(e, &e->weights->final_norm, c->width, e->state, e->pending ? e->mixed : NULL,
                              NULL, e->state);
    else
        settle(e);
    e->pending = false;
    ffl_pass_clock_count(&e->clock, FFL_PART_NORM, &start);
    return FFL_OK;
}

ffl_status ffl_encoder_run(ffl_encoder *e, const ffl_encoder_input *input, bool logits)
{
    if (e->backend) {
        FFL_TRY(ffl_encoder_begin(e, input));
        return e->backend->run(e, input, logits);
    }
    FFL_TRY(ffl_encoder_embed(e, input));
    for (size_t i = 0; i < e->weights->config.layers; i++)
        FFL_TRY(ffl_encoder_layer_run(e, i));
    FFL_TRY(ffl_encoder_finish(e));
    return logits && e->weights->has_head ? ffl_encoder_logits(e, NULL, NULL) : FFL_OK;
}

const float *ffl_encoder_state(ffl_encoder *e)
{
    const size_t n = e->tokens * e->weights->config.width;
    if (!e->backend)
        settle(e);
    else if (e->backend->fetch_state(e, e->state) != FFL_OK)
        memset(e->state, 0xFF, n * sizeof *e->state);
    return e->state;
}

ffl_status ffl_encoder_set_state(ffl_encoder *e, const float *state)
{
    if (e->backend)
        return e->backend->put_state(e, state);
    memcpy(e->state, state, e->tokens * e->weights->config.width * sizeof *state);
    e->pending = false;
    return FFL_OK;
}
