#include "harness/workload/weights.h"
#include "harness/workload/random.h"
#include "kernels/memory.h"
#include <math.h>

enum { STREAM_W_IN = 1, STREAM_B_IN, STREAM_W_OUT, STREAM_B_OUT, STREAMS };

/* Gates draw from a seed of their own: as another stream they would have moved all others. */
static const uint64_t GATE_SEED = 0x67617465;

ffl_status ffl_weights_new(const ffl_layer *shape, bool output_bias, ffl_weights *out)
{
    *out = (ffl_weights){.layer = *shape};
    out->w_in = ffl_alloc_array(shape->neurons * shape->width_in, sizeof *out->w_in);
    out->b_in = ffl_alloc_array(shape->neurons, sizeof *out->b_in);
    out->w_out = ffl_alloc_array(shape->neurons * shape->width_out, sizeof *out->w_out);
    if (output_bias)
        out->b_out = ffl_alloc_array(ffl_layer_output_biases(shape), sizeof *out->b_out);
    if (shape->gates) {
        out->w_gate = ffl_alloc_array(shape->gates * shape->width_in, sizeof *out->w_gate);
        out->b_gate = ffl_alloc_array(shape->gates, sizeof *out->b_gate);
    }
    if (!out->w_in || !out->b_in || !out->w_out || (output_bias && !out->b_out) ||
        (shape->gates && (!out->w_gate || !out->b_gate))) {
        ffl_weights_free(out);
        return ffl_fail(FFL_NO_MEMORY, "no memory for the weights of %zu neurons, %.2f GB", shape->neurons,
                        (double)ffl_layer_bytes(shape) / 1e9);
    }
    out->layer.w_in = out->w_in;
    out->layer.b_in = out->b_in;
    out->layer.w_out = out->w_out;
    out->layer.b_out = out->b_out;
    out->layer.w_gate = out->w_gate;
    out->layer.b_gate = out->b_gate;
    return FFL_OK;
}

static void fill(float *values, size_t rows, size_t width, double scale, uint64_t seed, uint64_t stream)
{
    for (size_t row = 0; row < rows; row++) {
        ffl_random random = ffl_random_new(seed, row * STREAMS + stream);
        for (size_t i = 0; i < width; i++)
            values[row * width + i] = (float)(scale * ffl_random_normal(&random));
    }
}

void ffl_weights_randomise(ffl_weights *weights, uint64_t seed)
{
    const ffl_layer *l = &weights->layer;
    const double active = l->operation == FFL_FFF  ? (double)(l->trees * l->levels)
                          : l->operation == FFL_FF ? (double)l->neurons
                                                   : (double)l->expert_width;
    fill(weights->w_in, l->neurons, l->width_in, 1 / sqrt((double)l->width_in), seed, STREAM_W_IN);
    fill(weights->b_in, l->neurons, 1, 0.1, seed, STREAM_B_IN);
    fill(weights->w_out, l->neurons, l->width_out, 1 / sqrt(active), seed, STREAM_W_OUT);
    if (weights->b_out)
        fill(weights->b_out, ffl_layer_output_biases(l) / l->width_out, l->width_out, 0.1, seed,
             STREAM_B_OUT);
    if (weights->w_gate) {
        fill(weights->w_gate, l->gates, l->width_in, 1 / sqrt((double)l->width_in), seed ^ GATE_SEED,
             STREAM_W_IN);
        fill(weights->b_gate, l->gates, 1, 0.1, seed ^ GATE_SEED, STREAM_B_IN);
    }
}

void ffl_weights_free(ffl_weights *weights)
{
    ffl_free(weights->w_in);
    ffl_free(weights->b_in);
    ffl_free(weights->w_out);
    ffl_free(weights->b_out);
    ffl_free(weights->w_gate);
    ffl_free(weights->b_gate);
    *weights = (ffl_weights){0};
}
