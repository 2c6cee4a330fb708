#include "tests/simulate.h"
#include "kernels/gelu.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Rounds to `bits` of significand, ties to even. */
static float round_bits(float v, int bits)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    const uint32_t low = 1u << (24 - bits);
    u += low / 2 - 1 + ((u >> (24 - bits)) & 1);
    u &= ~(low - 1);
    memcpy(&v, &u, sizeof u);
    return v;
}

static float round_to(ffl_type type, float v, float step)
{
    switch (type) {
    case FFL_TF32:
    case FFL_F16:
        return round_bits(v, 11);
    case FFL_BF16:
        return round_bits(v, 8);
    case FFL_INT8:
        return step > 0 ? step * rintf(v / step) : 0;
    default:
        return v;
    }
}

static float step_of(const float *v, size_t n)
{
    float peak = 0;
    for (size_t i = 0; i < n; i++)
        peak = fmaxf(peak, fabsf(v[i]));
    return peak / 127.0f;
}

float simulate_logit(const simulation *how, const ffl_layer *l, const float *x, size_t neuron)
{
    const float *w = l->w_in + neuron * l->width_in;
    const float x_step = step_of(x, l->width_in), w_step = step_of(w, l->width_in);
    const float bias = how->flaw == NO_BIAS ? 0 : l->b_in[neuron];
    float sum[64] = {how->bias_first ? bias : 0.0f};
    for (size_t i = 0; i < l->width_in; i++) {
        float *s = &sum[i % how->lanes];
        const float a = round_to(how->contract.input, x[i], x_step),
                    b = round_to(how->contract.weights, w[i], w_step);
        if (how->fused) {
            *s = fmaf(a, b, *s);
        } else {
            const volatile float product = a * b;
            *s += product;
        }
    }
    for (size_t width = how->lanes / 2; width > 0; width /= 2)
        for (size_t k = 0; k < width; k++)
            sum[k] += sum[k + width];
    return how->bias_first ? sum[0] : sum[0] + bias;
}

static void add_neuron(const simulation *how, const ffl_layer *l, float z, size_t neuron, float *y)
{
    const float *w = l->w_out + neuron * l->width_out;
    const float w_step = step_of(w, l->width_out);
    const float g = round_to(how->contract.hidden,
                             how->flaw == TANH_GELU ? ffl_gelu_tanh(z) : ffl_activate(l->activation, z), 0);
    for (size_t j = 0; j < l->width_out; j++) {
        const float b = round_to(how->contract.weights, w[j], w_step);
        if (how->fused) {
            y[j] = fmaf(g, b, y[j]);
        } else {
            const volatile float product = g * b;
            y[j] += product;
        }
    }
}

static void walk(const simulation *how, const ffl_layer *l, const float *x, float *y, size_t tree,
                 bool marked)
{
    const size_t levels = l->levels - (how->flaw == LAST_LEVEL_DROPPED);
    size_t node = 0;
    for (size_t level = 0; level < levels; level++) {
        const size_t neuron = tree * l->nodes + node;
        const float z = simulate_logit(how, l, x, neuron);
        add_neuron(how, l, z, neuron, y);
        bool right = how->flaw == TIE_GOES_RIGHT ? z >= 0 : z > 0;
        right ^= marked && how->flaw == MIRRORED;
        right ^= marked && how->flaw == FLIPPED && level == 0 && how->flip[tree];
        node = 2 * node + 1 + right;
    }
}

void simulate(const simulation *how, const ffl_layer *l, const float *x, float *y, size_t tokens)
{
    for (size_t t = 0; t < tokens; t++, x += l->width_in, y += l->width_out) {
        if (how->flaw == STALE && t == 1)
            continue;
        for (size_t j = 0; j < l->width_out; j++)
            y[j] = l->b_out ? l->b_out[j] : 0.0f;
        if (l->operation == FFL_FFF)
            for (size_t tree = 0; tree < l->trees; tree++)
                walk(how, l, x, y, tree, t == 1);
        else
            for (size_t neuron = 0; neuron < l->neurons; neuron++)
                add_neuron(how, l, simulate_logit(how, l, x, neuron), neuron, y);
        for (size_t j = 0; j < l->width_out; j++)
            y[j] = round_to(how->contract.output, y[j], 0);
        if (t == 1 && how->flaw == NAN_ELEMENT)
            y[l->width_out - 1] = NAN;
        if (t == 1 && how->flaw == SLIGHTLY_OFF)
            y[l->width_out - 1] *= 1.001f;
    }
}
