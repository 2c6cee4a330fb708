/* Two programs that take turns; timed briefly, for what is said here holds at any speed. */
#include "tests/files.h"
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <jansson.h>

static run_result result;

static void tear_down(void)
{
    files_remove();
}

TestSuite(turns, .fini = tear_down);

#define SMALL " --tree 1x2 --width 24 --batch 3 --pairs 14 --timeout 60 "

static json_t *run_json(const char *command, int exit_code)
{
    files_folder();
    run_shell(command, &result);
    cr_assert_eq(result.exit_code, exit_code, "exit code %d\n%s%s", result.exit_code, result.out, result.err);
    json_t *json = json_loads(result.out, 0, NULL);
    cr_assert_not_null(json, "%s", result.out);
    return json;
}

static const json_t *at(const json_t *json, const char *list, size_t i)
{
    return json_array_get(json_object_get(json, list), i);
}

Test(turns, a_build_against_itself)
{
    json_t *json = run_json("$FFLAB compare --against $BUILD -v fff_naive --margin 900%" SMALL "--json", 0);
    const json_t *row = at(json, "rows", 0);
    cr_expect_eq(json_array_size(json_object_get(json, "rows")), 1);
    cr_expect_str_eq(json_string_value(json_object_get(row, "verdict")), "SAME");
    cr_expect_eq(json_integer_value(json_object_get(row, "samples")), 14);
    cr_expect_gt(json_number_value(json_object_get(row, "base_ns_per_token")), 1);
    cr_expect_gt(json_number_value(json_object_get(row, "new_ns_per_token")), 1);
    cr_expect(json_is_true(json_object_get(json, "paired")));
    json_decref(json);
}

/* What fails while it is timed has no time here either. */
Test(turns, rows_that_fail_are_left_out_and_exit_code_2)
{
    json_t *json = run_json("$FFLAB compare --against $BUILD --plugin $BENCH_PLUGIN -v fff_test_tiring "
                            "-v fff_test_crashing -v fff_naive" SMALL "--json",
                            2);
    cr_expect_eq(json_array_size(json_object_get(json, "rows")), 1);
    cr_expect_eq(json_array_size(json_object_get(json, "left_out")), 2);
    for (size_t i = 0; i < 2; i++) {
        const char *text = json_string_value(at(json, "left_out", i));
        cr_expect(strstr(text, "fff_test_tiring") ? !!strstr(text, ": FAILED, ")
                                                  : !!strstr(text, ": CRASHED, "),
                  "%s", text);
        cr_expect(strstr(text, "BASE: ") || strstr(text, "NEW: "), "%s", text);
    }
    json_decref(json);
}

Test(turns, rows_that_cannot_run_are_no_failure)
{
    json_t *json = run_json("$FFLAB compare --against $BUILD -v fff_naive --threads 2" SMALL "--json", 5);
    cr_expect(strstr(json_string_value(at(json, "left_out", 0)), "UNSUPPORTED"));
    json_decref(json);
}

/* A program that knows no turns, as one built before there were any. */
Test(turns, another_version_is_told)
{
    files_folder();
    run_shell("d=$(mktemp -d) && mkdir $d/harness && printf '#!/bin/sh\\nexit 1\\n' > $d/harness/fflab && "
              "chmod +x $d/harness/fflab && $FFLAB compare --against $d -v fff_naive" SMALL
              "; code=$?; rm -r $d; "
              "exit $code",
              &result);
    cr_expect_eq(result.exit_code, 1);
    cr_expect(strstr(result.err, "cannot take turns with this program: another version of fflab?"), "%s",
              result.err);
}
