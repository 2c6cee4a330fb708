#include "harness/auto/observe.h"
#include "kernels/simd/scalar.h"

enum { SAMPLES_MIN = 8, SAMPLES_MAX = 64, SHARE = 48 };

/* A kernel reads trees·levels rows of w_in and as many of w_out per token: one plain dot product for SHARE
 * of the former is between 1 and 2 % of its time. */
ffl_auto_look ffl_auto_look_at(const ffl_layer *l, size_t tokens, int threads)
{
    const double products = (double)tokens * (double)l->trees * (double)l->levels / (SHARE * (double)threads);
    const size_t deepest = l->levels ? l->levels - 1 : 0;
    ffl_auto_look look = {0};
    if (l->operation != FFL_FFF || deepest == 0)
        return look;
    look.decisions = products < 128 ? 4 : products < 512 ? 8 : deepest;
    look.decisions = look.decisions < deepest ? look.decisions : deepest;
    const double samples = products / (double)look.decisions;
    if (samples >= SAMPLES_MIN && tokens >= SAMPLES_MIN)
        look.samples = samples < SAMPLES_MAX ? (size_t)samples : SAMPLES_MAX;
    look.samples = look.samples < tokens ? look.samples : tokens;
    return look;
}

static size_t descend(const ffl_layer *l, const float *x, size_t decisions)
{
    size_t node = 0;
    for (size_t d = 0; d < decisions; d++) {
        const float z = ffl_dot_scalar(x, l->w_in + node * l->width_in, l->width_in) + l->b_in[node];
        node = 2 * node + 1 + (z > 0.0f);
    }
    return node;
}

double ffl_auto_observe(const ffl_layer *l, const float *x, size_t ldx, size_t tokens, ffl_auto_look look)
{
    size_t node[SAMPLES_MAX], met = 0;
    /* Spread over the batch: neighbours may resemble each other. */
    for (size_t s = 0; s < look.samples; s++) {
        node[s] = descend(l, x + s * tokens / look.samples * ldx, look.decisions);
        for (size_t other = 0; other < s; other++)
            met += node[other] == node[s];
    }
    const double pairs = 0.5 * (double)look.samples * (double)(look.samples - 1);
    const double chance = 1.0 / (double)((size_t)1 << look.decisions);
    const double share = ((double)met / pairs - chance) / (1 - chance);
    return share < 0 ? 0 : share;
}
