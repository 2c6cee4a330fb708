/* Statistics of a comparison on numbers whose answers are known. */
#include "harness/workload/random.h"
#include "reports/change.h"
#include <criterion/criterion.h>
#include <math.h>

static void expect_near(double got, double expected)
{
    cr_assert(fabs(got - expected) <= 1e-9 * (1 + fabs(expected)), "got %.15g, expected %.15g", got,
              expected);
}

/* Ranks as printed in tables of the sign test. */
Test(change, ranks_of_a_medians_interval_are_those_of_the_tables)
{
    static const size_t table[][2] = {{5, 0},  {6, 1},  {8, 1},  {9, 2},   {10, 2},  {12, 3},
                                      {15, 4}, {20, 6}, {25, 8}, {30, 10}, {50, 18}, {100, 40}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        cr_expect_eq(ffl_median_rank(table[i][0], 0.95), table[i][1], "n = %zu: %zu", table[i][0],
                     ffl_median_rank(table[i][0], 0.95));
    cr_expect_eq(ffl_median_rank(0, 0.95), 0);
    cr_expect_eq(ffl_median_rank(8, 0.99), 1);
    cr_expect_eq(ffl_median_rank(7, 0.99), 0);
    cr_expect_eq(ffl_median_fewest(0.95), 6);
    cr_expect_eq(ffl_median_fewest(0.99), 8);
    cr_expect_eq(ffl_median_fewest(0.999), 11);
}

Test(change, more_confidence_takes_more_values)
{
    cr_expect_eq(ffl_median_as_sharp(100, 0.95), 100);
    cr_expect_eq(ffl_median_as_sharp(12, 0.95), 12);
    /* The normal form: (3.48 / 1.96)² times as many for one in 2000. */
    const size_t many = ffl_median_as_sharp(100, 0.9995);
    cr_expect(many >= 290 && many <= 350, "%zu", many);
    cr_expect_geq((double)ffl_median_rank(many, 0.9995) / (double)many, 0.40);
}

Test(change, an_effect_of_pairs_is_their_median_between_order_statistics)
{
    double logs[12], five[5] = {0.1, 0.2, 0.3, 0.4, 0.5};
    for (size_t i = 0; i < 12; i++)
        logs[(7 * i) % 12] = log(1.01 + 0.01 * (double)i);
    const ffl_effect e = ffl_effect_of_pairs(logs, 12, 0.95);
    expect_near(e.change, sqrt(1.06 * 1.07) - 1);
    expect_near(e.low, 0.03);
    expect_near(e.high, 0.10);
    const ffl_effect few = ffl_effect_of_pairs(five, 5, 0.95), none = ffl_effect_of_pairs(five, 0, 0.95);
    expect_near(few.change, expm1(0.3));
    cr_expect(few.low <= -1 && isinf(few.high), "five pairs make no interval of 95 %%");
    cr_expect(isnan(none.change) && none.low <= -1 && isinf(none.high));
}

Test(change, verdicts)
{
    static const struct {
        double change, low, high;
        ffl_change expected;
    } table[] = {
        {0.000, -0.010, 0.010, FFL_SAME},
        {0.005, 0.001, 0.009, FFL_SAME}, /* real, and too small to matter */
        {0.020, 0.020, 0.020, FFL_SAME},
        {0.050, 0.040, 0.060, FFL_SLOWER},
        {0.030, 0.001, 0.060, FFL_SLOWER},
        {-0.050, -0.060, -0.040, FFL_FASTER},
        {-0.030, -0.060, -0.001, FFL_FASTER},
        {0.015, 0.001, 0.030, FFL_AMBIGUOUS}, /* below the margin or above? */
        {0.050, -0.001, 0.100, FFL_AMBIGUOUS},
        {-0.050, -0.100, 0.000, FFL_AMBIGUOUS},
        {0.000, -0.030, 0.010, FFL_AMBIGUOUS},
        {0.300, -1, INFINITY, FFL_AMBIGUOUS},
        {NAN, NAN, NAN, FFL_AMBIGUOUS},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const ffl_effect e = {table[i].change, table[i].low, table[i].high};
        const ffl_change got = ffl_change_of(&e, 0.02);
        cr_expect_eq(got, table[i].expected, "%g [%g, %g]: %s, expected %s", e.change, e.low, e.high,
                     ffl_change_name(got), ffl_change_name(table[i].expected));
    }
}

Test(change, an_effect_of_runs_takes_the_far_ends_of_both_medians)
{
    double base[12], now[12], many[1200];
    ffl_samples b, n, m, few;
    for (size_t i = 0; i < 12; i++) {
        base[i] = 100 + (double)i;
        now[i] = 200 + (double)i;
        for (size_t k = 0; k < 100; k++)
            many[100 * i + k] = base[i];
    }
    cr_assert_eq(ffl_samples_from(base, 12, &b), FFL_OK);
    cr_assert_eq(ffl_samples_from(now, 12, &n), FFL_OK);
    cr_assert_eq(ffl_samples_from(many, 1200, &m), FFL_OK);
    cr_assert_eq(ffl_samples_from(now, 5, &few), FFL_OK);
    /* The third and the tenth of twelve. */
    ffl_effect e = ffl_effect_of_runs(&b, &n);
    expect_near(e.change, 205.5 / 105.5 - 1);
    expect_near(e.low, 202.0 / 109 - 1);
    expect_near(e.high, 209.0 / 102 - 1);
    /* A hundred times as many calls of the same repetitions tell nothing more. */
    e = ffl_effect_of_runs(&m, &n);
    expect_near(e.low, 202.0 / 109 - 1);
    expect_near(e.high, 209.0 / 102 - 1);
    e = ffl_effect_of_runs(&b, &few);
    cr_expect(e.low <= -1 && isinf(e.high));
    const ffl_effect drifted = ffl_effect_drifted(&(ffl_effect){0.1, 0.05, 0.2}, log(1.25));
    expect_near(drifted.change, 0.1);
    expect_near(drifted.low, 1.05 / 1.25 - 1);
    expect_near(drifted.high, 1.2 * 1.25 - 1);
    ffl_samples_free(&b);
    ffl_samples_free(&n);
    ffl_samples_free(&m);
    ffl_samples_free(&few);
}

Test(change, shares_have_exact_intervals)
{
    double low, high;
    ffl_share_interval(60, 60, &low, &high);
    cr_expect_float_eq(low, 0.9403705, 1e-6); /* 0.025 to the power 1/60 */
    cr_expect_float_eq(high, 1, 1e-12);
    ffl_share_interval(0, 10, &low, &high);
    cr_expect_float_eq(low, 0, 1e-12);
    cr_expect_float_eq(high, 0.3084971, 1e-6);
    ffl_share_interval(5, 10, &low, &high);
    cr_expect_float_eq(low, 0.1870860, 1e-6);
    cr_expect_float_eq(high, 0.8129140, 1e-6);
}

/* Noise as on a busy virtual machine: a sharp middle, a fifth of the pairs far off to either side, and a
 * tenth with one half in a mode 1.9 times slower. */
static double noise(ffl_random *random)
{
    const double draw = ffl_random_uniform(random), side = ffl_random_uniform(random) < 0.5 ? -1 : 1;
    if (draw < 0.1)
        return side * log(1.9);
    return ffl_random_normal(random) * (draw < 0.3 ? 0.3 : 0.02);
}

static size_t simulate(double shift, ffl_change counted, size_t pairs)
{
    enum { TRIALS = 400, PAIRS_MOST = 120 };
    ffl_random random = ffl_random_new(7, 0);
    double logs[PAIRS_MOST];
    size_t hits = 0;
    for (size_t trial = 0; trial < TRIALS; trial++) {
        for (size_t i = 0; i < pairs; i++)
            logs[i] = shift + noise(&random);
        const ffl_effect e = ffl_effect_of_pairs(logs, pairs, 0.95);
        hits += ffl_change_of(&e, 0.02) == counted;
    }
    return hits;
}

Test(change, bimodal_noise_neither_makes_changes_nor_hides_them)
{
    cr_expect_leq(simulate(0, FFL_SLOWER, 120) + simulate(0, FFL_FASTER, 120), 20);
    cr_expect_geq(simulate(0, FFL_SAME, 120), 380);
    cr_expect_geq(simulate(log(1.05), FFL_SLOWER, 120), 380);
    cr_expect_geq(simulate(-log(1.05), FFL_FASTER, 120), 380);
    /* Few pairs say that they do not know. */
    cr_expect_leq(simulate(0, FFL_SLOWER, 8) + simulate(0, FFL_FASTER, 8), 20);
    cr_expect_geq(simulate(0, FFL_AMBIGUOUS, 8), 200);
}

/* The interval holds the true median as often as it says, however the values are spread. */
Test(change, intervals_hold_what_they_promise)
{
    ffl_random random = ffl_random_new(11, 0);
    for (size_t pairs = 6; pairs <= 120; pairs += 38) {
        size_t held = 0;
        for (size_t trial = 0; trial < 1000; trial++) {
            double logs[120];
            for (size_t i = 0; i < pairs; i++)
                logs[i] = 0.01 + noise(&random);
            const ffl_effect e = ffl_effect_of_pairs(logs, pairs, 0.95);
            held += e.low <= expm1(0.01) && e.high >= expm1(0.01);
        }
        cr_expect_geq(held, 940, "%zu pairs: %zu of 1000", pairs, held);
    }
}
