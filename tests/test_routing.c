#include "harness/files/npy.h"
#include "harness/workload/impose.h"
#include "harness/workload/leaves.h"
#include "harness/workload/routing.h"
#include "harness/workload/weights.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static ffl_weights tree_weights(size_t width, size_t trees, size_t depth)
{
    ffl_layer shape;
    ffl_weights weights;
    cr_assert_eq(ffl_layer_fff(width, 3, trees, ffl_levels_from_depth(depth), &shape), FFL_OK);
    cr_assert_eq(ffl_weights_new(&shape, false, &weights), FFL_OK);
    ffl_weights_randomise(&weights, 5);
    return weights;
}

static ffl_routing parsed(const char *text)
{
    ffl_routing routing;
    cr_assert_eq(ffl_routing_parse(text, &routing), FFL_OK, "%s: %s", text, ffl_error());
    return routing;
}

/* Tokens that did not reach the leaf they were meant to, by the double reference walk. */
static size_t count_missed(const ffl_layer *l, const ffl_leaves *leaves, const float *x, size_t ldx,
                           size_t tokens)
{
    const size_t depth = l->levels - 1;
    double *y = ffl_alloc_array(tokens * l->width_out, sizeof *y);
    int32_t *path = ffl_alloc_array(tokens * l->trees * l->levels, sizeof *path);
    uint32_t *leaf = ffl_alloc_array(l->trees, sizeof *leaf);
    size_t missed = 0;
    cr_assert_eq(ffl_reference_walk(l, x, ldx, tokens, y, NULL, path), FFL_OK);
    for (size_t t = 0; t < tokens; t++) {
        ffl_leaves_of(leaves, t, leaf);
        for (size_t i = 0; i < l->trees * l->levels; i++)
            missed += (size_t)path[t * l->trees * l->levels + i] !=
                      ffl_leaf_ancestor(leaf[i / l->levels], depth, i % l->levels);
    }
    ffl_free(y), ffl_free(path), ffl_free(leaf);
    return missed;
}

Test(routing, every_tree_is_told_by_itself)
{
    enum { TOKENS = 200, TREES = 3, DEPTH = 4, LEAVES = 1 << DEPTH, WIDTH = 40 };
    ffl_weights w = tree_weights(WIDTH, TREES, DEPTH);
    const ffl_layer *l = &w.layer;
    const ffl_routing routing = parsed("zipf:1");
    ffl_routing_report report, again;
    ffl_tree_routing trees[TREES];
    uint32_t visits[TREES * LEAVES], walked[TREES * LEAVES] = {0};
    float *x = ffl_alloc_array(TOKENS * WIDTH, sizeof *x);
    double *y = ffl_alloc_array(TOKENS * l->width_out, sizeof *y);
    int32_t *path = ffl_alloc_array(TOKENS * TREES * l->levels, sizeof *path);
    cr_assert_eq(ffl_routing_inputs(l, &routing, 3, x, WIDTH, TOKENS, &again), FFL_OK);
    cr_assert_eq(ffl_routing_measure_trees(l, x, WIDTH, TOKENS, &report, trees, visits), FFL_OK);
    cr_assert_eq(ffl_reference_walk(l, x, WIDTH, TOKENS, y, NULL, path), FFL_OK);
    for (size_t t = 0; t < TOKENS * TREES; t++)
        walked[t % TREES * LEAVES + (size_t)path[(t + 1) * l->levels - 1] - (LEAVES - 1)]++;
    cr_assert_arr_eq(visits, walked, sizeof visits);
    double leaves = 0, entropy = 0, top1 = 0;
    for (size_t i = 0; i < TREES; i++) {
        uint32_t most = 0;
        size_t distinct = 0;
        for (size_t k = 0; k < LEAVES; k++) {
            most = walked[i * LEAVES + k] > most ? walked[i * LEAVES + k] : most;
            distinct += walked[i * LEAVES + k] > 0;
        }
        cr_assert_eq(trees[i].leaves, distinct);
        cr_assert(fabs(trees[i].top1 - (double)most / TOKENS) < 1e-12);
        leaves += (double)trees[i].leaves / TREES;
        entropy += trees[i].entropy / TREES;
        top1 += trees[i].top1 / TREES;
    }
    cr_assert(fabs(leaves - report.leaves_mean) < 1e-12 && fabs(entropy - report.entropy_mean) < 1e-12 &&
              fabs(top1 - report.top1_mean) < 1e-12);
    again.constructed = report.constructed;
    cr_assert(fabs(again.entropy_max - report.entropy_max) < 1e-12 &&
              fabs(again.unique_weight_bytes - report.unique_weight_bytes) < 0.5);
    ffl_free(x), ffl_free(y), ffl_free(path);
    ffl_weights_free(&w);
}

