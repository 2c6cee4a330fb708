#include "harness/encoder/encoder_host.h"

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
            const float *type = ffl_encoder_type_row(w, e->input, b * e->input->sequence + s);
            for (size_t i = 0; i < width; i++)
                x[i] = word[i] + position[i] + (type ? type[i] : 0.0f);
        }
    }
}

ffl_status ffl_encoder_begin(ffl_encoder *e, const ffl_encoder_input *input)
{
    if (input->batch > e->batch || input->sequence > e->sequence)
        return ffl_fail(FFL_INTERNAL, "the encoder was prepared for %zu x %zu tokens", e->batch, e->sequence);
    e->input = input;
    e->tokens = input->batch * input->sequence;
    e->pending = false;
    return FFL_OK;
}

ffl_status ffl_encoder_embed(ffl_encoder *e, const ffl_encoder_input *input)
{
    const ffl_encoder_weights *w = e->weights;
    const ffl_encoder_config *c = &w->config;
    double start = ffl_pass_clock_ns();
    FFL_TRY(ffl_encoder_begin(e, input));
    if (e->backend)
        return e->backend->embed(e, input);
    for (size_t t = 0; t < e->tokens; t++)
        e->mask[t] = !input->mask || input->mask[t] ? 0.0f : -10000.0f;
    float *x = c->embedding_width == c->width ? e->state : e->hidden;
    look_up(e, x);
    ffl_encoder_normalise(e, &w->embedding_norm, c->embedding_width, x, NULL, NULL, x);
    if (c->embedding_width != c->width) {
        ffl_encoder_project(e, x, c->embedding_width, e->tokens, &w->embedding_projection,
                            w->embedding_projection.bias, c->width, e->state);
    }
    ffl_pass_clock_count(&e->clock, FFL_PART_EMBEDDING, &start);
    return FFL_OK;
}
