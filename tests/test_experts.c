/* Every variant of leaf FFF and of mixtures of experts against the reference, row by row. */
#include "harness/instance.h"
#include "harness/registry.h"
#include "harness/workload/random.h"
#include "harness/workload/weights.h"
#include "kernels/experts.h"
#include "kernels/gelu.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include "kernels/simd/choose.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <string.h>

static const double u = FFL_UNIT_F32;

typedef struct shape_row {
    size_t depth_or_experts, expert_width, chosen, width_in, width_out, batch; /* chosen: 0 is a leaf tree */
} shape_row;

static const shape_row rows[] = {
    {0, 1, 0, 1, 1, 1},      {0, 8, 0, 17, 33, 5},     {1, 1, 0, 33, 20, 2},     {2, 5, 0, 50, 16, 3},
    {3, 8, 0, 767, 769, 4},  {4, 32, 0, 100, 70, 65},  {5, 128, 0, 96, 64, 257}, {6, 8, 0, 64, 130, 1024},
    {7, 3, 0, 40, 17, 257},  {8, 1, 0, 48, 48, 64},    {9, 8, 0, 768, 768, 19},  {9, 8, 0, 61, 35, 700},
    {2, 400, 0, 30, 50, 40}, {3, 64, 0, 401, 129, 90}, {1, 9, 0, 24, 385, 31},   {12, 2, 0, 20, 12, 50},
    {1, 1, 1, 1, 1, 1},      {2, 8, 1, 19, 33, 6},     {3, 8, 3, 33, 40, 7},     {7, 3, 2, 50, 17, 65},
    {16, 32, 2, 100, 70, 9}, {33, 1, 3, 90, 31, 64},   {512, 8, 1, 96, 64, 257}, {64, 64, 1, 768, 60, 130},
    {16, 256, 2, 70, 81, 3}, {5, 8, 5, 40, 24, 1024},  {100, 4, 100, 30, 20, 5}, {40, 7, 17, 385, 49, 33},
    {4, 128, 2, 60, 768, 1}, {3, 400, 1, 50, 30, 40},
};

enum { ROWS = sizeof rows / sizeof *rows, PAD = 3 };

static ffl_layer shape_of(const shape_row *row, ffl_activation activation)
{
    ffl_layer shape;
    cr_assert_eq(row->chosen ? ffl_layer_moe(row->width_in, row->width_out, row->depth_or_experts,
                                             row->expert_width, row->chosen, &shape)
                             : ffl_layer_leaf(row->width_in, row->width_out, row->depth_or_experts,
                                              row->expert_width, &shape),
                 FFL_OK, "%s", ffl_error());
    shape.activation = activation;
    return shape;
}

/* ---- What is right ---- */

typedef struct truth {
    size_t tokens;
    double *y, *tolerance; /* [tokens][width_out] */
    bool *open;            /* [tokens]: a gate is within its rounding of another choice */
    double *gates, *share;
    int32_t *chosen;
} truth;

/* Rounding of x·w in float, in any order: statistical, eight sigma. */
static double logit_error(const float *x, const float *w, size_t n)
{
    double squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += pow((double)x[i] * (double)w[i], 2);
    return 8 * u * sqrt((double)n) * (sqrt(squares) + fabs(ffl_reference_dot(x, w, n))) + 2 * u;
}

static bool leaf_is_open(const ffl_layer *l, const float *x, const double *gates)
{
    for (size_t level = 0, node = 0; level < l->levels; level++) {
        if (!(fabs(gates[node]) > logit_error(x, l->w_gate + node * l->width_in, l->width_in)))
            return true;
        node = 2 * node + 1 + (gates[node] > 0);
    }
    return false;
}

static bool mixture_is_open(const ffl_layer *l, double error, const double *gates, const int32_t *chosen)
{
    for (size_t e = 0; e < l->experts; e++) {
        bool taken = false;
        for (size_t c = 0; c < l->chosen; c++)
            taken |= (size_t)chosen[c] == e;
        if (!taken && !(gates[chosen[l->chosen - 1]] - gates[e] > 2 * error))
            return true;
    }
    return false;
}

