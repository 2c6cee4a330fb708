/* The self-test of timing: its score on made-up pairs, and one short run. */
#include "harness/selftest/timing.h"
#include "tests/files.h"
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <math.h>

enum { PAIRS = FFL_TIMING_PAIRS };

static ffl_timing_score score;

/* Logs spread evenly over ±spread around both centres, in a scattered order. */
static void add(double twin, double slowed, double spread)
{
    double twins[PAIRS], slow[PAIRS];
    ffl_pairs pairs = {.count = PAIRS, .planted = 0.05, .log_ratio = {NULL, twins, slow}};
    for (size_t i = 0; i < PAIRS; i++) {
        const double off = spread * (2 * (double)(i * 67 % PAIRS) / (PAIRS - 1) - 1);
        twins[i] = twin + off;
        slow[i] = slowed + off;
    }
    cr_assert_eq(ffl_timing_score_add(&score, &pairs), FFL_OK);
}

static void start(void)
{
    score = ffl_timing_score_new();
}

TestSuite(timing, .init = start);

Test(timing, clear_cases_take_few_pairs)
{
    cr_expect_eq(ffl_timing_score_size(&score), 0, "nothing was compared");
    cr_expect_not(ffl_timing_score_holds(&score));
    for (int i = 0; i < 20; i++)
        add(0, log(1.05), 0.005);
    cr_expect_eq(ffl_timing_score_size(&score), 20);
    for (size_t i = 0; i < FFL_TIMING_STEPS; i++) {
        cr_expect_eq(score.step[i].same, 20);
        cr_expect_eq(score.step[i].claimed, 0);
        cr_expect_eq(score.step[i].found, 20);
    }
}

Test(timing, noise_takes_more)
{
    for (int i = 0; i < 20; i++)
        add(0, log(1.05), 0.2);
    cr_expect_eq(score.step[0].found, 0, "20 pairs cannot tell");
    cr_expect_eq(score.step[FFL_TIMING_STEPS - 1].found, 20, "%d can", PAIRS);
    cr_expect_eq(score.step[0].claimed, 0);
    cr_expect(ffl_timing_score_holds(&score));
    cr_expect_eq(ffl_timing_score_size(&score), 0, "twins are AMBIGUOUS, however many pairs there are");
}

/* Twins within the margin only with many pairs. */
Test(timing, the_size_is_where_twins_are_mostly_the_same)
{
    for (int i = 0; i < 20; i++)
        add(0, log(1.05), 0.09);
    const size_t size = ffl_timing_score_size(&score);
    cr_expect(size > 20 && size < PAIRS, "%zu", size);
    for (size_t i = 0; i < FFL_TIMING_STEPS; i++)
        cr_expect(score.step[i].pairs < size ? score.step[i].same < 15 : score.step[i].same >= 15,
                  "%zu pairs: %zu", score.step[i].pairs, score.step[i].same);
}

Test(timing, one_in_twenty_may_err)
{
    for (int i = 0; i < 19; i++)
        add(0, log(1.05), 0.005);
    add(0.1, log(1.05), 0.005);
    cr_expect_eq(score.step[0].claimed, 1);
    cr_expect_eq(ffl_timing_score_size(&score), 20, "19 of 20 are 95 %%");
    add(0, 0, 0.005);
    cr_expect_eq(ffl_timing_score_size(&score), 20, "one of 21 each");
    add(-0.1, log(1.05), 0.005);
    cr_expect_eq(ffl_timing_score_size(&score), 0, "two of 22");
    cr_expect_not(ffl_timing_score_holds(&score));
}

Test(timing, a_short_run_says_what_it_did)
{
    static run_result result;
    files_folder();
    run_shell("export FFLAB_CACHE_DIR=$(mktemp -d); $FFLAB selftest --timing --budget 1 --json; code=$?; "
              "ls $FFLAB_CACHE_DIR | grep -c timing.json >&2; rm -r $FFLAB_CACHE_DIR; exit $code",
              &result);
    json_t *json = json_loads(result.out, 0, NULL);
    cr_assert_not_null(json, "%s%s", result.out, result.err);
    cr_expect_geq(json_integer_value(json_object_get(json, "comparisons")), 1);
    cr_expect_eq(result.exit_code, json_is_true(json_object_get(json, "holds")) ? 0 : 2);
    /* A busy machine may hide the slowdown from a comparison, not from the clock that planted it. */
    cr_expect_float_eq(json_number_value(json_object_get(json, "planted_low")), 0.05, 0.02, "%s", result.out);
    cr_expect(strstr(result.err, "0\n"), "too few to size anything by: %s", result.err);
    json_decref(json);
    files_remove();
}

Test(timing, bad_input_is_one_clear_line)
{
    static const char *const table[][2] = {
        {"--timing memory", "--timing takes no mutants ('memory')"},
        {"--timing --without ties", "--timing and --without do not go together"},
        {"--budget 1m", "--budget: only with --timing"},
        {"--timing --budget soon", "--budget soon"},
    };
    static run_result result;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char command[256];
        snprintf(command, sizeof command, "$FFLAB selftest %s", table[i][0]);
        run_shell(command, &result);
        cr_expect_eq(result.exit_code, 1);
        cr_expect(strstr(result.err, table[i][1]), "%s", result.err);
    }
}
