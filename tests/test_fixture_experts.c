/* Fixtures of leaf FFF and mixtures: what each is made for is really in the data. */
#include "harness/check/experts.h"
#include "harness/check/fixtures.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

typedef struct seen {
    ffl_fixture fixture;
    double *y, *gates, *share;
    int32_t *chosen;
} seen;

static seen look(const char *name, ffl_layer shape, bool bias, size_t tokens, uint64_t seed)
{
    seen s;
    const ffl_fixture_request request = {
        .name = name, .shape = shape, .bias = bias, .tokens = tokens, .seed = seed};
    cr_assert_eq(ffl_fixture_make(&request, &s.fixture), FFL_OK, "%s: %s", name, ffl_error());
    const ffl_layer *l = &s.fixture.weights.layer;
    cr_assert_eq(l->b_out != NULL, bias, "an output bias where the layer has biases");
    s.y = ffl_alloc_array(tokens * l->width_out, sizeof *s.y);
    s.gates = ffl_alloc_array(tokens * l->gates + 1, sizeof *s.gates);
    s.share = ffl_alloc_array(tokens * l->chosen, sizeof *s.share);
    s.chosen = ffl_alloc_array(tokens * l->chosen, sizeof *s.chosen);
    cr_assert_eq(ffl_reference_experts(l, s.fixture.x, l->width_in, tokens, s.y, s.gates, s.chosen, s.share),
                 FFL_OK);
    return s;
}

static void forget(seen *s)
{
    ffl_fixture_free(&s->fixture);
    ffl_free(s->y);
    ffl_free(s->gates);
    ffl_free(s->share);
    ffl_free(s->chosen);
}

static ffl_layer leaf(size_t width, size_t depth, size_t leaf_width)
{
    ffl_layer shape;
    cr_assert_eq(ffl_layer_leaf(width, 23, depth, leaf_width, &shape), FFL_OK);
    return shape;
}

static ffl_layer mixture(size_t width, size_t experts, size_t expert_width, size_t chosen)
{
    ffl_layer shape;
    cr_assert_eq(ffl_layer_moe(width, 23, experts, expert_width, chosen, &shape), FFL_OK);
    return shape;
}

static size_t distinct(const seen *s, size_t tokens)
{
    const ffl_layer *l = &s->fixture.weights.layer;
    size_t count = 0;
    unsigned char *found = ffl_alloc(l->experts);
    memset(found, 0, l->experts);
    for (size_t i = 0; i < tokens * l->chosen; i++) {
        count += !found[s->chosen[i]];
        found[s->chosen[i]] = 1;
    }
    ffl_free(found);
    return count;
}

/* Backwards and in floats, as no reference does: the same bits. */
static float backwards(const float *x, const float *w, size_t n, float bias)
{
    float sum = bias;
    for (size_t i = n; i-- > 0;)
        sum += x[i] * w[i];
    return sum;
}

static void float_row(const ffl_layer *l, const float *x, const int32_t *chosen, const double *share,
                      float *y)
{
    memset(y, 0, l->width_out * sizeof *y);
    for (size_t c = l->chosen; c-- > 0;) {
        const ffl_layer e = ffl_layer_expert(l, (size_t)chosen[c]);
        const float p = (float)share[c];
        for (size_t j = 0; j < e.width_out; j++) {
            float sum = e.b_out ? e.b_out[j] : 0;
            for (size_t k = e.neurons; k-- > 0;) {
                const float z = backwards(x, e.w_in + k * e.width_in, e.width_in, e.b_in[k]);
                sum += (z > 0 ? z : 0) * e.w_out[k * e.width_out + j];
            }
            y[j] += p * sum;
        }
    }
}