static void add_tolerance(const ffl_layer *e, const float *x, double share, double share_error,
                          double *tolerance)
{
    for (size_t r = 0; r < e->neurons; r++) {
        const float *w_in = e->w_in + r * e->width_in, *w_out = e->w_out + r * e->width_out;
        const double z = ffl_reference_dot(x, w_in, e->width_in) + (double)e->b_in[r];
        const double g = fabs(ffl_activate_double(e->activation, z));
        const double dz = logit_error(x, w_in, e->width_in) + 8 * u * fabs(z);
        for (size_t j = 0; j < e->width_out; j++)
            tolerance[j] += ((1.13 * dz + 16 * u * g) * share + share_error * g) * fabs((double)w_out[j]);
    }
    for (size_t j = 0; e->b_out && j < e->width_out; j++)
        tolerance[j] += (8 * u * share + share_error) * fabs((double)e->b_out[j]);
}

static truth truth_new(const ffl_layer *l, const float *x, size_t ldx, size_t tokens)
{
    truth t = {.tokens = tokens};
    t.y = ffl_alloc_array(tokens * l->width_out, sizeof *t.y);
    t.tolerance = ffl_alloc_array(tokens * l->width_out, sizeof *t.tolerance);
    t.open = ffl_alloc_array(tokens, sizeof *t.open);
    t.gates = ffl_alloc_array(tokens * l->gates, sizeof *t.gates);
    t.share = ffl_alloc_array(tokens * l->chosen, sizeof *t.share);
    t.chosen = ffl_alloc_array(tokens * l->chosen, sizeof *t.chosen);
    cr_assert_eq(ffl_reference_experts(l, x, ldx, tokens, t.y, t.gates, t.chosen, t.share), FFL_OK);
    for (size_t i = 0; i < tokens; i++) {
        const double *gates = t.gates + i * l->gates;
        const int32_t *chosen = t.chosen + i * l->chosen;
        double error = 0;
        if (l->operation == FFL_MOE)
            for (size_t e = 0; e < l->gates; e++)
                error = fmax(error, logit_error(x + i * ldx, l->w_gate + e * l->width_in, l->width_in));
        t.open[i] = l->operation == FFL_MOE ? mixture_is_open(l, error, gates, chosen)
                                            : leaf_is_open(l, x + i * ldx, gates);
        for (size_t c = 0; c < l->chosen; c++) {
            const ffl_layer expert = ffl_layer_expert(l, (size_t)chosen[c]);
            const double share = t.share[i * l->chosen + c];
            add_tolerance(&expert, x + i * ldx, share, l->chosen > 1 ? share * (2 * error + 4 * u) : 0,
                          t.tolerance + i * l->width_out);
        }
    }
    return t;
}

static void truth_free(truth *t)
{
    ffl_free(t->y), ffl_free(t->tolerance), ffl_free(t->open);
    ffl_free(t->gates), ffl_free(t->share), ffl_free(t->chosen);
}

/* ---- Runs ---- */

static float *rows_new(size_t count, size_t stride, uint64_t seed)
{
    float *x = ffl_alloc_rows(count * stride, sizeof *x);
    ffl_random random = ffl_random_new(seed, 0);
    for (size_t i = 0; i < count * stride; i++)
        x[i] = (float)ffl_random_normal(&random);
    return x;
}

/* y [tokens][width_out + PAD], poisoned; a run on a fresh instance with dirty scratch. */
static void run_fresh(const ffl_variant *v, const ffl_layer *l, const float *x, size_t ldx, size_t tokens,
                      int threads, float *y)
{
    ffl_instance instance;
    cr_assert_eq(ffl_instance_new(v, l, tokens, threads, &instance), FFL_OK, "%s: %s", v->name, ffl_error());
    cr_assert_eq(ffl_instance_poison_scratch(&instance), FFL_OK);
    const size_t ldy = l->width_out + PAD;
    for (int again = 0; again < 2; again++) {
        for (size_t i = 0; i < tokens * ldy; i++)
            y[i] = again ? 123.0f : NAN;
        cr_assert_eq(ffl_instance_run(&instance, x, ldx, y, ldy, tokens), FFL_OK);
    }
    ffl_instance_free(&instance);
}

