#include "harness/check/bounds.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include "tests/scene.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define CONTRACT(in, wt, hid, out, scale)                                                                    \
    {                                                                                                        \
        .input = in, .weights = wt, .hidden = hid, .accumulator = FFL_F32, .output = out,                    \
        .weight_scale = scale, .reassociates = true, .activation_error = 4 * FFL_UNIT_F32, .alignment = 4    \
    }

/* Everything that is stored has 16 bits, logits too. */
#define CONTRACT_LOGIT(type)                                                                                 \
    {                                                                                                        \
        .input = type, .weights = type, .logit = type, .hidden = type, .accumulator = FFL_F32,               \
        .output = type, .reassociates = true, .activation_error = 4 * FFL_UNIT_F32, .alignment = 4           \
    }

/* Every honest way to compute that the bounds must let pass. */
static const struct {
    const char *name;
    simulation how;
} honest[] = {
    {"f32 by index", {.contract = FFL_CONTRACT_F32, .lanes = 1}},
    {"f32 from the bias", {.contract = FFL_CONTRACT_F32, .lanes = 1, .bias_first = true}},
    {"f32, 64 lanes", {.contract = FFL_CONTRACT_F32, .lanes = 64}},
    {"f32, fused", {.contract = FFL_CONTRACT_F32, .lanes = 1, .fused = true}},
    {"f32, fused, 16 lanes", {.contract = FFL_CONTRACT_F32, .lanes = 16, .fused = true}},
    {"tf32", {.contract = CONTRACT(FFL_TF32, FFL_TF32, FFL_TF32, FFL_F32, FFL_SCALE_NONE), .lanes = 16}},
    {"bf16", {.contract = CONTRACT(FFL_BF16, FFL_BF16, FFL_BF16, FFL_BF16, FFL_SCALE_NONE), .lanes = 16}},
    {"bf16 logits", {.contract = CONTRACT_LOGIT(FFL_BF16), .lanes = 16}},
    {"bf16 logits with bias", {.contract = CONTRACT_LOGIT(FFL_BF16), .lanes = 16, .bias_first = true}},
    {"bf16 weights",
     {.contract = CONTRACT(FFL_F32, FFL_BF16, FFL_F32, FFL_F32, FFL_SCALE_NONE), .lanes = 16}},
    {"int8 weights", {.contract = CONTRACT(FFL_F32, FFL_INT8, FFL_F32, FFL_F32, FFL_SCALE_ROW), .lanes = 16}},
    {"int8", {.contract = CONTRACT(FFL_INT8, FFL_INT8, FFL_F32, FFL_F32, FFL_SCALE_ROW), .lanes = 16}},
    {"int8, hidden too",
     {.contract = CONTRACT(FFL_INT8, FFL_INT8, FFL_INT8, FFL_F32, FFL_SCALE_ROW), .lanes = 16}},
    {"int8, int16 values",
     {.contract = CONTRACT(FFL_INT16, FFL_INT8, FFL_INT16, FFL_F32, FFL_SCALE_ROW), .lanes = 16}},
    {"int8, only hidden",
     {.contract = CONTRACT(FFL_F32, FFL_F32, FFL_INT8, FFL_F32, FFL_SCALE_NONE), .lanes = 16}},
    {"int8, one scale",
     {.contract = CONTRACT(FFL_F32, FFL_INT8, FFL_F32, FFL_F32, FFL_SCALE_TENSOR), .lanes = 16}},
};

static simulation simulation_of(size_t index, const ffl_layer *layer)
{
    simulation how = honest[index].how;
    if (how.contract.weight_scale == FFL_SCALE_TENSOR)
        simulate_tensor_scale(&how, layer);
    return how;
}

static const char *const data_names[DATA_KINDS] = {"zero mean",
                                                   "same sign",
                                                   "outliers",
                                                   "cancelled by the bias",
                                                   "uneven rows of w_out",
                                                   "few large activations"};

