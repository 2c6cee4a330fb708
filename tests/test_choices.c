/* The judge on leaf FFF and mixtures: plain float kernels, honest and wrong in one way each. */
#include "harness/check/choices.h"
#include "harness/selftest/rounding.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include "tests/experts_rows.h"
#include "tests/scene.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static ffl_judgement judged(scene *s, mistake m, ffl_data data)
{
    static const ffl_contract f32 = FFL_CONTRACT_F32;
    const ffl_layer *l = &s->weights.layer;
    memset(s->y, 0, s->tokens * l->width_out * sizeof *s->y);
    for (size_t t = 0; t < s->tokens; t++)
        (l->operation == FFL_MOE ? mixture_row : leaf_row)(l, s->x + t * l->width_in, m,
                                                           s->y + t * l->width_out);
    if (m == WRONG_NUMBER)
        s->y[3] = NAN;
    return judge_scene(s, &f32, data, NULL);
}

static ffl_layer leaf_of(size_t depth, size_t width)
{
    ffl_layer shape;
    cr_assert_eq(ffl_layer_leaf(40, 9, depth, width, &shape), FFL_OK);
    return shape;
}

static ffl_layer mixture_of(size_t experts, size_t width, size_t chosen)
{
    ffl_layer shape;
    cr_assert_eq(ffl_layer_moe(40, 9, experts, width, chosen, &shape), FFL_OK);
    return shape;
}

Test(choices, honest_rows_pass_whatever_the_shape)
{
    const ffl_layer shapes[] = {leaf_of(0, 5),       leaf_of(1, 1),        leaf_of(6, 3),
                                mixture_of(1, 4, 1), mixture_of(7, 3, 1),  mixture_of(7, 3, 2),
                                mixture_of(5, 2, 5), mixture_of(64, 1, 8), mixture_of(2, 11, 2)};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int bias = 0; bias < 2; bias++) {
            scene s = new_scene(shapes[i], bias, 33);
            const ffl_judgement j = judged(&s, RIGHT, FFL_DATA_GENERAL);
            cr_expect(j.verdict == FFL_PASSED && !j.weak && j.rows == 33, "shape %zu: %s", i, j.reason);
            cr_expect(j.error_statistical > 0 && j.error_statistical < 0.5, "shape %zu: %g", i,
                      j.error_statistical);
            cr_expect_eq(judged(&s, WRONG_NUMBER, FFL_DATA_GENERAL).verdict, FFL_FAILED);
            free_scene(&s);
        }
}

typedef struct wrong {
    mistake mistake;
    const char *hint;
} wrong;

static void expect_caught(ffl_layer shape, const wrong *list, size_t count)
{
    scene s = new_scene(shape, true, 17);
    for (size_t i = 0; i < count; i++) {
        const ffl_judgement j = judged(&s, list[i].mistake, FFL_DATA_GENERAL);
        cr_expect_eq(j.verdict, FFL_FAILED, "mistake %d", (int)list[i].mistake);
        cr_expect(strstr(j.reason, list[i].hint), "mistake %d: %s", (int)list[i].mistake, j.reason);
    }
    free_scene(&s);
}

Test(choices, each_mistake_fails_and_is_named)
{
    static const wrong leaf[] = {{ALL_TURNS, ", as if gate 0 had turned "},
                                 {NEIGHBOUR, "alone gives, not leaf"},
                                 {BIAS_OF_NEXT, "row"}};
    static const wrong one[] = {{NEIGHBOUR, "alone gives, not expert"},
                                {SECOND_BEST, "alone gives, not expert"},
                                {OF_ALL, "with shares of all experts' sum"}};
    static const wrong two[] = {{SECOND_BEST, "give, not experts"},
                                {REVERSED, "with their shares in reverse"},
                                {UNWEIGHTED, "each with a share of 1"},
                                {OF_ALL, "with shares of all experts' sum"},
                                {BIAS_WHOLE, "row"}};
    expect_caught(leaf_of(5, 3), leaf, sizeof leaf / sizeof *leaf);
    expect_caught(mixture_of(9, 3, 1), one, sizeof one / sizeof *one);
    expect_caught(mixture_of(9, 3, 2), two, sizeof two / sizeof *two);
}

/* Makes the gate's logit of this token `wanted`. */
static void plant(scene *s, size_t gate, size_t token, double wanted)
{
    const size_t n = s->weights.layer.width_in;
    s->weights.b_gate[gate] =
        (float)(wanted - ffl_reference_dot(s->x + token * n, s->weights.w_gate + gate * n, n));
}