static size_t compare(const char *name, const ffl_layer *l, const truth *t, const float *y, bool even_open)
{
    size_t compared = 0;
    const size_t ldy = l->width_out + PAD;
    for (size_t i = 0; i < t->tokens; i++) {
        for (size_t j = l->width_out; j < ldy; j++)
            cr_assert_eq(y[i * ldy + j], 123.0f, "%s: row %zu: padding written", name, i);
        if (t->open[i] && !even_open)
            continue;
        compared++;
        for (size_t j = 0; j < l->width_out; j++) {
            const size_t at = i * l->width_out + j;
            const double error = fabs((double)y[i * ldy + j] - t->y[at]);
            cr_assert(
                error <= t->tolerance[at],
                "%s: %zu experts of %zu, %zu chosen, %zu tokens: row %zu column %zu (expert %d): %g for "
                "%g, %g times the tolerance",
                name, l->experts, l->expert_width, l->chosen, t->tokens, i, j, (int)t->chosen[i * l->chosen],
                (double)y[i * ldy + j], t->y[at], error / t->tolerance[at]);
        }
    }
    return compared;
}

/* Rows alone, and with another number of threads: the same bits, where promised. */
static void compare_bits(const ffl_variant *v, const ffl_layer *l, const float *x, size_t ldx, size_t tokens,
                         const float *y)
{
    const size_t ldy = l->width_out + PAD, some = tokens < 7 ? tokens : 7;
    float *other = ffl_alloc_rows(tokens * ldy, sizeof *other);
    if (v->contract.invariances & FFL_SAME_BATCH)
        for (size_t i = 0; i < some; i++) {
            const size_t row = i * (tokens - 1) / (some > 1 ? some - 1 : 1);
            run_fresh(v, l, x + row * ldx, ldx, 1, 1, other);
            cr_assert_arr_eq(other, y + row * ldy, l->width_out * sizeof *y, "%s: row %zu of %zu alone",
                             v->name, row, tokens);
        }
    if (v->threaded && v->contract.invariances & FFL_SAME_THREADS) {
        run_fresh(v, l, x, ldx, tokens, 3, other);
        cr_assert_arr_eq(other, y, tokens * ldy * sizeof *y, "%s: %zu tokens, 3 threads", v->name, tokens);
    }
    ffl_free(other);
}

static bool wanted(const ffl_variant *v, const ffl_layer *l, size_t tokens, int threads)
{
    const char *why;
    return ffl_variant_supports(v, l, tokens, threads, &why);
}

static void try_shape(const ffl_variant *v, size_t r)
{
    const ffl_layer shape = shape_of(&rows[r], r % 3 == 2 ? FFL_RELU : FFL_GELU);
    const int threads = v->threaded ? 2 : 1;
    if (!wanted(v, &shape, rows[r].batch, threads))
        return;
    ffl_weights w;
    cr_assert_eq(ffl_weights_new(&shape, r % 2 == 0, &w), FFL_OK);
    ffl_weights_randomise(&w, r);
    const size_t tokens = rows[r].batch, ldx = shape.width_in + r % 5, ldy = shape.width_out + PAD;
    float *x = rows_new(tokens, ldx, 77 + r), *y = ffl_alloc_rows(tokens * ldy, sizeof *y);
    truth t = truth_new(&w.layer, x, ldx, tokens);
    run_fresh(v, &w.layer, x, ldx, tokens, threads, y);
    const size_t compared = compare(v->name, &w.layer, &t, y, false);
    cr_assert(compared * 20 >= tokens * 19, "only %zu of %zu rows compared", compared, tokens);
    compare_bits(v, &w.layer, x, ldx, tokens, y);
    truth_free(&t);
    ffl_free(x), ffl_free(y);
    ffl_weights_free(&w);
}

static struct criterion_test_params all_variants(void)
{
    static size_t indices[512];
    size_t count = 0;
    for (size_t i = 0; i < ffl_registry_count(); i++)
        if (ffl_operation_has_experts(ffl_registry_at(i)->operation))
            indices[count++] = i;
    return cr_make_param_array(size_t, indices, count);
}

ParameterizedTestParameters(experts, rows_match_the_reference)
{
    return all_variants();
}

ParameterizedTest(size_t *index, experts, rows_match_the_reference)
{
    for (size_t r = 0; r < ROWS; r++)
        try_shape(ffl_registry_at(*index), r);
}

/* ---- Ties ---- */

