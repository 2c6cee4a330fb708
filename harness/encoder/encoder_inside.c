/* Looking inside an encoder: what a layer was given, its kernel again, the times. */
#include "harness/encoder/encoder_host.h"
#include <string.h>

/* On the host it is there already. */
static ffl_status fetch_input(const ffl_encoder *e)
{
    return e->backend ? e->backend->fetch_feedforward(e, false, e->hidden) : FFL_OK;
}

const float *ffl_encoder_feedforward_input(const ffl_encoder *e)
{
    if (fetch_input(e) != FFL_OK)
        memset(e->hidden, 0xFF, e->tokens * e->weights->config.width * sizeof *e->hidden);
    return e->hidden;
}

ffl_status ffl_encoder_feedforward_again(const ffl_encoder *e, size_t i, float *y)
{
    const ffl_encoder_config *c = &e->weights->config;
    if (e->backend)
        return e->backend->fetch_feedforward(e, true, y);
    return ffl_instance_run(ffl_encoder_instance(e, i), e->hidden, c->width, y, c->width, e->tokens);
}

ffl_status ffl_encoder_feedforward_alone(ffl_encoder *e, const float *x, double *ns)
{
    const ffl_encoder_config *c = &e->weights->config;
    if (e->backend)
        return e->backend->alone(e, x, ns);
    double start = ffl_pass_clock_ns();
    for (size_t i = 0; i < c->layers; i++)
        FFL_TRY(ffl_instance_run(ffl_encoder_instance(e, i), x + i * e->tokens * c->width, c->width, e->mixed,
                                 c->width, e->tokens));
    *ns = ffl_pass_clock_ns() - start;
    return FFL_OK;
}

ffl_status ffl_encoder_trace(const ffl_encoder *e, size_t i, int32_t *nodes, float *logits)
{
    const ffl_encoder_config *c = &e->weights->config;
    FFL_TRY(fetch_input(e));
    return ffl_instance_trace(ffl_encoder_instance(e, i), e->hidden, c->width, e->tokens, nodes, logits);
}

void ffl_encoder_feedforward_cost(const ffl_encoder *e, size_t i, double *flops, double *bytes)
{
    const ffl_plan *plan = &ffl_encoder_instance(e, i)->plan;
    if (e->variant->cost)
        e->variant->cost(plan, e->tokens, flops, bytes);
}

const ffl_layer *ffl_encoder_feedforward(const ffl_encoder *e, size_t i)
{
    return &e->feedforward[e->weights->config.shared_layers ? 0 : i];
}

size_t ffl_encoder_events(const ffl_encoder *e, const ffl_encoder_event **out)
{
    *out = e->clock.events;
    return e->clock.event_count;
}

const double *ffl_encoder_times(const ffl_encoder *e)
{
    return e->clock.ns;
}

void ffl_encoder_clear_times(ffl_encoder *e)
{
    ffl_pass_clock_clear(&e->clock);
}

void ffl_encoder_count_events(ffl_encoder *e, const ffl_events *events)
{
    e->clock.counters = events;
}

const double (*ffl_encoder_counts(const ffl_encoder *e))[FFL_EVENTS_MAX]
{
    return e->clock.counts;
}

double ffl_encoder_pack_ns(const ffl_encoder *e)
{
    return e->pack_ns;
}

const char *ffl_encoder_projection_name(const ffl_encoder *e)
{
    return e->backend ? e->backend->name(e) : ffl_projection_name(&e->projection);
}

ffl_type ffl_encoder_storage(const ffl_encoder *e)
{
    return e->backend ? e->backend->storage(e) : FFL_F32;
}