Test(bounds, no_honest_logit_exceeds_them)
{
    enum { TOKENS = 4, NEURONS = 200 };
    ffl_layer shape;
    cr_assert_eq(ffl_layer_ff(768, 1, NEURONS, &shape), FFL_OK);
    for (int kind = 0; kind < DATA_KINDS; kind++) {
        scene s = new_scene(shape, false, TOKENS);
        set_data(&s, (data_kind)kind);
        const ffl_layer *l = &s.weights.layer;
        for (size_t h = 0; h < sizeof honest / sizeof *honest; h++) {
            const simulation how = simulation_of(h, l);
            const ffl_arithmetic a = ffl_arithmetic_new(l, &how.contract, FFL_DATA_GENERAL);
            double statistical = 0, worst = 0;
            for (size_t t = 0; t < TOKENS; t++) {
                const float *x = s.x + t * l->width_in;
                const ffl_input input = ffl_input_new(&a, x);
                for (size_t k = 0; k < NEURONS; k++) {
                    const double z =
                        ffl_reference_dot(x, l->w_in + k * l->width_in, l->width_in) + (double)l->b_in[k];
                    const ffl_node node = ffl_node_new(&a, &input, k, z);
                    const double error = fabs((double)simulate_logit(&how, l, x, k) - z);
                    cr_assert(node.statistical <= node.worst && node.statistical > 0);
                    statistical = fmax(statistical, error / node.statistical);
                    worst = fmax(worst, error / node.worst);
                }
            }
            cr_log_info("%-20s %-22s logit %.3f %.4f", honest[h].name, data_names[kind], statistical, worst);
            cr_assert(statistical <= 1 && statistical > 0, "%s, %s: %g", honest[h].name, data_names[kind],
                      statistical);
        }
        free_scene(&s);
    }
}

Test(bounds, no_honest_output_exceeds_them)
{
    ffl_layer shapes[3];
    cr_assert_eq(ffl_layer_ff(64, 48, 1023, &shapes[0]), FFL_OK);
    cr_assert_eq(ffl_layer_fff(96, 64, 2, 8, &shapes[1]), FFL_OK);
    cr_assert_eq(ffl_layer_fff(1, 3, 1, 1, &shapes[2]), FFL_OK);
    for (size_t f = 0; f < sizeof shapes / sizeof *shapes; f++)
        for (int kind = 0; kind < DATA_KINDS; kind++) {
            scene s = new_scene(shapes[f], false, f ? 100 : 4);
            set_data(&s, (data_kind)kind);
            for (size_t h = 0; h < sizeof honest / sizeof *honest; h++) {
                const simulation how = simulation_of(h, &s.weights.layer);
                const ffl_judgement j = run_scene(&s, &how, FFL_DATA_GENERAL);
                cr_log_info("%-20s %-22s %s output %.3f %.4f flips %zu", honest[h].name, data_names[kind],
                            f ? "FFF" : "FF", j.error_statistical, j.error_worst, j.flips);
                cr_assert_eq(j.verdict, FFL_PASSED, "%s, %s, %s: %s", f ? "FFF" : "FF", honest[h].name,
                             data_names[kind], j.reason);
                cr_assert(j.error_worst <= j.error_statistical * (1 + 1e-6), "%s: the tiers are swapped",
                          honest[h].name);
            }
            free_scene(&s);
        }
}

/* The bias takes back nearly all of what was rounded. */
Test(bounds, an_output_may_be_rounded_before_its_bias)
{
    const simulation how = {.contract = CONTRACT(FFL_F32, FFL_F32, FFL_F32, FFL_BF16, FFL_SCALE_NONE),
                            .lanes = 1,
                            .bias_last = true};
    ffl_layer shape;
    double y[33];
    cr_assert_eq(ffl_layer_ff(16, 33, 20, &shape), FFL_OK);
    scene s = new_scene(shape, true, 1);
    memset(s.weights.b_out, 0, sizeof y / sizeof *y * sizeof(float));
    cr_assert_eq(ffl_reference(&s.weights.layer, s.x, 16, 1, y, NULL, NULL), FFL_OK);
    for (size_t j = 0; j < 33; j++)
        s.weights.b_out[j] = (float)(-0.99 * y[j]);
    const ffl_judgement j = run_scene(&s, &how, FFL_DATA_GENERAL);
    cr_assert_eq(j.verdict, FFL_PASSED, "%s", j.reason);
    cr_assert(j.error_worst > 0.1, "%g", j.error_worst); /* the rounding is what it is about */
    free_scene(&s);
}