/* Gates of small whole numbers: exact in any order, many of them 0 or equal; no row is open to doubt. */
static void try_ties(const ffl_variant *v, const shape_row *row)
{
    const ffl_layer shape = shape_of(row, FFL_GELU);
    if (!wanted(v, &shape, row->batch, 1))
        return;
    ffl_weights w;
    cr_assert_eq(ffl_weights_new(&shape, true, &w), FFL_OK);
    ffl_weights_randomise(&w, 5);
    ffl_random random = ffl_random_new(6, 0);
    for (size_t i = 0; i < shape.gates * shape.width_in; i++)
        w.w_gate[i] = (float)ffl_random_below(&random, 3) - 1;
    for (size_t i = 0; i < shape.gates; i++)
        w.b_gate[i] = (float)ffl_random_below(&random, 3) - 1;
    const size_t tokens = row->batch, ldy = shape.width_out + PAD;
    float *x = rows_new(tokens, shape.width_in, 8), *y = ffl_alloc_rows(tokens * ldy, sizeof *y);
    for (size_t i = 0; i < tokens * shape.width_in; i++)
        x[i] = (float)ffl_random_below(&random, 3) - 1;
    truth t = truth_new(&w.layer, x, shape.width_in, tokens);
    size_t ties = 0;
    for (size_t i = 0; i < tokens; i++)
        ties += t.open[i];
    cr_assert(ties * 4 > tokens, "%zu ties among %zu rows", ties, tokens);
    run_fresh(v, &w.layer, x, shape.width_in, tokens, 1, y);
    compare(v->name, &w.layer, &t, y, true);
    truth_free(&t);
    ffl_free(x), ffl_free(y);
    ffl_weights_free(&w);
}

ParameterizedTestParameters(experts, ties_go_left_and_to_the_lower_index)
{
    return all_variants();
}

ParameterizedTest(size_t *index, experts, ties_go_left_and_to_the_lower_index)
{
    static const shape_row tied[] = {
        {4, 8, 0, 5, 20, 64}, {9, 8, 0, 6, 9, 300},  {3, 64, 0, 4, 33, 30}, {7, 8, 1, 5, 20, 64},
        {40, 8, 2, 4, 9, 65}, {20, 64, 3, 3, 33, 9}, {600, 1, 5, 4, 3, 40},
    };
    for (size_t r = 0; r < sizeof tied / sizeof *tied; r++)
        try_ties(ffl_registry_at(*index), &tied[r]);
}

/* ---- Rows that are not finite ---- */

ParameterizedTestParameters(experts, a_bad_row_changes_no_other)
{
    return all_variants();
}

ParameterizedTest(size_t *index, experts, a_bad_row_changes_no_other)
{
    static const shape_row some[] = {
        {6, 8, 0, 50, 20, 33}, {4, 64, 0, 50, 20, 33}, {20, 8, 1, 50, 20, 33}, {20, 8, 3, 50, 20, 33}};
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f};
    const ffl_variant *v = ffl_registry_at(*index);
    for (size_t r = 0; r < sizeof some / sizeof *some; r++) {
        const ffl_layer shape = shape_of(&some[r], FFL_GELU);
        if (!wanted(v, &shape, some[r].batch, 1))
            continue;
        ffl_weights w;
        cr_assert_eq(ffl_weights_new(&shape, true, &w), FFL_OK);
        ffl_weights_randomise(&w, 5);
        const size_t tokens = some[r].batch, ldy = shape.width_out + PAD;
        float *x = rows_new(tokens, shape.width_in, 8), *y = ffl_alloc_rows(tokens * ldy, sizeof *y);
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++)
            for (size_t i = 0; i < shape.width_in; i++)
                if (i % 2 || b % 2)
                    x[(4 + 7 * b) * shape.width_in + i] = bad[b];
        truth t = truth_new(&w.layer, x, shape.width_in, tokens);
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++)
            t.open[4 + 7 * b] = true;
        run_fresh(v, &w.layer, x, shape.width_in, tokens, 1, y);
        cr_assert(compare(v->name, &w.layer, &t, y, false) >= tokens - 6);
        truth_free(&t);
        ffl_free(x), ffl_free(y);
        ffl_weights_free(&w);
    }
}

/* ---- One expert ---- */

