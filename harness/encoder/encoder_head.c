#include "harness/encoder/encoder_host.h"
#include "kernels/gelu.h"

ffl_status ffl_encoder_logits(ffl_encoder *e, ffl_logits_rows *rows, void *user)
{
    const ffl_encoder_weights *w = e->weights;
    const ffl_encoder_config *c = &w->config;
    const float *x = e->state;
    if (!w->has_head)
        return ffl_fail(FFL_UNSUPPORTED, "the checkpoint has no head for masked words");
    if (e->backend)
        return e->backend->logits(e, rows, user);
    double start = ffl_pass_clock_ns();
    if (c->head_transform) {
        ffl_encoder_project(e, x, c->width, e->tokens, &w->transform, w->transform.bias, c->embedding_width,
                            e->hidden);
        ffl_activate_array(ffl_encoder_head_activation(c), e->hidden, e->tokens * c->embedding_width);
        ffl_encoder_normalise(e, &w->transform_norm, c->embedding_width, e->hidden, NULL, NULL, e->hidden);
        x = e->hidden;
    }
    for (size_t first = 0; first < e->tokens; first += FFL_LOGITS_AT_ONCE) {
        const size_t n = e->tokens - first < FFL_LOGITS_AT_ONCE ? e->tokens - first : FFL_LOGITS_AT_ONCE;
        ffl_encoder_project(e, x + first * c->embedding_width, c->embedding_width, n, &w->logits,
                            w->logits.bias, c->vocabulary, e->logits);
        ffl_pass_clock_count(&e->clock, FFL_PART_LOGITS, &start);
        if (rows)
            rows(user, first, n, e->logits);
        start = ffl_pass_clock_ns();
    }
    return FFL_OK;
}
