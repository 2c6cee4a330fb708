#include "harness/check/judge.h"
#include "harness/workload/random.h"
#include "harness/workload/weights.h"
#include "kernels/memory.h"
#include "tests/simulate.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

typedef struct scene {
    ffl_weights weights;
    const ffl_layer *layer;
    size_t tokens;
    float *x, *y;
} scene;

static scene new_scene(ffl_layer shape, bool output_bias, size_t tokens)
{
    scene s = {.tokens = tokens};
    cr_assert_eq(ffl_weights_new(&shape, output_bias, &s.weights), FFL_OK);
    ffl_weights_randomise(&s.weights, 11);
    s.x = ffl_alloc_array(tokens * shape.width_in, sizeof *s.x);
    s.y = ffl_alloc_array(tokens * shape.width_out, sizeof *s.y);
    ffl_random random = ffl_random_new(5, 0);
    for (size_t i = 0; i < tokens * shape.width_in; i++)
        s.x[i] = (float)ffl_random_normal(&random);
    return s;
}

static scene new_tree_scene(size_t width, size_t trees, size_t levels, size_t tokens)
{
    ffl_layer shape;
    cr_assert_eq(ffl_layer_fff(width, width, trees, levels, &shape), FFL_OK);
    return new_scene(shape, false, tokens);
}

static void free_scene(scene *s)
{
    ffl_weights_free(&s->weights);
    ffl_free(s->x);
    ffl_free(s->y);
}

static ffl_judgement judge_scene(scene *s, const ffl_contract *contract, ffl_data data, const int32_t *trace)
{
    ffl_judge *judge;
    ffl_judgement result;
    s->layer = &s->weights.layer;
    const ffl_layer *l = s->layer;
    cr_assert_eq(ffl_judge_new(l, contract, data, s->x, l->width_in, s->tokens, NULL, 0, &judge), FFL_OK);
    cr_assert_eq(ffl_judge_rows(judge, s->y, l->width_out, trace, &result), FFL_OK);
    ffl_judge_free(judge);
    return result;
}

static ffl_judgement run_scene(scene *s, const simulation *how, ffl_data data)
{
    /* Plausible old values, which a kernel that forgets a row leaves behind. */
    for (size_t i = 0; i < s->tokens * s->weights.layer.width_out; i++)
        s->y[i] = 0.5f;
    simulate(how, &s->weights.layer, s->x, s->y, s->tokens);
    return judge_scene(s, &how->contract, data, NULL);
}

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