Test(fixture_experts, exact_data_has_no_rounding)
{
    const ffl_layer shapes[] = {leaf(100, 0, 5),        leaf(100, 4, 8),       leaf(1, 3, 2),
                                mixture(100, 12, 5, 1), mixture(100, 9, 8, 2), mixture(1, 4, 3, 2),
                                mixture(3, 2, 1, 2)};
    size_t equal = 0, whole = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (uint64_t seed = 0; seed < 6; seed++) {
            seen s = look("exact", shapes[i], seed % 2, 20, seed);
            const ffl_layer *l = &s.fixture.weights.layer;
            float y[23];
            cr_assert_eq(s.fixture.data, FFL_DATA_EXACT);
            for (size_t t = 0; t < 20; t++) {
                const float *x = s.fixture.x + t * l->width_in;
                for (size_t g = 0; g < l->gates; g++) {
                    const float z = backwards(x, l->w_gate + g * l->width_in, l->width_in, l->b_gate[g]);
                    cr_assert_eq((double)z, s.gates[t * l->gates + g]);
                    cr_assert(fabsf(z) <= 256 * 128 && fmodf(z, 16) == 0, "%g", (double)z);
                }
                float_row(l, x, s.chosen + t * l->chosen, s.share + t * l->chosen, y);
                cr_assert(ffl_experts_exact(l, y, s.y + t * l->width_out), "shape %zu, seed %d, row %zu", i,
                          (int)seed, t);
                if (l->chosen == 2) {
                    equal += s.share[2 * t] == 0.5;
                    whole += s.share[2 * t + 1] < 1e-50;
                    cr_assert(s.share[2 * t] == 0.5 || s.share[2 * t + 1] < 1e-50);
                }
            }
            forget(&s);
        }
    cr_expect(equal > 20 && whole > 20, "%zu halves, %zu wholes", equal, whole);
    seen s = look("exact", mixture(100, 9, 8, 3), true, 4, 1);
    cr_expect_eq(s.fixture.data, FFL_DATA_EXACT_LOGITS, "thirds are rounded");
    forget(&s);
}

Test(fixture_experts, ties_are_zeros_of_leaf_trees_and_equal_gates_of_mixtures)
{
    seen s = look("ties", leaf(100, 4, 3), true, 40, 3);
    size_t zeros = 0, equal = 0;
    for (size_t i = 0; i < 40 * 15; i++)
        zeros += s.gates[i] == 0;
    cr_expect(zeros > 40 * 15 / 5, "%zu of 600 gates are zero", zeros);
    forget(&s);
    s = look("ties", mixture(100, 12, 3, 1), true, 40, 3);
    for (size_t t = 0; t < 40; t++) {
        const double *z = s.gates + t * 12;
        for (int e = 0; e < 12; e++)
            if (e != s.chosen[t] && z[e] == z[s.chosen[t]]) {
                cr_assert_gt(e, s.chosen[t]);
                equal++;
            }
    }
    cr_expect(equal > 20, "%zu rivals of the chosen are its equals", equal);
    forget(&s);
}

Test(fixture_experts, collapsed_is_one_choice_and_thrash_is_all_of_them)
{
    const ffl_layer shapes[] = {leaf(256, 4, 3), mixture(256, 16, 3, 1), mixture(256, 16, 3, 2)};
    for (size_t i = 0; i < 3; i++) {
        seen s = look("collapsed", shapes[i], true, 64, 5);
        cr_expect_eq(distinct(&s, 64), shapes[i].chosen, "shape %zu", i);
        forget(&s);
        s = look("thrash", shapes[i], true, 64, 5);
        cr_expect_eq(distinct(&s, 64), 16, "shape %zu: %zu", i, distinct(&s, 64));
        forget(&s);
    }
}

/* How many tokens have a decision within twice the f32, and within twice the bf16, bound. */
static size_t close_calls(const seen *s, size_t tokens, double limit)
{
    const ffl_layer *l = &s->fixture.weights.layer;
    size_t count = 0;
    for (size_t t = 0; t < tokens; t++) {
        const double *z = s->gates + t * l->gates;
        double nearest = INFINITY;
        for (size_t g = 0; g < l->gates; g++) {
            const bool taken = l->operation == FFL_MOE && (int32_t)g == s->chosen[t];
            const double away = l->operation == FFL_MOE ? z[g] - z[s->chosen[t]] : z[g];
            if (!taken)
                nearest = fmin(nearest, fabs(away));
        }
        count += nearest < limit;
    }
    return count;
}

Test(fixture_experts, margin_puts_gates_next_to_their_bounds)
{
    const ffl_layer shapes[] = {leaf(256, 4, 3), mixture(256, 60, 3, 1)};
    for (size_t i = 0; i < 2; i++) {
        seen s = look("margin", shapes[i], true, 20, 5), r = look("random", shapes[i], true, 20, 5);
        cr_expect(close_calls(&s, 20, 1e-4) >= 4, "shape %zu: %zu", i, close_calls(&s, 20, 1e-4));
        cr_expect_eq(close_calls(&r, 20, 1e-4), 0);
        forget(&s);
        forget(&r);
    }
    seen all = look("margin", mixture(16, 3, 2, 3), true, 5, 1); /* nothing is left out: random data */
    forget(&all);
}
