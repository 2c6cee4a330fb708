#include "tests/scene.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const simulation plain = {.contract = FFL_CONTRACT_F32, .lanes = 1};

Test(judge, names_every_verdict)
{
    for (int v = 0; v < FFL_VERDICT_COUNT; v++)
        cr_assert_gt(strlen(ffl_verdict_name((ffl_verdict)v)), 0);
    cr_assert_str_eq(ffl_verdict_name(FFL_UNSUPPORTED_HERE), "UNSUPPORTED");
}

Test(judge, passes_an_honest_kernel_and_catches_each_flaw)
{
    static const flaw flaws[] = {LAST_LEVEL_DROPPED, MIRRORED,    STALE, TANH_GELU, NO_BIAS,
                                 NAN_ELEMENT,        SLIGHTLY_OFF};
    for (size_t trees = 1; trees <= 3; trees += 2) {
        scene s = new_tree_scene(64, trees, 6, 5);
        simulation how = plain;
        ffl_judgement j = run_scene(&s, &how, FFL_DATA_GENERAL);
        cr_assert_eq(j.verdict, FFL_PASSED, "%s", j.reason);
        cr_assert_eq(j.rows, 5);
        cr_assert(j.error_statistical > 0 && j.error_statistical < 1 && j.error_worst < j.error_statistical);
        for (size_t f = 0; f < sizeof flaws / sizeof *flaws; f++) {
            how.flaw = flaws[f];
            j = run_scene(&s, &how, FFL_DATA_GENERAL);
            cr_assert_eq(j.verdict, FFL_FAILED, "flaw %d, %zu trees: %s", (int)flaws[f], trees,
                         ffl_verdict_name(j.verdict));
            cr_assert_gt(j.failed_rows, 0);
            cr_assert_gt(strlen(j.reason), 0);
        }
        free_scene(&s);
    }
}

Test(judge, catches_flaws_of_a_dense_kernel)
{
    static const flaw flaws[] = {STALE, TANH_GELU, NO_BIAS, NAN_ELEMENT, SLIGHTLY_OFF};
    ffl_layer shape;
    cr_assert_eq(ffl_layer_ff(33, 17, 101, &shape), FFL_OK);
    for (int bias = 0; bias < 2; bias++) {
        scene s = new_scene(shape, bias, 7);
        simulation how = plain;
        ffl_judgement j = run_scene(&s, &how, FFL_DATA_GENERAL);
        cr_assert_eq(j.verdict, FFL_PASSED, "%s", j.reason);
        for (size_t f = 0; f < sizeof flaws / sizeof *flaws; f++) {
            how.flaw = flaws[f];
            j = run_scene(&s, &how, FFL_DATA_GENERAL);
            cr_assert_eq(j.verdict, FFL_FAILED, "flaw %d", (int)flaws[f]);
        }
        free_scene(&s);
    }
}

