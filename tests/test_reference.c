#include "harness/workload/random.h"
#include "harness/workload/weights.h"
#include "kernels/gelu.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static float *random_rows(size_t tokens, size_t width)
{
    float *x = ffl_alloc_array(tokens * width, sizeof *x);
    ffl_random random = ffl_random_new(7, 0);
    for (size_t i = 0; i < tokens * width; i++)
        x[i] = (float)ffl_random_normal(&random);
    return x;
}

Test(reference, dense_masked_equals_walk_bit_for_bit)
{
    static const size_t shapes[][4] = {/* width_in, width_out, trees, levels */
                                       {1, 1, 1, 1},
                                       {5, 3, 1, 4},
                                       {64, 64, 3, 5},
                                       {100, 7, 16, 3},
                                       {33, 65, 2, 10}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        ffl_layer shape;
        ffl_weights w;
        cr_assert_eq(ffl_layer_fff(shapes[s][0], shapes[s][1], shapes[s][2], shapes[s][3], &shape), FFL_OK);
        cr_assert_eq(ffl_weights_new(&shape, false, &w), FFL_OK);
        ffl_weights_randomise(&w, s);
        const size_t tokens = 9, visited = shape.trees * shape.levels;
        float *x = random_rows(tokens, shape.width_in);
        double *y = ffl_alloc_array(2 * tokens * shape.width_out, sizeof *y);
        double *all = ffl_alloc_array(tokens * shape.neurons, sizeof *all);
        double *some = ffl_alloc_array(tokens * visited, sizeof *some);
        int32_t *path = ffl_alloc_array(2 * tokens * visited, sizeof *path);
        ffl_reference(&w.layer, x, shape.width_in, tokens, y, all, path);
        ffl_reference_walk(&w.layer, x, shape.width_in, tokens, y + tokens * shape.width_out, some,
                           path + tokens * visited);
        cr_assert_eq(memcmp(y, y + tokens * shape.width_out, tokens * shape.width_out * sizeof *y), 0);
        cr_assert_eq(memcmp(path, path + tokens * visited, tokens * visited * sizeof *path), 0);
        for (size_t i = 0; i < tokens * visited; i++) {
            const size_t t = i / visited, tree = i % visited / shape.levels;
            cr_assert_eq(some[i], all[t * shape.neurons + tree * shape.nodes + (size_t)path[i]]);
        }
        ffl_free(x), ffl_free(y), ffl_free(all), ffl_free(some), ffl_free(path);
        ffl_weights_free(&w);
    }
}

/* One tree of one decision, worked out by hand: z = 2x (+ bias); left child 1, right child 2. */
Test(reference, ties_go_left_and_masked_neurons_are_selected_away)
{
    ffl_layer layer;
    ffl_layer_fff(1, 1, 1, 2, &layer);
    const float w_in[] = {2, 1, 1}, b_in[] = {0, 20, 20}, w_out[] = {1, 10, 100};
    layer.w_in = w_in, layer.b_in = b_in, layer.w_out = w_out;
    const float x[] = {0.0f, -0.0f, 1.0f, -1.0f, NAN};
    double y[5];
    int32_t path[10];
    cr_assert_eq(ffl_reference(&layer, x, 1, 5, y, NULL, path), FFL_OK);
    const int32_t expected[] = {0, 1, 0, 1, 0, 2, 0, 1, 0, 1};
    cr_assert_eq(memcmp(path, expected, sizeof path), 0);
    cr_assert_eq(y[0], 200.0);
    cr_assert_float_eq(y[2], ffl_gelu_double(2) + 2100, 1e-9);
    cr_assert_float_eq(y[3], ffl_gelu_double(-2) + 190, 1e-9);
    cr_assert(isnan(y[4]));
}

/* z/2·(1 + tanh(√(2/π)·(z + 0.044715·z³))), worked out elsewhere to 15 places. */
Test(reference, the_tanh_form_is_another_function)
{
    cr_assert_float_eq(ffl_activate_double(FFL_GELU_TANH, 1), 0.8411919906082768, 1e-15);
    cr_assert_float_eq(ffl_activate_double(FFL_GELU_TANH, -1), -0.1588080093917232, 1e-15);
    cr_assert_float_eq(ffl_activate_double(FFL_GELU_TANH, -3), -0.003637392081773, 1e-15);
    double furthest = 0;
    for (float z = -8; z < 8; z += 0.001f) {
        const double want = ffl_gelu_tanh_double((double)z);
        cr_assert(fabs((double)ffl_gelu_tanh(z) - want) <= 4 * 0x1p-24 * fabs((double)z), "z = %g",
                  (double)z);
        furthest = fmax(furthest, fabs(want - ffl_gelu_double((double)z)));
    }
    cr_assert(furthest > 4.7e-4 && furthest < 4.8e-4, "%g", furthest);
}

Test(reference, gelu_is_exact_at_known_points)
{
    /* z·Φ(z), Φ from tables to 15 digits */
    cr_assert_float_eq(ffl_gelu_double(1), 0.841344746068543, 1e-15);
    cr_assert_float_eq(ffl_gelu_double(-1), -0.158655253931457, 1e-15);
    cr_assert_float_eq(ffl_gelu_double(-5), -5 * 2.866515718791939e-7, 1e-20);
    for (float z = 16; z < 1e30f; z *= 3) {
        cr_assert_eq(ffl_gelu(z), z);
        cr_assert(ffl_gelu(-z) == 0.0f);
    }
    cr_assert(signbit(ffl_gelu(-0.0f)));
    for (float z = -12; z < 12; z += 0.0037f)
        cr_assert(fabs((double)ffl_gelu(z) - ffl_gelu_double((double)z)) <= 4 * 0x1p-24 * fabs((double)z),
                  "z = %g", (double)z);
}