Test(choices, a_gate_next_to_zero_opens_both_subtrees)
{
    scene s = new_scene(leaf_of(4, 3), true, 1);
    plant(&s, 0, 0, 0x1p-26);
    cr_expect_eq(judged(&s, RIGHT, FFL_DATA_GENERAL).verdict, FFL_PASSED);
    /* The other subtree's output, of an honest walk that turned at the root: negate the gate. */
    for (size_t i = 0; i < 40; i++)
        s.weights.w_gate[i] = -s.weights.w_gate[i];
    s.weights.b_gate[0] = -s.weights.b_gate[0];
    judged(&s, RIGHT, FFL_DATA_GENERAL);
    for (size_t i = 0; i < 40; i++)
        s.weights.w_gate[i] = -s.weights.w_gate[i];
    s.weights.b_gate[0] = -s.weights.b_gate[0];
    static const ffl_contract f32 = FFL_CONTRACT_F32;
    ffl_judgement j = judge_scene(&s, &f32, FFL_DATA_GENERAL, NULL);
    cr_expect(j.verdict == FFL_PASSED && j.flips == 1 && j.flip_margin < 1, "%s", j.reason);
    cr_expect_eq(judge_scene(&s, &f32, FFL_DATA_EXACT_LOGITS, NULL).verdict, FFL_FAILED);
    plant(&s, 0, 0, 1e-4);
    j = judge_scene(&s, &f32, FFL_DATA_GENERAL, NULL);
    cr_expect_eq(j.verdict, FFL_FAILED);
    free_scene(&s);
}

Test(choices, equal_gates_open_the_sets_of_either)
{
    static const ffl_contract f32 = FFL_CONTRACT_F32;
    for (size_t chosen = 1; chosen < 4; chosen++) {
        scene s = new_scene(mixture_of(6, 3, chosen), true, 1);
        for (size_t e = 0; e < 6; e++) /* 4 and 5 compete for the last place */
            plant(&s, e, 0, e < chosen - 1 ? 1 + (double)e / 8 : e > 3 ? 0.5 + 0x1p-25 * (double)e : -1);
        cr_expect_eq(judged(&s, RIGHT, FFL_DATA_GENERAL).verdict, FFL_PASSED);
        const float kept = s.weights.b_gate[5];
        s.weights.b_gate[5] -= 0.25f;
        judged(&s, RIGHT, FFL_DATA_GENERAL); /* takes 4 now */
        s.weights.b_gate[5] = kept;
        ffl_judgement j = judge_scene(&s, &f32, FFL_DATA_GENERAL, NULL);
        cr_expect(j.verdict == FFL_PASSED && j.flips == 1 && j.flip_margin < 1, "%zu: %s", chosen, j.reason);
        cr_expect_eq(judge_scene(&s, &f32, FFL_DATA_EXACT_LOGITS, NULL).verdict, FFL_FAILED);
        s.weights.b_gate[5] += 1e-4f;
        cr_expect_eq(judge_scene(&s, &f32, FFL_DATA_GENERAL, NULL).verdict, FFL_FAILED);
        free_scene(&s);
    }
}

/* The sum of the bounds of the gates that decide about token 0: one of a leaf tree, two of a mixture. */
static void bounds_of_gates(const scene *s, double *statistical, double *worst)
{
    static const ffl_contract f32 = FFL_CONTRACT_F32;
    const ffl_arithmetic a = ffl_arithmetic_new(&s->weights.layer, &f32, FFL_DATA_GENERAL);
    ffl_experts e;
    *statistical = *worst = 0;
    cr_assert_eq(ffl_experts_new(&s->weights.layer, &a, &e), FFL_OK);
    cr_assert_eq(ffl_experts_row(&e, s->x), FFL_OK);
    for (size_t g = 0; g < s->weights.layer.gates; g++) {
        const ffl_node gate = ffl_experts_gate(&e, g);
        *statistical += gate.statistical;
        *worst += gate.worst;
    }
    ffl_experts_free(&e);
}