Test(judge, exact_data_is_compared_bit_by_bit)
{
    ffl_layer shape;
    cr_assert_eq(ffl_layer_fff(2, 2, 1, 2, &shape), FFL_OK);
    scene s = new_scene(shape, false, 2);
    static const float w_in[] = {16, 16, 32, 0, 0, -32}, w_out[] = {1, -1, 2, 0, 0, 4}, x[] = {1, -1, 2, 1};
    memcpy(s.weights.w_in, w_in, sizeof w_in);
    memcpy(s.weights.w_out, w_out, sizeof w_out);
    memset(s.weights.b_in, 0, 3 * sizeof(float));
    memcpy(s.x, x, sizeof x);
    ffl_judgement j = run_scene(&s, &plain, FFL_DATA_EXACT);
    cr_assert_eq(j.verdict, FFL_PASSED, "%s", j.reason);
    cr_assert(isnan(j.error_statistical) && isnan(j.error_worst));
    /* Token 0 ties at the root (16 - 16): left, 64 in output 0, and a zero of any sign in output 1. */
    cr_assert_eq(s.y[0], 64.0f);
    s.y[1] = -0.0f;
    cr_assert_eq(judge_scene(&s, &plain.contract, FFL_DATA_EXACT, NULL).verdict, FFL_PASSED);
    s.y[0] = nextafterf(s.y[0], 0);
    cr_assert_eq(judge_scene(&s, &plain.contract, FFL_DATA_GENERAL, NULL).verdict, FFL_PASSED);
    cr_assert_eq(judge_scene(&s, &plain.contract, FFL_DATA_EXACT, NULL).verdict, FFL_FAILED);
    s.y[0] = NAN;
    cr_assert_eq(judge_scene(&s, &plain.contract, FFL_DATA_EXACT, NULL).verdict, FFL_FAILED);
    /* The tie rule: products that cancel may be rounded in general, but not when logits are exact. */
    simulation right = plain;
    right.flaw = TIE_GOES_RIGHT;
    cr_assert_eq(run_scene(&s, &right, FFL_DATA_EXACT).verdict, FFL_FAILED);
    j = run_scene(&s, &right, FFL_DATA_EXACT_LOGITS);
    cr_assert_eq(j.verdict, FFL_FAILED);
    cr_assert(strstr(j.reason, "goes right at node 0 of tree 0"), "%s", j.reason);
    j = run_scene(&s, &right, FFL_DATA_GENERAL);
    cr_assert_eq(j.verdict, FFL_PASSED);
    cr_assert_eq(j.flips, 1);
    free_scene(&s);
}

Test(judge, a_logit_of_nothing_but_zeros_is_a_tie)
{
    scene s = new_tree_scene(16, 1, 4, 3);
    memset(s.weights.w_in, 0, 16 * sizeof(float));
    s.weights.b_in[0] = 0;
    simulation how = plain;
    cr_assert_eq(run_scene(&s, &how, FFL_DATA_GENERAL).verdict, FFL_PASSED);
    how.flaw = TIE_GOES_RIGHT;
    cr_assert_eq(run_scene(&s, &how, FFL_DATA_GENERAL).verdict, FFL_FAILED);
    free_scene(&s);
}

Test(judge, between_the_bounds_is_suspect_unless_products_are_equal)
{
    ffl_layer shapes[2];
    cr_assert_eq(ffl_layer_ff(200, 9, 300, &shapes[0]), FFL_OK);
    cr_assert_eq(ffl_layer_fff(200, 9, 2, 4, &shapes[1]), FFL_OK);
    for (size_t f = 0; f < 2; f++) {
        scene s = new_scene(shapes[f], false, 3);
        run_scene(&s, &plain, FFL_DATA_GENERAL);
        /* An error of known size, once as probe, then scaled to half of the worst-case bound. */
        const float exact = s.y[12];
        s.y[12] = exact + 0x1p-12f;
        ffl_judgement j = judge_scene(&s, &plain.contract, FFL_DATA_GENERAL, NULL);
        s.y[12] = exact + (float)(0x1p-12 * 0.5 / j.error_worst);
        j = judge_scene(&s, &plain.contract, FFL_DATA_GENERAL, NULL);
        cr_assert_eq(j.verdict, FFL_SUSPECT, "%s", j.reason);
        cr_assert(j.suspect_rows == 1 && j.failed_rows == 0 && j.error_statistical > 1 && j.error_worst < 1);
        cr_assert(strstr(j.reason, "row 1 element 3"), "%s", j.reason);
        j = judge_scene(&s, &plain.contract, FFL_DATA_EQUAL_PRODUCTS, NULL);
        cr_assert_eq(j.verdict, FFL_PASSED, "%s", j.reason);
        s.y[12] = exact + (float)(0x1p-12 * 4 / j.error_worst);
        cr_assert_eq(judge_scene(&s, &plain.contract, FFL_DATA_EQUAL_PRODUCTS, NULL).verdict, FFL_FAILED);
        free_scene(&s);
    }
}