/* A tree of one wide leaf is the dense layer, and goes through the same tiles. */
Test(experts, a_single_wide_leaf_has_the_bits_of_the_dense_kernel)
{
    enum { TOKENS = 300, IN = 395, OUT = 70, WIDTH = 500 };
    const ffl_variant *leaf = ffl_registry_find("fff_leaf_grouped_avx512");
    const ffl_variant *dense = ffl_registry_find("ff_tiled_avx512");
    const char *why;
    if (!leaf || !dense || !ffl_variant_available(leaf, &why))
        cr_skip_test("no AVX-512");
    ffl_layer shape;
    ffl_weights w;
    cr_assert_eq(ffl_layer_leaf(IN, OUT, 0, WIDTH, &shape), FFL_OK);
    cr_assert_eq(ffl_weights_new(&shape, true, &w), FFL_OK);
    ffl_weights_randomise(&w, 3);
    const ffl_layer only = ffl_layer_expert(&w.layer, 0);
    const size_t floats = TOKENS * (OUT + PAD);
    float *x = rows_new(TOKENS, IN, 4), *y = ffl_alloc_rows(2 * floats, sizeof *y);
    run_fresh(leaf, &w.layer, x, IN, TOKENS, 1, y);
    run_fresh(dense, &only, x, IN, TOKENS, 1, y + floats);
    cr_assert_arr_eq(y, y + floats, floats * sizeof *y);
    ffl_free(x), ffl_free(y);
    ffl_weights_free(&w);
}

/* ---- The parts they share ---- */

Test(experts, choices_are_those_of_the_reference)
{
    enum { EXPERTS = 40 };
    static const float odd[] = {NAN, -NAN, 0.0f, -0.0f, INFINITY, -INFINITY, 1.0f, -1.0f, 0x1p-149f};
    ffl_random random = ffl_random_new(9, 0);
    for (size_t c = 0; c < 4000; c++) {
        const size_t experts = 1 + ffl_random_below(&random, EXPERTS);
        const size_t chosen = 1 + ffl_random_below(&random, experts);
        ffl_layer l;
        cr_assert_eq(ffl_layer_moe(1, 1, experts, 1, chosen, &l), FFL_OK);
        float gate[EXPERTS], share[EXPERTS];
        double exact[EXPERTS], exact_share[EXPERTS];
        int32_t keys[4 * EXPERTS], expected[EXPERTS];
        uint32_t expert[EXPERTS];
        for (size_t e = 0; e < experts; e++) {
            gate[e] = ffl_random_below(&random, 3) ? (float)ffl_random_normal(&random)
                                                   : odd[ffl_random_below(&random, sizeof odd / sizeof *odd)];
            exact[e] = (double)gate[e];
        }
        ffl_reference_choose(&l, exact, expected, exact_share);
        ffl_choose(gate, experts, chosen, keys, expert, share);
        for (size_t i = 0; i < chosen; i++) {
            cr_assert(i == 0 || expert[i - 1] < expert[i], "case %zu: not ascending", c);
            size_t at = 0;
            while (at < chosen && expected[at] != (int32_t)expert[i])
                at++;
            cr_assert(at < chosen, "case %zu: expert %u of %zu is not among the %zu", c, expert[i], experts,
                      chosen);
            if (isnan(exact_share[at])) /* of an infinite or undefined gate */
                continue;
            cr_assert(fabs((double)share[i] - exact_share[at]) <= 2 * u * exact_share[at] + 0x1p-149,
                      "case %zu: share %a for %a", c, (double)share[i], exact_share[at]);
        }
    }
}

Test(experts, pairs_are_sorted_stably)
{
    static const size_t cases[][2] = {{1, 1},      {5, 3},       {32, 7},      {33, 1},
                                      {500, 1000}, {3000, 1024}, {3000, 1025}, {200, (size_t)1 << 20}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const size_t pairs = cases[c][0], experts = cases[c][1];
        uint32_t *expert = ffl_alloc_array(pairs, 4), *order = ffl_alloc_array(pairs, 4);
        uint32_t *spare = ffl_alloc_array(pairs, 4);
        ffl_random random = ffl_random_new(c, 0);
        for (size_t i = 0; i < pairs; i++)
            expert[i] = (uint32_t)ffl_random_below(&random, experts);
        expert[0] = (uint32_t)experts - 1;
        ffl_experts_sort(expert, pairs, experts, order, spare);
        for (size_t i = 1; i < pairs; i++)
            cr_assert(expert[order[i - 1]] < expert[order[i]] ||
                          (expert[order[i - 1]] == expert[order[i]] && order[i - 1] < order[i]),
                      "%zu pairs of %zu experts: place %zu", pairs, experts, i);
        for (size_t i = 0, end; i < pairs; i = end) {
            end = ffl_experts_run(expert, order, i, pairs);
            cr_assert(end == pairs || expert[order[end]] > expert[order[i]]);
            cr_assert_eq(expert[order[end - 1]], expert[order[i]]);
        }
        ffl_free(expert), ffl_free(order), ffl_free(spare);
    }
}