Test(choices, a_choice_open_in_the_worst_case_alone_is_suspect)
{
    ffl_layer shapes[2]; /* wide: the two bounds lie apart */
    cr_assert_eq(ffl_layer_leaf(2000, 9, 1, 3, &shapes[0]), FFL_OK);
    cr_assert_eq(ffl_layer_moe(2000, 9, 2, 3, 1, &shapes[1]), FFL_OK);
    for (size_t i = 0; i < 2; i++) {
        scene s = new_scene(shapes[i], true, 1);
        const size_t gate = shapes[i].gates - 1;
        double statistical, worst, away[] = {0, 0, 0};
        static const ffl_verdict due[] = {FFL_PASSED, FFL_SUSPECT, FFL_FAILED};
        plant(&s, 0, 0, 0); /* a mixture's other gate is moved beside this one */
        for (size_t k = 0; k < 3; k++) {
            plant(&s, gate, 0, away[k]);
            bounds_of_gates(&s, &statistical, &worst);
            cr_assert(statistical < 0.5 * worst);
            away[0] = 0.5 * statistical, away[1] = 0.5 * (statistical + worst), away[2] = 1.5 * worst;
            plant(&s, gate, 0, away[k]);
            const ffl_judgement right = judged(&s, RIGHT, FFL_DATA_GENERAL);
            cr_expect_eq(right.verdict, FFL_PASSED, "%s", right.reason);
            const ffl_judgement j = judged(&s, i == 0 ? ALL_TURNS : NEIGHBOUR, FFL_DATA_GENERAL);
            const bool took_other = right.flips == 0; /* else the mistake is the reference's own choice */
            cr_expect_eq(j.verdict, took_other ? due[k] : FFL_PASSED, "shape %zu, %zu: %s", i, k, j.reason);
            cr_expect(k == 0 || took_other);
        }
        free_scene(&s);
    }
}

Test(choices, between_the_bounds_of_a_choice_is_suspect)
{
    static const ffl_contract f32 = FFL_CONTRACT_F32;
    const ffl_layer shapes[] = {leaf_of(3, 200), mixture_of(6, 200, 1), mixture_of(6, 200, 2)};
    for (size_t i = 0; i < 3; i++) {
        scene s = new_scene(shapes[i], true, 2);
        judged(&s, RIGHT, FFL_DATA_GENERAL);
        const float exact = s.y[12];
        s.y[12] = exact + 0x1p-12f;
        ffl_judgement j = judge_scene(&s, &f32, FFL_DATA_GENERAL, NULL);
        s.y[12] = exact + (float)(0x1p-12 * 0.5 / j.error_worst);
        j = judge_scene(&s, &f32, FFL_DATA_GENERAL, NULL);
        cr_expect(j.verdict == FFL_SUSPECT && j.suspect_rows == 1, "shape %zu: %s", i, j.reason);
        cr_expect(strstr(j.reason, "row 1 element 3"), "%s", j.reason);
        cr_expect_eq(judge_scene(&s, &f32, FFL_DATA_EQUAL_PRODUCTS, NULL).verdict, FFL_PASSED);
        s.y[12] = exact + (float)(0x1p-12 * 4 / j.error_worst);
        cr_expect_eq(judge_scene(&s, &f32, FFL_DATA_EQUAL_PRODUCTS, NULL).verdict, FFL_FAILED);
        free_scene(&s);
    }
}

Test(choices, exact_ties_go_left_and_to_the_lower_index)
{
    ffl_layer shapes[] = {leaf_of(3, 2), mixture_of(8, 2, 1), mixture_of(8, 2, 2)};
    for (size_t i = 0; i < 3; i++) {
        scene s = new_scene(shapes[i], true, 3);
        memset(s.weights.w_gate, 0, s.weights.layer.gates * 40 * sizeof(float));
        memset(s.weights.b_gate, 0, s.weights.layer.gates * sizeof(float));
        cr_expect_eq(judged(&s, RIGHT, FFL_DATA_GENERAL).verdict, FFL_PASSED);
        cr_expect_eq(judged(&s, TIE, FFL_DATA_GENERAL).verdict, FFL_FAILED, "shape %zu", i);
        free_scene(&s);
    }
}

Test(choices, too_many_open_sets_are_weak_but_not_everything_passes)
{
    scene s = new_scene(mixture_of(40, 2, 6), true, 1);
    for (size_t e = 0; e < 40; e++) /* C(40, 6) = 3.8 million sets */
        s.weights.b_gate[e] = 0.5f + 0x1p-24f * (float)(e % 3);
    memset(s.weights.w_gate, 0, 40 * 40 * sizeof(float));
    ffl_judgement j = judged(&s, RIGHT, FFL_DATA_GENERAL);
    cr_expect(j.verdict == FFL_PASSED && !j.weak, "the reference's own choice needs no search");
    j = judged(&s, TIE, FFL_DATA_GENERAL);
    cr_expect(j.verdict == FFL_PASSED && j.weak && strstr(j.reason, "more than 4096 choices"), "%s",
              j.reason);
    j = judged(&s, UNWEIGHTED, FFL_DATA_GENERAL);
    cr_expect_eq(j.verdict, FFL_FAILED, "no mean of experts reaches their sum");
    free_scene(&s);
}