Test(judge, rows_without_a_bound_are_counted_not_judged)
{
    for (int operation = 0; operation < 2; operation++) {
        ffl_layer shape;
        cr_assert_eq(operation ? ffl_layer_fff(32, 8, 1, 4, &shape) : ffl_layer_ff(32, 8, 15, &shape),
                     FFL_OK);
        scene s = new_scene(shape, false, 6);
        s.x[0] = NAN;
        s.x[32 + 31] = -INFINITY;
        for (size_t i = 64; i < 96; i++) {
            s.x[i] *= 3e38f / 4;
            s.x[i + 32] *= 1e-41f;
        }
        ffl_judgement j = run_scene(&s, &plain, FFL_DATA_GENERAL);
        cr_assert_eq(j.verdict, FFL_PASSED, "%s", j.reason);
        cr_assert(j.unbounded_rows == 3 && j.rows == 3 && !j.weak);
        s.y[0] = 7;
        s.y[3 * 8 + 7] += 0.01f; /* the denormal row is judged */
        j = judge_scene(&s, &plain.contract, FFL_DATA_GENERAL, NULL);
        cr_assert_eq(j.failed_rows, 1);
        s.tokens = 3;
        j = judge_scene(&s, &plain.contract, FFL_DATA_GENERAL, NULL);
        cr_assert(j.verdict == FFL_PASSED && j.weak && j.rows == 0);
        free_scene(&s);
    }
}

Test(judge, only_the_rows_asked_for_are_judged)
{
    scene s = new_tree_scene(24, 1, 5, 40);
    const ffl_layer *l = &s.weights.layer;
    simulate(&plain, l, s.x, s.y, s.tokens);
    s.y[7 * 24] = 9;
    static const size_t without[] = {0, 39, 12}, with[] = {39, 7}, beyond[] = {40};
    ffl_judge *judge;
    ffl_judgement j;
    cr_assert_eq(ffl_judge_new(l, &plain.contract, FFL_DATA_GENERAL, s.x, 24, 40, without, 3, &judge),
                 FFL_OK);
    cr_assert_eq(ffl_judge_rows(judge, s.y, 24, NULL, &j), FFL_OK);
    cr_assert(j.verdict == FFL_PASSED && j.rows == 3);
    ffl_judge_free(judge);
    cr_assert_eq(ffl_judge_new(l, &plain.contract, FFL_DATA_GENERAL, s.x, 24, 40, with, 2, &judge), FFL_OK);
    cr_assert_eq(ffl_judge_rows(judge, s.y, 24, NULL, &j), FFL_OK);
    cr_assert(j.verdict == FFL_FAILED && j.failed_rows == 1 && strstr(j.reason, "row 7 element 0"));
    ffl_judge_free(judge);
    cr_assert_eq(ffl_judge_new(l, &plain.contract, FFL_DATA_GENERAL, s.x, 24, 40, beyond, 1, &judge),
                 FFL_INTERNAL);
    free_scene(&s);
}

Test(judge, says_what_explains_a_failed_row)
{
    static const struct {
        flaw flaw;
        const char *hint;
    } hints[] = {{LAST_LEVEL_DROPPED, "without its last level"}, {MIRRORED, "the wrong way at every node"}};
    scene s = new_tree_scene(64, 2, 5, 3);
    simulation how = plain;
    for (size_t h = 0; h < 2; h++) {
        how.flaw = hints[h].flaw;
        const ffl_judgement j = run_scene(&s, &how, FFL_DATA_GENERAL);
        cr_assert(strstr(j.reason, hints[h].hint), "%s", j.reason);
    }
    how.flaw = NO_FLAW;
    run_scene(&s, &how, FFL_DATA_GENERAL);
    memcpy(s.y + 64, s.y + 128, 64 * sizeof(float));
    const ffl_judgement j = judge_scene(&s, &plain.contract, FFL_DATA_GENERAL, NULL);
    cr_assert(j.verdict == FFL_FAILED && strstr(j.reason, "the output of row 2"), "%s", j.reason);
    free_scene(&s);
}
