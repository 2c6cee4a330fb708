#include "harness/check/fixtures.h"
#include "harness/workload/random.h"
#include "kernels/gelu.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static void make(const char *name, const ffl_layer *shape, bool bias, size_t tokens, uint64_t seed,
                 ffl_fixture *out)
{
    const ffl_fixture_request request = {
        .name = name, .shape = *shape, .bias = bias, .tokens = tokens, .seed = seed};
    cr_assert_eq(ffl_fixture_make(&request, out), FFL_OK, "%s: %s", name, ffl_error());
    cr_assert_eq(ffl_layer_check_finite(&out->weights.layer), FFL_OK, "%s: %s", name, ffl_error());
}

static void assert_bf16(const float *values, size_t count, const char *what)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        cr_assert_eq(bits & 0xFFFF, 0, "%s[%zu] = %a is no bf16", what, i, (double)values[i]);
    }
}

/* The largest magnitude of each row is 127 times a power of two, the others whole multiples of that power. */
static void assert_int8(const float *values, size_t rows, size_t width, const char *what)
{
    for (size_t r = 0; r < rows; r++) {
        float peak = 0;
        for (size_t i = 0; i < width; i++)
            peak = fmaxf(peak, fabsf(values[r * width + i]));
        int exponent;
        const float scale = peak / 127;
        cr_assert_eq(frexpf(scale, &exponent), 0.5f, "%s, row %zu: maximum %g", what, r, (double)peak);
        for (size_t i = 0; i < width; i++)
            cr_assert_eq(fmodf(values[r * width + i], scale), 0.0f);
    }
}

static void shuffle(size_t *order, size_t count, ffl_random *random)
{
    for (size_t i = count; i > 1; i--) {
        const size_t k = ffl_random_below(random, i), swap = order[i - 1];
        order[i - 1] = order[k];
        order[k] = swap;
    }
}

/* The layer in float, with every sum in a random order, split at random in two accumulators. */
static void float_in_any_order(const ffl_layer *l, const float *x, const unsigned char *selected, float *z,
                               float *y, ffl_random *random)
{
    const size_t longest = l->width_in > l->neurons ? l->width_in : l->neurons;
    size_t *order = ffl_alloc_array(longest, sizeof *order);
    for (size_t i = 0; i < l->width_in; i++)
        order[i] = i;
    shuffle(order, l->width_in, random);
    for (size_t n = 0; n < l->neurons; n++) {
        float sum[2] = {l->b_in[n], 0};
        for (size_t i = 0; i < l->width_in; i++)
            sum[ffl_random_next(random) >> 63] += x[order[i]] * l->w_in[n * l->width_in + order[i]];
        z[n] = sum[0] + sum[1];
    }
    for (size_t n = 0; n < l->neurons; n++)
        order[n] = n;
    shuffle(order, l->neurons, random);
    for (size_t j = 0; j < l->width_out; j++) {
        float sum[2] = {0, l->b_out ? l->b_out[j] : 0};
        for (size_t n = 0; n < l->neurons; n++)
            if (selected[order[n]])
                sum[ffl_random_next(random) >> 63] +=
                    ffl_activate(l->activation, z[order[n]]) * l->w_out[order[n] * l->width_out + j];
        y[j] = sum[0] + sum[1];
    }
    ffl_free(order);
}

static void select_neurons(const ffl_layer *l, const int32_t *path, unsigned char *selected)
{
    memset(selected, l->operation == FFL_FF, l->neurons);
    for (size_t i = 0; i < l->trees * l->levels; i++)
        selected[i / l->levels * l->nodes + (size_t)path[i]] = 1;
}

