#include "harness/check/bounds.h"
#include "harness/workload/random.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include "tests/scene.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const simulation plain = {.contract = FFL_CONTRACT_F32, .lanes = 1};

/* Chooses the bias of the root of `tree` such that token 1 has z = factor · its bound there. */
static void plant(scene *s, size_t tree, double factor, bool worst)
{
    const ffl_layer *l = &s->weights.layer;
    const size_t root = tree * l->nodes;
    const float *x = s->x + l->width_in;
    const ffl_arithmetic a = ffl_arithmetic_new(l, &plain.contract, FFL_DATA_GENERAL);
    const ffl_input input = ffl_input_new(&a, x);
    const double dot = ffl_reference_dot(x, l->w_in + root * l->width_in, l->width_in);
    s->weights.b_in[root] = (float)-dot;
    const ffl_node node = ffl_node_new(&a, &input, root, 0);
    s->weights.b_in[root] = (float)(factor * (worst ? node.worst : node.statistical) - dot);
}

static ffl_judgement flipped(scene *s, const bool *flip)
{
    simulation how = plain;
    how.flaw = FLIPPED;
    how.flip = flip;
    return run_scene(s, &how, FFL_DATA_GENERAL);
}

Test(admissible, one_tree_may_take_the_other_child_within_its_bound)
{
    static const bool yes = true, no = false;
    scene s = new_tree_scene(64, 1, 6, 4);
    for (int sign = -1; sign <= 1; sign += 2) {
        plant(&s, 0, 0.5 * sign, false);
        ffl_judgement j = flipped(&s, &no);
        cr_assert(j.verdict == FFL_PASSED && j.flips == 0 && isnan(j.flip_margin), "%s", j.reason);
        j = flipped(&s, &yes);
        cr_assert(j.verdict == FFL_PASSED && j.flips == 1 && !j.weak, "%s", j.reason);
        cr_assert(j.flip_margin > 0.4 && j.flip_margin < 0.6 && j.error_statistical <= 1);

        plant(&s, 0, 1.6 * sign, false);
        j = flipped(&s, &yes);
        cr_assert(j.verdict == FFL_SUSPECT && j.suspect_rows == 1 && j.flips == 1, "%s", j.reason);
        cr_assert(j.flip_margin > 1.4 && j.flip_margin < 1.8);

        plant(&s, 0, 1.5 * sign, true);
        j = flipped(&s, &yes);
        cr_assert(j.verdict == FFL_FAILED && j.failed_rows == 1 && j.flips == 0);
        cr_assert(strstr(j.reason, "node 0 of tree 0"), "%s", j.reason);
    }
    free_scene(&s);
}

Test(admissible, an_open_branch_excuses_no_other_error)
{
    static const bool yes = true;
    scene s = new_tree_scene(64, 1, 6, 4);
    plant(&s, 0, 0.5, false);
    flipped(&s, &yes);
    s.y[64 + 63] += 1e-3f;
    ffl_judgement j = judge_scene(&s, &plain.contract, FFL_DATA_GENERAL, NULL);
    cr_assert_eq(j.verdict, FFL_FAILED);
    s.y[64 + 63] = INFINITY;
    j = judge_scene(&s, &plain.contract, FFL_DATA_GENERAL, NULL);
    cr_assert(j.verdict == FFL_FAILED && isinf(j.error_statistical));
    free_scene(&s);
}

Test(admissible, several_trees_flip_in_any_combination)
{
    enum { TREES = 5 };
    bool flip[TREES];
    scene s = new_tree_scene(32, TREES, 4, 3);
    for (size_t t = 0; t < TREES; t++)
        plant(&s, t, t % 2 ? -0.5 : 0.5, false);
    for (unsigned mask = 0; mask < 1u << TREES; mask++) {
        for (size_t t = 0; t < TREES; t++)
            flip[t] = (mask >> t) & 1;
        const ffl_judgement j = flipped(&s, flip);
        cr_assert(j.verdict == FFL_PASSED && !j.weak && j.flips == (mask != 0), "%x: %s", mask, j.reason);
    }
    /* One of them beyond its bound: then its flip fails, whatever the others do. */
    plant(&s, 3, 1.5, true);
    memset(flip, true, sizeof flip);
    cr_assert_eq(flipped(&s, flip).verdict, FFL_FAILED);
    flip[3] = false;
    cr_assert_eq(flipped(&s, flip).verdict, FFL_PASSED);
    free_scene(&s);
}

Test(admissible, least_squares_finds_the_combination_among_a_trillion)
{
    enum { TREES = 40, OPEN = 38 };
    bool flip[TREES] = {false};
    scene s = new_tree_scene(128, TREES, 3, 2);
    ffl_random random = ffl_random_new(3, 0);
    for (size_t t = 0; t < TREES; t++)
        plant(&s, t, t < OPEN ? 0.4 : 1.5, t >= OPEN);
    for (int round = 0; round < 10; round++) {
        for (size_t t = 0; t < OPEN; t++)
            flip[t] = ffl_random_below(&random, 2);
        flip[TREES - 1] = false;
        ffl_judgement j = flipped(&s, flip);
        cr_assert(j.verdict == FFL_PASSED && !j.weak && j.flips == 1, "%s", j.reason);
        flip[TREES - 1] = true;
        j = flipped(&s, flip);
        cr_assert(j.verdict == FFL_FAILED && !j.weak, "%s", j.reason);
    }
    free_scene(&s);
}