Test(layer, shapes_refuse_what_cannot_be)
{
    ffl_layer l;
    cr_assert_eq(ffl_layer_fff(768, 768, 1, 12, &l), FFL_OK);
    cr_assert_eq(l.nodes, 4095);
    cr_assert_eq(ffl_layer_fff(0, 1, 1, 1, &l), FFL_BAD_INPUT);
    cr_assert_eq(ffl_layer_fff(1, 1, 0, 1, &l), FFL_BAD_INPUT);
    cr_assert_eq(ffl_layer_fff(1, 1, 1, 0, &l), FFL_BAD_INPUT);
    cr_assert_eq(ffl_layer_fff(1, 1, 1, 22, &l), FFL_BAD_INPUT);
    cr_assert_eq(ffl_layer_fff(1, 1, (size_t)1 << 60, 21, &l), FFL_BAD_INPUT);
    cr_assert_eq(ffl_layer_ff((size_t)1 << 62, 1, 64, &l), FFL_BAD_INPUT);
    cr_assert_eq(ffl_layer_ff(8, 8, 0, &l), FFL_BAD_INPUT);
}

/* Two decisions on x[0] and x[1]; leaf l answers 10·l + 1 + relu(x[0]). */
Test(reference, a_leaf_tree_decides_and_then_asks_one_leaf)
{
    ffl_layer l;
    cr_assert_eq(ffl_layer_leaf(2, 1, 2, 1, &l), FFL_OK);
    l.activation = FFL_RELU;
    const float w_gate[] = {1, 0, 0, 1, 0, -1}, b_gate[] = {0, 0, 0};
    const float w_in[] = {1, 0, 1, 0, 1, 0, 1, 0}, b_in[4] = {0}, w_out[] = {1, 1, 1, 1},
                b_out[] = {1, 11, 21, 31};
    l.w_gate = w_gate, l.b_gate = b_gate, l.w_in = w_in, l.b_in = b_in, l.w_out = w_out, l.b_out = b_out;
    const float x[] = {-1, -1, 0, 2, 3, 1, 3, -1, NAN, -1};
    const double expected[] = {1, 11, 24, 34};
    double y[5], gates[5 * 3], share[5];
    int32_t chosen[5];
    cr_assert_eq(ffl_reference_experts(&l, x, 2, 5, y, gates, chosen, share), FFL_OK);
    for (size_t t = 0; t < 4; t++) {
        cr_assert_eq(y[t], expected[t], "token %zu: %g", t, y[t]);
        cr_assert_eq(chosen[t], (int32_t)t);
        cr_assert_eq(share[t], 1);
    }
    cr_assert_eq(chosen[4], 0, "NaN goes left");
    cr_assert_eq(gates[2 * 3], 3);
}

/* Expert e answers 10^e; its gate is x[e]. */
Test(reference, a_mixture_takes_the_largest_gates_and_weighs_them)
{
    ffl_layer l;
    cr_assert_eq(ffl_layer_moe(3, 1, 3, 1, 2, &l), FFL_OK);
    const float w_gate[] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, b_gate[3] = {0};
    const float w_in[9] = {0}, b_in[3] = {0}, w_out[3] = {0}, b_out[] = {1, 10, 100};
    l.w_gate = w_gate, l.b_gate = b_gate, l.w_in = w_in, l.b_in = b_in, l.w_out = w_out, l.b_out = b_out;
    const float x[] = {0, 5, 4, 2, 2, 2, 7, 7, 8};
    const int32_t expected[] = {1, 2, 0, 1, 2, 0};
    double y[3], share[6];
    int32_t chosen[6];
    cr_assert_eq(ffl_reference_experts(&l, x, 3, 3, y, NULL, chosen, share), FFL_OK);
    for (size_t i = 0; i < 6; i++)
        cr_assert_eq(chosen[i], expected[i], "choice %zu: %d", i, (int)chosen[i]);
    const double p = 1 / (1 + exp(-1));
    cr_assert_float_eq(y[0], 10 * p + 100 * (1 - p), 1e-13);
    cr_assert_float_eq(y[1], 5.5, 1e-15);
    cr_assert_float_eq(y[2], 100 * p + 1 * (1 - p), 1e-13);
    const double gates[] = {NAN, -INFINITY, NAN};
    ffl_reference_choose(&l, gates, chosen, share);
    cr_assert_eq(chosen[0], 1);
    cr_assert_eq(chosen[1], 0);
}

Test(reference, a_chosen_expert_is_a_dense_layer)
{
    ffl_layer shape;
    ffl_weights w;
    cr_assert_eq(ffl_layer_moe(17, 9, 4, 5, 1, &shape), FFL_OK);
    cr_assert_eq(ffl_weights_new(&shape, true, &w), FFL_OK);
    ffl_weights_randomise(&w, 3);
    float *x = random_rows(6, 17);
    double y[6 * 9], expert_y[9];
    int32_t chosen[6];
    cr_assert_eq(ffl_reference_experts(&w.layer, x, 17, 6, y, NULL, chosen, NULL), FFL_OK);
    for (size_t t = 0; t < 6; t++) {
        const ffl_layer expert = ffl_layer_expert(&w.layer, (size_t)chosen[t]);
        cr_assert_eq(ffl_reference(&expert, x + t * 17, 17, 1, expert_y, NULL, NULL), FFL_OK);
        for (size_t j = 0; j < 9; j++)
            cr_assert_float_eq(y[t * 9 + j], expert_y[j], 1e-14);
    }
    ffl_free(x);
    ffl_weights_free(&w);
}