/* Returns how many of the logits were zero, of how many, and how many were positive. */
static void assert_exact(const ffl_layer *shape, bool bias, size_t *zeros, size_t *positive, size_t *all)
{
    const size_t tokens = 3, visited = shape->trees * shape->levels + 1;
    ffl_fixture f;
    make("exact", shape, bias, tokens, 11, &f);
    const ffl_layer *l = &f.weights.layer;
    cr_assert_eq(f.data, FFL_DATA_EXACT);
    assert_bf16(f.weights.w_in, l->neurons * l->width_in, "w_in");
    assert_bf16(f.weights.b_in, l->neurons, "b_in");
    assert_bf16(f.weights.w_out, l->neurons * l->width_out, "w_out");
    assert_bf16(f.x, tokens * l->width_in, "x");
    assert_int8(f.weights.w_in, l->neurons, l->width_in, "w_in");
    assert_int8(f.weights.w_out, l->neurons, l->width_out, "w_out");
    if (l->width_in > 1)
        assert_int8(f.x, tokens, l->width_in, "x");
    double *expected = ffl_alloc_array(tokens * l->width_out, sizeof *expected);
    double *logits = ffl_alloc_array(tokens * l->neurons, sizeof *logits);
    int32_t *path = ffl_alloc_array(tokens * visited, sizeof *path);
    unsigned char *selected = ffl_alloc(l->neurons);
    float *y = ffl_alloc_array(l->width_out, sizeof *y), *z = ffl_alloc_array(l->neurons, sizeof *z);
    ffl_random random = ffl_random_new(5, 0);
    ffl_reference(l, f.x, l->width_in, tokens, expected, logits, l->operation == FFL_FFF ? path : NULL);
    for (size_t t = 0; t < tokens; t++) {
        select_neurons(l, path + t * (visited - 1), selected);
        for (size_t n = 0; n < l->neurons; n++) {
            const double logit = logits[t * l->neurons + n];
            const float hidden = logit > 0 ? (float)logit : 0;
            cr_assert(logit == 0 || fabs(logit) >= 16);
            assert_bf16(&hidden, 1, "hidden");
            *zeros += logit == 0;
            *positive += logit > 0;
            ++*all;
        }
        for (size_t j = 0; j < l->width_out; j++) { /* whole numbers of one quantum, 2^-4, below 2^24 of it */
            double sum = l->b_out ? fabs((double)l->b_out[j]) : 0;
            for (size_t n = 0; n < l->neurons; n++)
                sum += selected[n] ? fmax(logits[t * l->neurons + n], 0) *
                                         fabs((double)l->w_out[n * l->width_out + j])
                                   : 0;
            cr_assert(!(sum * 16 >= 0x1p24), "column %zu sums to %g quanta", j, sum * 16);
        }
        for (int order = 0; order < 3; order++) {
            float_in_any_order(l, f.x + t * l->width_in, selected, z, y, &random);
            for (size_t n = 0; n < l->neurons; n++)
                cr_assert_eq((double)z[n], logits[t * l->neurons + n]);
            for (size_t j = 0; j < l->width_out; j++)
                cr_assert_eq((double)y[j], expected[t * l->width_out + j],
                             "token %zu, column %zu: %.9g, not %.17g", t, j, (double)y[j],
                             expected[t * l->width_out + j]);
        }
    }
    ffl_free(expected), ffl_free(logits), ffl_free(path), ffl_free(selected), ffl_free(y), ffl_free(z);
    ffl_fixture_free(&f);
}

Test(fixtures, exact_data_gives_the_same_bits_in_any_order)
{
    static const size_t trees[][4] = {/* width_in, width_out, trees, levels */
                                      {1, 1, 1, 1},   {2, 3, 1, 5},    {3, 1, 4, 3},
                                      {5, 2, 2, 4},   {100, 7, 5, 4},  {769, 33, 1, 9},
                                      {64, 5, 64, 3}, {37, 1, 512, 3}, {33, 8, 3, 1}};
    static const size_t dense[][3] = {{1, 1, 1},   {1, 1, 4095},   {4, 1, 4095},  {2, 5, 100},
                                      {70, 9, 31}, {96, 40, 4095}, {33, 64, 3072}};
    size_t zeros = 0, positive = 0, all = 0;
    for (size_t s = 0; s < 2 * (sizeof trees / sizeof *trees); s++) {
        const size_t *t = trees[s / 2];
        ffl_layer shape;
        cr_assert_eq(ffl_layer_fff(t[0], t[1], t[2], t[3], &shape), FFL_OK);
        shape.activation = s % 4 == 3 ? FFL_RELU : FFL_GELU;
        assert_exact(&shape, s % 2, &zeros, &positive, &all);
    }
    for (size_t s = 0; s < 2 * (sizeof dense / sizeof *dense); s++) {
        const size_t *d = dense[s / 2];
        ffl_layer shape;
        cr_assert_eq(ffl_layer_ff(d[0], d[1], d[2], &shape), FFL_OK);
        assert_exact(&shape, s % 2, &zeros, &positive, &all);
    }
    cr_assert_gt(zeros, all / 200, "only %zu of %zu logits are ties", zeros, all);
    cr_assert_gt(positive, all / 8, "only %zu of %zu logits are positive", positive, all);
}