/* width_out 1: one equation for all trees. */
static scene narrow_scene(size_t trees)
{
    ffl_layer shape;
    cr_assert_eq(ffl_layer_fff(48, 1, trees, 3, &shape), FFL_OK);
    scene s = new_scene(shape, false, 2);
    for (size_t t = 0; t < trees; t++)
        plant(&s, t, 0.3, false);
    return s;
}

Test(admissible, fewer_outputs_than_alternatives_are_enumerated)
{
    enum { TREES = 8 };
    bool flip[TREES] = {false, true, true, false, true, true, false, false};
    scene s = narrow_scene(TREES);
    ffl_judgement j = flipped(&s, flip);
    cr_assert(j.verdict == FFL_PASSED && !j.weak && j.flips == 1, "%s", j.reason);
    s.y[1] += 3e-3f;
    j = judge_scene(&s, &plain.contract, FFL_DATA_GENERAL, NULL);
    cr_assert(j.verdict == FFL_FAILED && !j.weak, "%s", j.reason);
    free_scene(&s);
}

/* The nodes that the simulated kernel visits: the reference path, flipped at the marked roots in token 1. */
static void trace_of(const scene *s, const bool *flip, int32_t *trace)
{
    const ffl_layer *l = &s->weights.layer;
    for (size_t t = 0; t < s->tokens; t++)
        for (size_t tree = 0; tree < l->trees; tree++) {
            size_t node = 0;
            for (size_t level = 0; level < l->levels; level++) {
                const float z = simulate_logit(&plain, l, s->x + t * l->width_in, tree * l->nodes + node);
                *trace++ = (int32_t)node;
                node = 2 * node + 1 + ((z > 0) != (t == 1 && level == 0 && flip[tree]));
            }
        }
}

Test(admissible, what_cannot_be_told_apart_is_weak_unless_traced)
{
    enum { TREES = 30 };
    bool flip[TREES];
    int32_t trace[2 * TREES * 3];
    for (size_t t = 0; t < TREES; t++)
        flip[t] = t % 3 != 1;
    scene s = narrow_scene(TREES);
    ffl_judgement j = flipped(&s, flip);
    cr_assert(j.verdict == FFL_PASSED && j.weak, "%s: %s", ffl_verdict_name(j.verdict), j.reason);
    cr_assert(strstr(j.reason, "30 alternative paths"), "%s", j.reason);

    trace_of(&s, flip, trace);
    j = judge_scene(&s, &plain.contract, FFL_DATA_GENERAL, trace);
    cr_assert(j.verdict == FFL_PASSED && !j.weak && j.flips == 1, "%s", j.reason);

    /* A trace that does not lead to this output, one that leaves the tree, one that turns the wrong way. */
    flip[0] = !flip[0];
    trace_of(&s, flip, trace);
    j = judge_scene(&s, &plain.contract, FFL_DATA_GENERAL, trace);
    cr_assert(j.verdict == FFL_FAILED && strstr(j.reason, "its own trace"), "%s", j.reason);
    trace[TREES * 3 + 1] = 1000000;
    j = judge_scene(&s, &plain.contract, FFL_DATA_GENERAL, trace);
    cr_assert(j.verdict == FFL_FAILED && strstr(j.reason, "no child"), "%s", j.reason);
    trace[TREES * 3] = -5;
    j = judge_scene(&s, &plain.contract, FFL_DATA_GENERAL, trace);
    cr_assert(j.verdict == FFL_FAILED && strstr(j.reason, "root"), "%s", j.reason);
    flip[0] = !flip[0];
    trace_of(&s, flip, trace);
    const size_t last = TREES * 3 + 2;
    trace[last] = trace[last] % 2 ? trace[last] + 1 : trace[last] - 1;
    j = judge_scene(&s, &plain.contract, FFL_DATA_GENERAL, trace);
    cr_assert(j.verdict == FFL_FAILED && strstr(j.reason, "turns the wrong way"), "%s", j.reason);

    /* Farther off than all flips together could take it. */
    s.y[1] = 100;
    j = judge_scene(&s, &plain.contract, FFL_DATA_GENERAL, NULL);
    cr_assert(j.verdict == FFL_FAILED && !j.weak, "%s", j.reason);
    free_scene(&s);
}

Test(admissible, only_the_other_rows_of_a_flipped_kernel_are_untouched)
{
    static const bool yes = true;
    scene s = new_tree_scene(64, 1, 6, 40);
    plant(&s, 0, 1.5, true);
    const ffl_judgement j = flipped(&s, &yes);
    cr_assert(j.rows == 40 && j.failed_rows == 1 && strstr(j.reason, "row 1 "));
    free_scene(&s);
}
