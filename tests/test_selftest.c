/* The self-test of the verifier, through the program, on a part of its mutants; .ci/run does all of them. */
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static run_result r;

static void selftest(const char *arguments)
{
    char command[1024];
    snprintf(command, sizeof command, "$FFLAB selftest --timeout 10m %s", arguments);
    run_shell(command, &r);
}

Test(selftest, published_bugs_and_memory_bugs_are_caught, .timeout = 900)
{
    selftest("published memory fff_mutant_one_in_10000");
    cr_expect_eq(r.exit_code, 0, "%s%s", r.out, r.err);
    cr_expect(strstr(r.out, "38/38 mutants caught, 0/0 false alarms"), "%s", r.out);
    cr_expect(strstr(r.out, "read 0 bytes past the end of x"), "%s", r.out);
}

Test(selftest, honest_variants_are_accepted, .timeout = 900)
{
    selftest("fff_honest_lanes fff_honest_tf32 fff_honest_int8 ff_honest_fused");
    cr_expect_eq(r.exit_code, 0, "%s%s", r.out, r.err);
    cr_expect(strstr(r.out, "0/0 mutants caught, 0/4 false alarms"), "%s", r.out);
}

/* One check of `check`, one of `bench`; test_worth.c has those that cost no process. */
Test(selftest, without_a_check_its_mutant_gets_away, .timeout = 900)
{
    static const char *const needed[][2] = {{"read-only", "borrows_x"}, {"timed-last", "coarse_memory"}};
    char path[] = "/tmp/fflab-selftest-XXXXXX", arguments[256];
    close(mkstemp(path));
    snprintf(arguments, sizeof arguments,
             "fff_mutant_borrows_x fff_mutant_tie fff_mutant_coarse_memory --without read-only,timed-last "
             "--json > %s",
             path);
    selftest(arguments);
    cr_expect_eq(r.exit_code, 0, "with all checks all are caught: %s", r.err);
    json_t *document = json_load_file(path, 0, NULL);
    remove(path);
    cr_expect_eq(json_array_size(json_object_get(document, "mutants")), 3);
    for (size_t i = 0; i < 2; i++) {
        const json_t *without = json_array_get(json_object_get(document, "without"), i);
        cr_assert(without);
        cr_expect_str_eq(json_string_value(json_object_get(without, "check")), needed[i][0]);
        cr_expect_str_eq(json_string_value(json_object_get(without, "escaped")), needed[i][1]);
        cr_expect_eq(json_integer_value(json_object_get(json_object_get(without, "score"), "caught")), 2);
    }
    json_decref(document);
}

Test(selftest, honest_logits_stay_within_the_statistical_bound, .timeout = 240)
{
    selftest("--calibrate 100000 --seed 3");
    cr_expect_eq(r.exit_code, 0, "%s%s", r.out, r.err);
    cr_expect(strstr(r.out, " 0 beyond the statistical bound, 0 beyond the worst case"), "%s", r.out);
    static char first[sizeof r.out];
    strcpy(first, r.out);
    *strstr(first, "calibration:") = '\0';
    selftest("--calibrate 100000 --seed 3 --threads 3");
    *strstr(r.out, "calibration:") = '\0';
    cr_expect_str_eq(r.out, first, "the threads change what is found");
}

Test(selftest, refuses_names_it_does_not_know, .timeout = 60)
{
    selftest("no_such_mutant");
    cr_expect_eq(r.exit_code, 1);
    cr_expect(strstr(r.err, "selftest no_such_mutant: no mutant and no family of that name"), "%s", r.err);
    selftest("--calibrate 1000 memory");
    cr_expect_eq(r.exit_code, 1);
    cr_expect(strstr(r.err, "--calibrate 1000 tries no mutants: leave out memory"), "%s", r.err);
    selftest("--threads 2");
    cr_expect_eq(r.exit_code, 1);
    cr_expect(strstr(r.err, "--threads 2 belongs to --calibrate"), "%s", r.err);
    selftest("--without fences");
    cr_expect_eq(r.exit_code, 1);
    cr_expect(strstr(r.err, "--without fences: expected some of old-values"), "%s", r.err);
}

/* Shares are rounded: honest ones differ, and pass; the hint tells a wrong leaf. */
Test(selftest, experts_are_judged_by_choice_and_share, .timeout = 900)
{
    selftest("experts moe_honest_exp2 moe_honest_reciprocal");
    cr_expect_eq(r.exit_code, 0, "%s%s", r.out, r.err);
    cr_expect(strstr(r.out, "19/19 mutants caught, 0/2 false alarms"), "%s", r.out);
    cr_expect(strstr(r.out, "it is what leaf"), "%s", r.out);
}