/* Gates of any size: shares are bounded by 0 and 1, and nothing becomes NaN. */
Test(choices, huge_and_denormal_rows_are_judged)
{
    scene s = new_scene(mixture_of(6, 3, 3), true, 3);
    for (size_t i = 0; i < 40; i++) {
        s.x[i] *= 0x1p60f;
        s.x[40 + i] *= 0x1p-130f;
        s.x[80 + i] = i ? s.x[80 + i] : INFINITY;
    }
    ffl_judgement j = judged(&s, RIGHT, FFL_DATA_GENERAL);
    cr_expect(j.verdict == FFL_PASSED && j.rows == 2 && j.unbounded_rows == 1, "%s", j.reason);
    s.y[0] *= 1.001f;
    static const ffl_contract f32 = FFL_CONTRACT_F32;
    cr_expect_eq(judge_scene(&s, &f32, FFL_DATA_GENERAL, NULL).verdict, FFL_FAILED);
    free_scene(&s);
}

typedef struct narrow {
    ffl_type input, weights;
    ffl_scale scale;
} narrow;

static float rounded(ffl_type type, float v, float step)
{
    return type == FFL_F32    ? v
           : type == FFL_INT8 ? ffl_round_step(v, step)
                              : ffl_round_bits(v, type == FFL_BF16 ? 8 : 11);
}

/* Rows of a tensor, each with its own step or all with one. */
static void round_rows(float *v, size_t rows, size_t width, ffl_type type, ffl_scale scale)
{
    const float whole = ffl_int8_step(v, rows * width);
    for (size_t r = 0; r < rows; r++, v += width) {
        const float step = scale == FFL_SCALE_TENSOR ? whole : ffl_int8_step(v, width);
        for (size_t i = 0; i < width; i++)
            v[i] = rounded(type, v[i], step);
    }
}

/* What an honest kernel of that type computes: the same rows on rounded weights and inputs. */
static void narrow_rows(scene *s, const narrow *n)
{
    const ffl_layer *l = &s->weights.layer;
    scene own = new_scene(*l, true, s->tokens);
    round_rows(own.weights.w_in, l->neurons, l->width_in, n->weights, n->scale);
    round_rows(own.weights.w_out, l->neurons, l->width_out, n->weights, n->scale);
    round_rows(own.weights.w_gate, l->gates, l->width_in, n->weights, n->scale);
    round_rows(own.x, s->tokens, l->width_in, n->input, FFL_SCALE_ROW);
    memset(s->y, 0, s->tokens * l->width_out * sizeof *s->y);
    for (size_t t = 0; t < s->tokens; t++)
        (l->operation == FFL_MOE ? mixture_row : leaf_row)(&own.weights.layer, own.x + t * l->width_in, RIGHT,
                                                           s->y + t * l->width_out);
    free_scene(&own);
}

/* Gates and experts are multiplied in the contract's types; what f32 would not earn, these do. */
Test(choices, narrow_contracts_bound_gates_and_experts)
{
    static const narrow kinds[] = {
        {FFL_BF16, FFL_BF16, FFL_SCALE_NONE},  {FFL_F32, FFL_BF16, FFL_SCALE_NONE},
        {FFL_TF32, FFL_TF32, FFL_SCALE_NONE},  {FFL_F32, FFL_INT8, FFL_SCALE_ROW},
        {FFL_F32, FFL_INT8, FFL_SCALE_TENSOR}, {FFL_INT8, FFL_INT8, FFL_SCALE_ROW}};
    const ffl_layer shapes[] = {leaf_of(5, 3), mixture_of(12, 4, 1), mixture_of(12, 4, 2),
                                mixture_of(8, 3, 8)};
    size_t flips = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t i = 0; i < 4; i++) {
            ffl_contract contract = FFL_CONTRACT_F32;
            contract.input = kinds[k].input;
            contract.weights = kinds[k].weights;
            contract.weight_scale = kinds[k].scale;
            scene s = new_scene(shapes[i], true, 300);
            narrow_rows(&s, &kinds[k]);
            ffl_judgement j = judge_scene(&s, &contract, FFL_DATA_GENERAL, NULL);
            cr_expect(j.verdict == FFL_PASSED && !j.weak && j.error_statistical > 0.02,
                      "kind %zu, shape %zu: %s", k, i, j.reason);
            flips += j.flips;
            const ffl_contract f32 = FFL_CONTRACT_F32;
            cr_expect_eq(judge_scene(&s, &f32, FFL_DATA_GENERAL, NULL).verdict, FFL_FAILED,
                         "kind %zu, shape %zu", k, i);
            free_scene(&s);
        }
    cr_expect_gt(flips, 2, "%zu rows took another expert, and were seen to", flips);
}