Test(routing, rows_reach_the_leaves_they_are_meant_to)
{
    static const size_t shapes[][3] = {/* width, trees, depth */
                                       {1, 1, 0},  {1, 1, 1},    {3, 1, 3},   {100, 3, 5},
                                       {67, 9, 7}, {768, 1, 11}, {96, 24, 4}, {5, 40, 0}};
    static const char *const names[] = {"uniform", "zipf:1", "single", "thrash"};
    enum { TOKENS = 130, PAD = 3 };
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const size_t width = shapes[s][0], ldx = width + PAD;
        ffl_weights w = tree_weights(width, shapes[s][1], shapes[s][2]);
        float *x = ffl_alloc_array(TOKENS * ldx, sizeof *x);
        for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
            const ffl_routing routing = parsed(names[n]);
            ffl_routing_report report;
            ffl_leaves leaves;
            for (size_t i = 0; i < TOKENS * ldx; i++)
                x[i] = 77;
            cr_assert_eq(ffl_routing_inputs(&w.layer, &routing, 11, x, ldx, TOKENS, &report), FFL_OK);
            cr_assert(report.constructed, "%zux%zu at %zu, %s", shapes[s][1], shapes[s][2], width, names[n]);
            cr_assert_eq(ffl_leaves_new(&w.layer, &routing, 11, &leaves), FFL_OK);
            cr_assert_eq(count_missed(&w.layer, &leaves, x, ldx, TOKENS), 0);
            cr_assert_geq(report.margin, 0.99 * (width == 3 ? FFL_IMPOSE_MARGIN_LAST : FFL_IMPOSE_MARGIN) /
                                             sqrt((double)width));
            for (size_t t = 0; t < TOKENS; t++)
                for (size_t k = width; k < ldx; k++)
                    cr_assert_eq(x[t * ldx + k], 77);
            ffl_leaves_free(&leaves);
        }
        ffl_free(x);
        ffl_weights_free(&w);
    }
}

/* The rows stay what unit-variance inputs look like, and the leaves are as the routing says. */
Test(routing, distributions_are_as_named_and_rows_stay_natural)
{
    enum { TOKENS = 4096, WIDTH = 192 };
    ffl_weights w = tree_weights(WIDTH, 2, 8);
    float *x = ffl_alloc_array(TOKENS * WIDTH, sizeof *x);
    ffl_routing_report uniform, single, thrash, zipf, prototypes;
    ffl_routing routing = parsed("uniform");
    ffl_routing_inputs(&w.layer, &routing, 1, x, WIDTH, TOKENS, &uniform);
    for (size_t t = 0; t < TOKENS; t++) {
        const double square = ffl_reference_dot(x + t * WIDTH, x + t * WIDTH, WIDTH) / WIDTH;
        cr_assert(square > 0.5 && square < 1.6, "mean square %g", square);
    }
    double mean = 0;
    for (size_t i = 0; i < TOKENS * WIDTH; i++)
        mean += (double)x[i] / (TOKENS * WIDTH);
    cr_assert_lt(fabs(mean), 0.01);
    cr_assert_gt(uniform.entropy_mean, 7.9);
    cr_assert_eq(uniform.leaves_mean, 256);
    cr_assert_eq(uniform.unique_weight_bytes, 2 * 511 * (WIDTH + 1 + 3) * 4);

    routing = parsed("single");
    ffl_routing_inputs(&w.layer, &routing, 1, x, WIDTH, TOKENS, &single);
    cr_assert_eq(single.leaves_max, 1);
    cr_assert_eq(single.top1_mean, 1);
    cr_assert_eq(single.entropy_max, 0);
    cr_assert_eq(single.unique_weight_bytes, 2 * 9 * (WIDTH + 1 + 3) * 4);

    routing = parsed("thrash");
    ffl_routing_inputs(&w.layer, &routing, 1, x, WIDTH, TOKENS, &thrash);
    cr_assert_float_eq(thrash.entropy_mean, 8, 1e-9);
    cr_assert_float_eq(thrash.top1_max, 1.0 / 256, 1e-9);

    /* Rank 1 of 256 under zipf:1 has the share 1/H(256) = 0.163. */
    routing = parsed("zipf:1");
    ffl_routing_inputs(&w.layer, &routing, 1, x, WIDTH, TOKENS, &zipf);
    cr_assert_float_eq(zipf.top1_mean, 0.163, 0.02);
    cr_assert_lt(zipf.entropy_mean, 7);

    routing = parsed("prototypes:3");
    ffl_routing_inputs(&w.layer, &routing, 1, x, WIDTH, TOKENS, &prototypes);
    cr_assert_lt(prototypes.entropy_mean, 6.5);
    cr_assert_gt(prototypes.leaves_mean, 3);
    cr_assert(prototypes.constructed);
    ffl_free(x);
    ffl_weights_free(&w);
}

