#include "harness/files/layer_file.h"
#include "kernels/memory.h"
#include "tests/fuzz/targets.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void expect_finite(const float *values, size_t count)
{
    for (size_t i = 0; values && i < count; i++)
        fuzz_expect(isfinite(values[i]), "weights are finite");
}

/* A dense layer with an output bias is read, but not among what we write: only the weights are compared. */
static void expect_round_trip(const ffl_weights *first, const ffl_layer_request *request)
{
    char path[256];
    ffl_weights again;
    const ffl_layer *l = &first->layer;
    snprintf(path, sizeof path, "%s/again.safetensors", fuzz_folder());
    fuzz_expect(ffl_layer_file_write(path, l, NULL, 0, NULL) == FFL_OK, "what was read can be written");
    fuzz_expect(ffl_layer_file_read(path, request, &again) == FFL_OK, "what was written can be read");
    fuzz_expect(again.layer.neurons == l->neurons && again.layer.levels == l->levels &&
                    memcmp(again.w_in, first->w_in, l->neurons * l->width_in * sizeof(float)) == 0 &&
                    memcmp(again.w_out, first->w_out, l->neurons * l->width_out * sizeof(float)) == 0,
                "writing and reading change nothing");
    fuzz_expect(
        again.layer.operation == l->operation && again.layer.experts == l->experts &&
            again.layer.chosen == l->chosen && again.layer.gates == l->gates &&
            (!l->gates || (memcmp(again.w_gate, first->w_gate, l->gates * l->width_in * sizeof(float)) == 0 &&
                           memcmp(again.b_gate, first->b_gate, l->gates * sizeof(float)) == 0)),
        "nor the gates");
    ffl_weights_free(&again);
}

static ffl_status read_as(const char *path, const ffl_layer_request *request)
{
    ffl_weights weights;
    ffl_layer shape;
    float *x;
    size_t tokens;
    const ffl_status shaped = ffl_layer_file_shape(path, request, &shape);
    fuzz_expect_named(shaped, path);
    const ffl_status status = ffl_layer_file_read(path, request, &weights);
    fuzz_expect_named(status, path);
    if (status != FFL_OK)
        return status;
    const ffl_layer *l = &weights.layer;
    fuzz_expect(shaped == FFL_OK && shape.neurons == l->neurons && shape.levels == l->levels,
                "the shape is that of the weights");
    expect_finite(weights.w_in, l->neurons * l->width_in);
    expect_finite(weights.b_in, l->neurons);
    expect_finite(weights.w_out, l->neurons * l->width_out);
    expect_finite(weights.b_out, ffl_layer_output_biases(l));
    expect_finite(weights.w_gate, l->gates * l->width_in);
    expect_finite(weights.b_gate, l->gates);
    expect_round_trip(&weights, request);
    const ffl_status inputs = ffl_layer_file_inputs(path, l->width_in, &x, &tokens);
    fuzz_expect_named(inputs, path);
    fuzz_expect((x != NULL) == (tokens > 0), "rows where there are tokens");
    ffl_free(x);
    ffl_weights_free(&weights);
    return FFL_OK;
}

/* As each operation by the file's own word, and as the user's: good when any of them is. */
ffl_status fuzz_layer(const uint8_t *data, size_t size)
{
    static const ffl_layer_request requests[] = {
        {.operation = FFL_FFF},      {.operation = FFL_FFF, .trees = 1, .levels = 3},
        {.operation = FFL_FFF_LEAF}, {.operation = FFL_FFF_LEAF, .levels = 1, .expert_width = 2},
        {.operation = FFL_MOE},      {.operation = FFL_MOE, .experts = 3, .expert_width = 1, .chosen = 2},
        {.operation = FFL_FF}};
    const char *path = fuzz_file(data, size);
    ffl_status first = FFL_OK;
    for (size_t r = 0; r < sizeof requests / sizeof *requests; r++) {
        const ffl_status status = read_as(path, &requests[r]);
        if (r == 0 || status == FFL_OK)
            first = status;
    }
    return first;
}
