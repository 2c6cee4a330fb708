#include "tests/simulate.h"
#include "kernels/gelu.h"
#include "kernels/memory.h"
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
    case FFL_INT16:
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

/* Of inputs and hidden values: int16 has a power of two. */
static float fixed_step_of(ffl_type type, const float *v, size_t n)
{
    const float step = step_of(v, n);
    return type == FFL_INT16 && step > 0 ? ldexpf(1.0f, ilogbf(127.0f * step) - 13) : step;
}

float simulate_logit(const simulation *how, const ffl_layer *l, const float *x, size_t neuron)
{
    const float *w = l->w_in + neuron * l->width_in;
    const float x_step = fixed_step_of(how->contract.input, x, l->width_in);
    const float w_step = how->step_in > 0 ? how->step_in : step_of(w, l->width_in);
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
    const float stored = round_to(how->contract.logit, sum[0], 0);
    return how->bias_first ? stored : stored + bias;
}

void simulate_tensor_scale(simulation *how, const ffl_layer *l)
{
    how->step_in = step_of(l->w_in, l->neurons * l->width_in);
    how->step_out = step_of(l->w_out, l->neurons * l->width_out);
}

/* The neurons of one token, and their activations. */
typedef struct visit {
    size_t count, *neuron;
    float *g;
} visit;

/* Evaluates a neuron and returns its logit. */
static float evaluate(const simulation *how, const ffl_layer *l, const float *x, size_t neuron, visit *v)
{
    const float z = simulate_logit(how, l, x, neuron);
    v->g[v->count] = how->flaw == TANH_GELU ? ffl_gelu_tanh(z) : ffl_activate(l->activation, z);
    v->neuron[v->count++] = neuron;
    return z;
}

static void walk(const simulation *how, const ffl_layer *l, const float *x, size_t tree, bool marked,
                 visit *v)
{
    const size_t levels = l->levels - (how->flaw == LAST_LEVEL_DROPPED);
    size_t node = 0;
    for (size_t level = 0; level < levels; level++) {
        const float z = evaluate(how, l, x, tree * l->nodes + node, v);
        bool right = how->flaw == TIE_GOES_RIGHT ? z >= 0 : z > 0;
        right ^= marked && how->flaw == MIRRORED;
        right ^= marked && how->flaw == FLIPPED && level == 0 && how->flip[tree];
        node = 2 * node + 1 + right;
    }
}

static void add_neuron(const simulation *how, const ffl_layer *l, float g, size_t neuron, float *y)
{
    const float *w = l->w_out + neuron * l->width_out;
    const float w_step = how->step_out > 0 ? how->step_out : step_of(w, l->width_out);
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

void simulate(const simulation *how, const ffl_layer *l, const float *x, float *y, size_t tokens)
{
    visit v = {.neuron = ffl_alloc_array(l->neurons, sizeof *v.neuron),
               .g = ffl_alloc_array(l->neurons, sizeof *v.g)};
    for (size_t t = 0; t < tokens; t++, x += l->width_in, y += l->width_out) {
        if (how->flaw == STALE && t == 1)
            continue;
        v.count = 0;
        if (l->operation == FFL_FFF)
            for (size_t tree = 0; tree < l->trees; tree++)
                walk(how, l, x, tree, t == 1, &v);
        else
            for (size_t neuron = 0; neuron < l->neurons; neuron++)
                evaluate(how, l, x, neuron, &v);
        for (size_t j = 0; j < l->width_out; j++)
            y[j] = l->b_out && !how->bias_last ? l->b_out[j] : 0.0f;
        /* The scale of a row of w_out is inside the sum: it is quantised with the hidden value. */
        const bool absorbs = how->contract.weights == FFL_INT8 &&
                             (how->contract.hidden == FFL_INT8 || how->contract.hidden == FFL_INT16) &&
                             how->step_out == 0;
        for (size_t k = 0; k < v.count; k++)
            v.g[k] *= absorbs ? step_of(l->w_out + v.neuron[k] * l->width_out, l->width_out) : 1.0f;
        const float hidden_step = fixed_step_of(how->contract.hidden, v.g, v.count);
        for (size_t k = 0; k < v.count; k++) {
            const float unit = absorbs ? step_of(l->w_out + v.neuron[k] * l->width_out, l->width_out) : 1.0f;
            const float g = round_to(how->contract.hidden, v.g[k], hidden_step);
            add_neuron(how, l, unit > 0 ? g / unit : 0, v.neuron[k], y);
        }
        for (size_t j = 0; j < l->width_out; j++)
            y[j] = round_to(how->contract.output, y[j], 0) + (how->bias_last ? l->b_out[j] : 0.0f);
        if (t == 1 && how->flaw == NAN_ELEMENT)
            y[l->width_out - 1] = NAN;
        if (t == 1 && how->flaw == SLIGHTLY_OFF)
            y[l->width_out - 1] *= 1.001f;
    }
    ffl_free(v.neuron);
    ffl_free(v.g);
}
