/*
 * What a single check is worth: with it a planted bug is caught, without it the bug passes everything. On the
 * cheap cases of the default design; `fflab selftest --without each` takes all checks, mutants and cases.
 */
#include "harness/check/cases.h"
#include "harness/check/checks.h"
#include "harness/check/trial.h"
#include "harness/selftest/drive.h"
#include <criterion/criterion.h>
#include <string.h>

typedef struct pair {
    ffl_check check;
    const char *mutant;
} pair;

/* Each check with a bug that only it finds. */
static const pair needed[] = {
    {FFL_CHECK_SAME_ADDRESS, "fff_mutant_by_pointer_and_row"},
    {FFL_CHECK_PART_BATCH, "fff_mutant_rest_of_the_plan"},
    {FFL_CHECK_EXACT, "fff_mutant_short_of_one"},
    {FFL_CHECK_TIES, "fff_mutant_sparse_tie"},
    {FFL_CHECK_MARGIN, "fff_mutant_within_rounding"},
    {FFL_CHECK_THRASH, "fff_mutant_runs_overflow"},
};
enum { NEEDED = sizeof needed / sizeof *needed, SOME = 16 };

/* Bytes of weights, and multiplications of a call: above either a case is dear. */
static const double bytes_most = 1e6, products_most = 2e6;

static bool cheap(const ffl_check_case *c)
{
    const ffl_layer *s = &c->shape;
    return (double)ffl_layer_bytes(s) < bytes_most &&
           (double)(c->batch * s->trees * s->levels * (s->width_in + s->width_out)) < products_most;
}

/* Is it rejected for the right reason on some cheap case? On how many it was tried: *cases. */
static bool caught(const ffl_mutant *mutant, const ffl_case_list *list, size_t *cases)
{
    bool yes = false;
    *cases = 0;
    for (size_t i = 0; i < list->count && !yes; i++) {
        const ffl_check_case *item = &list->items[i];
        const ffl_check fixture = ffl_check_of_fixture(item->fixture);
        ffl_judgement judgement;
        ffl_trial *trial;
        if (!cheap(item) || (fixture < FFL_CHECK_COUNT && !ffl_check_on(fixture)) ||
            ffl_trial_new(item, &trial) != FFL_OK)
            continue;
        ++*cases;
        cr_assert_eq(ffl_trial_run(trial, &mutant->variant, &judgement), FFL_OK, "%s", ffl_error());
        yes = ffl_mutant_expects(mutant, judgement.verdict, judgement.reason);
        cr_expect(yes || judgement.verdict == FFL_PASSED || judgement.verdict == FFL_UNSUPPORTED_HERE,
                  "%s: %s", mutant->variant.name, judgement.reason);
        ffl_trial_free(trial);
    }
    return yes;
}

Test(worth, each_of_these_checks_finds_what_no_other_does, .timeout = 300)
{
    ffl_case_list list = {0};
    size_t cases;
    cr_assert_eq(ffl_cases_default(FFL_FFF, 1, &list), FFL_OK);
    for (size_t i = 0; i < NEEDED; i++) {
        const ffl_mutant *mutant = ffl_mutant_find(needed[i].mutant);
        cr_assert(mutant, "%s", needed[i].mutant);
        ffl_check_restore_all();
        cr_expect(caught(mutant, &list, &cases), "%s gets away", needed[i].mutant);
        cr_assert_eq(ffl_check_leave_out(ffl_check_name(needed[i].check)), FFL_OK);
        cr_expect_not(caught(mutant, &list, &cases), "%s is caught without %s", needed[i].mutant,
                      ffl_check_name(needed[i].check));
        cr_expect_gt(cases, SOME);
    }
    ffl_cases_free(&list);
}