Test(routing, the_leaves_of_two_trees_are_independent)
{
    ffl_layer shape;
    ffl_leaves leaves;
    uint32_t leaf[2];
    size_t same = 0;
    ffl_layer_fff(64, 64, 2, 5, &shape);
    const ffl_routing routing = parsed("uniform");
    cr_assert_eq(ffl_leaves_new(&shape, &routing, 3, &leaves), FFL_OK);
    for (size_t t = 0; t < 4096; t++) {
        ffl_leaves_of(&leaves, t, leaf);
        same += leaf[0] == leaf[1];
    }
    cr_assert(same > 160 && same < 360, "%zu of 4096 agree; 256 expected", same);
    ffl_leaves_free(&leaves);
}

Test(routing, impossible_combinations_are_drawn_and_say_so)
{
    ffl_weights w = tree_weights(8, 5, 2);
    float x[50 * 8], again[50 * 8];
    ffl_routing_report report, measured;
    const ffl_routing routing = parsed("uniform");
    cr_assert_eq(ffl_routing_inputs(&w.layer, &routing, 2, x, 8, 50, &report), FFL_OK);
    cr_assert_not(report.constructed);
    cr_assert_gt(report.leaves_mean, 1);
    ffl_routing_inputs(&w.layer, &routing, 2, again, 8, 50, &report);
    cr_assert_eq(memcmp(x, again, sizeof x), 0);
    cr_assert_eq(ffl_routing_measure(&w.layer, x, 8, 50, &measured), FFL_OK);
    cr_assert_eq(measured.leaves_mean, report.leaves_mean);
    cr_assert_eq(measured.margin, report.margin);
    ffl_weights_free(&w);

    /* Rows of zeros decide by their bias alone; no input reaches the other side. */
    w = tree_weights(8, 1, 2);
    memset(w.w_in, 0, w.layer.neurons * 8 * sizeof *w.w_in);
    cr_assert_eq(ffl_routing_inputs(&w.layer, &routing, 2, x, 8, 50, &report), FFL_OK);
    cr_assert_not(report.constructed);
    cr_assert_eq(report.leaves_mean, 1);
    ffl_weights_free(&w);
}