Test(fixtures, exact_data_declines_what_cannot_be)
{
    ffl_fixture f;
    ffl_fixture_request request = {.name = "exact", .tokens = 1};
    ffl_layer_ff(1, 1, 100000, &request.shape);
    cr_assert_eq(ffl_fixture_make(&request, &f), FFL_UNSUPPORTED);
}

Test(fixtures, a_contract_is_held_only_to_what_its_types_can_hold)
{
    ffl_layer shape;
    ffl_fixture f;
    ffl_layer_fff(8, 8, 1, 3, &shape);
    make("exact", &shape, true, 2, 1, &f);
    ffl_contract c = FFL_CONTRACT_F32;
    cr_assert_eq(ffl_fixture_data(&f, &c), FFL_DATA_EXACT);
    c.weights = c.hidden = FFL_BF16;
    cr_assert_eq(ffl_fixture_data(&f, &c), FFL_DATA_EXACT);
    c.output = FFL_BF16;
    cr_assert_eq(ffl_fixture_data(&f, &c), FFL_DATA_EXACT_LOGITS);
    c.accumulator = FFL_F16;
    cr_assert_eq(ffl_fixture_data(&f, &c), FFL_DATA_GENERAL);
    ffl_fixture_free(&f);
}

/* Reference logits and paths of the visited nodes of an FFF fixture. */
static void walk(const ffl_fixture *f, double *logits, int32_t *path)
{
    const ffl_layer *l = &f->weights.layer;
    double *y = ffl_alloc_array(f->tokens * l->width_out, sizeof *y);
    ffl_reference_walk(l, f->x, l->width_in, f->tokens, y, logits, path);
    ffl_free(y);
}

enum { TOKENS = 64, VISITED = 5 * 4 };

Test(fixtures, ties_are_zero_by_cancellation)
{
    static const size_t widths[] = {1, 2, 100, 769};
    for (size_t s = 0; s < 8; s++) {
        ffl_layer shape;
        ffl_fixture f;
        static double logits[TOKENS * VISITED];
        ffl_layer_fff(widths[s / 2], 3, 5, 4, &shape);
        make("ties", &shape, s % 2, TOKENS, s, &f);
        walk(&f, logits, NULL);
        size_t zeros = 0;
        for (size_t i = 0; i < TOKENS * VISITED; i++) {
            zeros += logits[i] == 0;
            cr_assert_eq(logits[i] * 2, rint(logits[i] * 2));
        }
        for (size_t n = 0; n < shape.neurons && widths[s / 2] > 8; n++) {
            size_t used = 0;
            for (size_t i = 0; i < shape.width_in; i++)
                used += f.weights.w_in[n * shape.width_in + i] != 0;
            cr_assert_gt(used, 0, "row %zu is zero: its ties prove nothing", n);
        }
        cr_assert_gt(zeros, TOKENS * VISITED / 16, "width %zu: %zu ties", widths[s / 2], zeros);
        cr_assert_lt(zeros, TOKENS * VISITED, "width %zu: nothing but ties", widths[s / 2]);
        ffl_fixture_free(&f);
    }
}

Test(fixtures, margin_puts_logits_near_their_bound)
{
    ffl_layer shape;
    ffl_fixture f;
    static double logits[TOKENS * VISITED];
    ffl_layer_fff(100, 3, 5, 4, &shape);
    make("margin", &shape, false, TOKENS, 3, &f);
    walk(&f, logits, NULL);
    size_t near = 0, wide = 0;
    for (size_t i = 0; i < TOKENS * VISITED; i++) { /* f32 bound: 8u·√100·(‖x∘w‖ + |x·w|), about 5e-6 */
        near += fabs(logits[i]) < 5e-5 && logits[i] != 0;
        wide += fabs(logits[i]) > 0.05;
    }
    cr_assert_gt(near, 20, "only %zu logits near their bound", near);
    cr_assert_gt(wide, TOKENS * VISITED / 2);
    ffl_fixture_free(&f);
}