Test(routing, recorded_rows_repeat_and_misfits_are_refused)
{
    char file[] = "/tmp/fflab_routing_XXXXXX", text[300];
    close(mkstemp(file));
    ffl_weights w = tree_weights(4, 1, 2);
    float rows[3 * 4], x[7 * 4];
    size_t shape[] = {3, 4};
    ffl_routing_report report;
    for (size_t i = 0; i < 12; i++)
        rows[i] = (float)i - 5.5f;
    snprintf(text, sizeof text, "recorded:%s", file);
    const ffl_routing routing = parsed(text);
    cr_assert_eq(ffl_npy_write(file, FFL_NPY_F32, 2, shape, rows), FFL_OK);
    cr_assert_eq(ffl_routing_inputs(&w.layer, &routing, 2, x, 4, 7, &report), FFL_OK);
    for (size_t i = 0; i < 28; i++)
        cr_assert_eq(x[i], rows[i % 12]);
    rows[5] = NAN;
    ffl_npy_write(file, FFL_NPY_F32, 2, shape, rows);
    cr_assert_eq(ffl_routing_inputs(&w.layer, &routing, 2, x, 4, 7, &report), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "row 1, element 1"));
    shape[0] = 4, shape[1] = 3;
    ffl_npy_write(file, FFL_NPY_F32, 2, shape, rows);
    cr_assert_eq(ffl_routing_inputs(&w.layer, &routing, 2, x, 4, 7, &report), FFL_BAD_INPUT);
    shape[0] = 0, shape[1] = 4;
    ffl_npy_write(file, FFL_NPY_F32, 2, shape, rows);
    cr_assert_eq(ffl_routing_inputs(&w.layer, &routing, 2, x, 4, 7, &report), FFL_BAD_INPUT);
    unlink(file);
    cr_assert_eq(ffl_routing_inputs(&w.layer, &routing, 2, x, 4, 7, &report), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), file));
    ffl_weights_free(&w);
}

Test(routing, malformed_names_are_refused)
{
    static const char *const bad[] = {
        "",         "Uniform",      "uniform ",       "zipf",        "zipf:",
        "zipf:-1",  "zipf:nan",     "zipf:inf",       "zipf:1x",     "zipf: 1",
        "zipf:21",  "prototypes:0", "prototypes:1.5", "prototypes:", "prototypes:9999999",
        "recorded", "recorded:",    "single:1"};
    ffl_routing routing;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(ffl_routing_parse(bad[i], &routing), FFL_BAD_INPUT, "'%s'", bad[i]);
        cr_assert(strstr(ffl_error(), bad[i]) && strstr(ffl_error(), "--routing"));
    }
    routing = parsed("zipf:1.25");
    cr_assert(routing.kind == FFL_ZIPF && routing.exponent == 1.25);
    routing = parsed("prototypes:12");
    cr_assert(routing.kind == FFL_PROTOTYPES && routing.clusters == 12);
}

/* Two decisions on the signs of x[0] and x[1]: leaves 0, 0, 1 and 3 are asked, by gates 0, 1 and 2. */
Test(routing, leaf_trees_count_their_leaves_and_the_gates_on_the_way)
{
    ffl_layer l;
    ffl_routing_report report;
    cr_assert_eq(ffl_layer_leaf(2, 3, 2, 5, &l), FFL_OK);
    const float w_gate[] = {1, 0, 0, 1, 0, 1}, b_gate[3] = {0}, x[] = {-1, -1, -2, -1, -1, 1, 1, 1};
    l.w_gate = w_gate, l.b_gate = b_gate;
    cr_assert_eq(ffl_routing_measure(&l, x, 2, 4, &report), FFL_OK);
    cr_assert_eq(report.leaves_mean, 3);
    cr_assert_float_eq(report.entropy_mean, 1.5, 1e-12);
    cr_assert_eq(report.top1_max, 0.5);
    cr_assert_not(report.constructed);
    cr_assert_eq(report.unique_weight_bytes, 4.0 * (3 * 5 * (2 + 1 + 3) + 3 * (2 + 1)));
    cr_assert_eq(ffl_routing_measure(&l, x, 2, 2, &report), FFL_OK);
    cr_assert_eq(report.unique_weight_bytes, 4.0 * (1 * 5 * (2 + 1 + 3) + 2 * (2 + 1)));
}

/* Two of three experts each: every gate is read, and both choices count. */
Test(routing, mixtures_count_every_choice)
{
    ffl_layer l;
    ffl_routing_report report;
    cr_assert_eq(ffl_layer_moe(3, 2, 3, 4, 2, &l), FFL_OK);
    const float w_gate[] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, b_gate[3] = {0}, x[] = {3, 2, 1, 1, 2, 0};
    l.w_gate = w_gate, l.b_gate = b_gate;
    cr_assert_eq(ffl_routing_measure(&l, x, 3, 2, &report), FFL_OK);
    cr_assert_eq(report.leaves_max, 2);
    cr_assert_float_eq(report.entropy_max, 1, 1e-12);
    cr_assert_eq(report.unique_weight_bytes, 4.0 * (2 * 4 * (3 + 1 + 2) + 3 * (3 + 1)));
}