static size_t distinct_leaves(const int32_t *path, size_t tree)
{
    unsigned char seen[16] = {0};
    size_t count = 0;
    for (size_t t = 0; t < TOKENS; t++) {
        const int32_t leaf = path[(t * 5 + tree) * 4 + 3];
        count += !seen[leaf]++;
    }
    return count;
}

Test(fixtures, collapsed_takes_one_path_and_thrash_every_leaf)
{
    ffl_layer shape;
    ffl_fixture f;
    static int32_t path[TOKENS * VISITED];
    static const size_t widths[] = {16, 100, 769};
    for (size_t s = 0; s < 6; s++) {
        ffl_layer_fff(widths[s / 2], 3, 5, 4, &shape);
        make("collapsed", &shape, s % 2, TOKENS, s, &f);
        walk(&f, NULL, path);
        for (size_t tree = 0; tree < 5; tree++)
            cr_assert_eq(distinct_leaves(path, tree), 1);
        ffl_fixture_free(&f);
        make("thrash", &shape, s % 2, TOKENS, s, &f);
        walk(&f, NULL, path);
        for (size_t tree = 0; tree < 5; tree++)
            cr_assert_eq(distinct_leaves(path, tree), 8);
        ffl_fixture_free(&f);
    }
}

Test(fixtures, special_rows_stand_among_good_ones)
{
    ffl_layer shape;
    ffl_fixture f;
    ffl_layer_ff(10, 3, 4, &shape);
    make("special", &shape, true, TOKENS, 0, &f);
    size_t bad = 0, denormal = 0;
    for (size_t t = 0; t < TOKENS; t++) {
        bool finite = true;
        for (size_t i = 0; i < 10; i++) {
            finite &= isfinite(f.x[t * 10 + i]) != 0;
            denormal += fpclassify(f.x[t * 10 + i]) == FP_SUBNORMAL;
        }
        bad += !finite;
        cr_assert(t % 2 || finite);
    }
    cr_assert_eq(bad, 3 * TOKENS / 16);
    cr_assert_gt(denormal, TOKENS / 16);
    ffl_fixture_free(&f);
}

Test(fixtures, the_same_seed_gives_the_same_bits_and_another_does_not)
{
    ffl_layer shape;
    ffl_layer_fff(20, 3, 2, 3, &shape);
    for (size_t k = 0; ffl_fixture_names[k]; k++) {
        ffl_fixture a, b, c;
        make(ffl_fixture_names[k], &shape, true, 8, 9, &a);
        make(ffl_fixture_names[k], &shape, true, 8, 9, &b);
        make(ffl_fixture_names[k], &shape, true, 8, 10, &c);
        cr_assert_eq(memcmp(a.x, b.x, 8 * 20 * sizeof(float)), 0);
        cr_assert_eq(memcmp(a.weights.w_in, b.weights.w_in, shape.neurons * 20 * sizeof(float)), 0);
        cr_assert_neq(memcmp(a.x, c.x, 8 * 20 * sizeof(float)), 0);
        ffl_fixture_free(&a), ffl_fixture_free(&b), ffl_fixture_free(&c);
    }
}

Test(fixtures, names_are_checked)
{
    cr_assert_eq(ffl_fixture_check_name("thrash"), FFL_OK);
    cr_assert_eq(ffl_fixture_check_name("real:a.safetensors"), FFL_OK);
    cr_assert_eq(ffl_fixture_check_name("real:"), FFL_BAD_INPUT);
    cr_assert_eq(ffl_fixture_check_name("rnadom"), FFL_BAD_INPUT);
    cr_assert(strstr(ffl_error(), "rnadom") && strstr(ffl_error(), "collapsed"));
    const char *why;
    cr_assert(!ffl_fixture_fits("margin", FFL_FF, &why));
    cr_assert(ffl_fixture_fits("margin", FFL_FFF, &why));
}
