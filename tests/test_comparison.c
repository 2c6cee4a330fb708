/* Two journals: every verdict, every reason for none, and what a user reads. */
#define _GNU_SOURCE
#include "reports/comparison.h"
#include "tests/files.h"
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdarg.h>

static ffl_rows base, now;
static ffl_comparison c;
static run_result result;

static void tear_down(void)
{
    ffl_comparison_free(&c);
    ffl_rows_free(&base);
    ffl_rows_free(&now);
    files_remove();
}

TestSuite(comparison, .fini = tear_down);

static void put(const char *name, const char *format, ...)
{
    FILE *file = fopen(files_path(name), "a");
    va_list arguments;
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    fclose(file);
}

static void put_run(const char *name, const char *cpu, const char *commit)
{
    put(name,
        "{\"schema\":1,\"kind\":\"run\",\"run\":\"%s\",\"key\":\"run\",\"circumstances\":{\"machine\":{"
        "\"cpu\":\"%s\","
        "\"cpus\":2},\"build\":{\"commit\":\"%s\",\"compiler\":\"gcc 12\"},\"blas\":[{\"gflops\":%d.5}],"
        "\"command\":\"fflab bench --out %s\"}}\n",
        name, cpu, commit, (int)name[0], name);
}

/* Calls spread evenly over ±spread around `ns`, the middle one there. */
static void put_row(const char *name, const char *variant, double ns, double spread, const char *more)
{
    put(name,
        "{\"schema\":1,\"kind\":\"bench\",\"run\":\"%s\",\"key\":\"%s/"
        "b16\",\"group\":\"g\",\"variant\":\"%s\","
        "\"operation\":\"fff\",\"trees\":1,\"depth\":7,\"neurons\":255,\"routing\":\"uniform\",\"cache\":"
        "\"hot\","
        "\"batch\":16,\"threads\":1,\"verdict\":\"PASSED\",\"median_ns\":%.0f,\"low_ns\":%.0f,\"high_ns\":%."
        "0f,"
        "\"samples_ns\":[",
        name, variant, variant, ns, ns, ns);
    for (int i = -10; i <= 10; i++)
        put(name, "%s[%.3f,7]", i > -10 ? "," : "", ns * (1 + spread * i / 10));
    put(name, "]%s}\n", more);
}

#define TOKENS ",\"tokens\":16"

/* Twelve rows that did not change, in both. */
static void put_neighbours(double moved)
{
    put_run("base.jsonl", "Test CPU", "aaaa");
    put_run("new.jsonl", "Test CPU", "bbbb");
    for (int i = 0; i < 12; i++) {
        char variant[32];
        snprintf(variant, sizeof variant, "fff_neighbour%d", i);
        put_row("base.jsonl", variant, 16000, 0.001, TOKENS);
        put_row("new.jsonl", variant, 16000 * (1 + moved), 0.001, TOKENS);
    }
}

static ffl_status compare(void)
{
    const char *before = files_path("base.jsonl"), *after = files_path("new.jsonl");
    ffl_comparison_free(&c);
    ffl_rows_free(&base);
    ffl_rows_free(&now);
    cr_assert_eq(ffl_rows_read(&before, 1, &base), FFL_OK, "%s", ffl_error());
    cr_assert_eq(ffl_rows_read(&after, 1, &now), FFL_OK, "%s", ffl_error());
    return ffl_comparison_of_journals(&base, &now, 0.02, &c);
}

static const ffl_compared *find(const char *variant)
{
    for (size_t i = 0; i < c.count; i++)
        if (strcmp(c.value[i].row.variant, variant) == 0)
            return &c.value[i];
    cr_assert_fail("%s was not compared", variant);
    return NULL;
}

static void expect_change(const char *variant, ffl_change expected)
{
    const ffl_compared *row = find(variant);
    cr_expect_eq(row->change, expected, "%s: %s %g [%g, %g], expected %s", variant,
                 ffl_change_name(row->change), row->effect.change, row->effect.low, row->effect.high,
                 ffl_change_name(expected));
}

static void expect_reason(const char *variant, const char *reason)
{
    cr_expect(strstr(find(variant)->reason, reason), "%s: '%s'", variant, find(variant)->reason);
}

static void expect_left_out(const char *text)
{
    for (size_t i = 0; i < c.left_out_count; i++)
        if (strcmp(c.left_out[i], text) == 0)
            return;
    cr_expect_fail("nowhere left out: %s", text);
}

static void expect_error(const char *snippet)
{
    cr_assert_eq(compare(), FFL_BAD_INPUT);
    cr_expect(strstr(ffl_error(), snippet), "%s", ffl_error());
}

static void put_pair(const char *variant, double before, double after, double spread)
{
    put_row("base.jsonl", variant, before, spread, TOKENS);
    put_row("new.jsonl", variant, after, spread, TOKENS);
}

Test(comparison, every_verdict)
{
    put_neighbours(0.001);
    put_pair("fff_slower", 16000, 17600, 0.001);
    put_pair("fff_faster", 16000, 12800, 0.001);
    put_pair("fff_same", 16000, 16080, 0.001);
    put_pair("fff_spread", 16000, 17600, 0.5);
    cr_assert_eq(compare(), FFL_OK, "%s", ffl_error());
    expect_change("fff_slower", FFL_SLOWER);
    expect_change("fff_faster", FFL_FASTER);
    expect_change("fff_same", FFL_SAME);
    expect_change("fff_spread", FFL_AMBIGUOUS);
    expect_change("fff_neighbour3", FFL_SAME);
    cr_expect_float_eq(find("fff_slower")->effect.change, 0.1, 1e-9);
    cr_expect_float_eq(find("fff_slower")->new_ns, 1100, 1e-9, "per token");
    cr_expect_eq(find("fff_slower")->samples, 147);
    cr_expect_str_eq(c.value[0].row.variant, "fff_slower", "what is slower comes first");
    cr_expect_eq(ffl_comparison_tally(&c, FFL_SAME), 13);
    cr_expect_eq(ffl_comparison_slower(&c, 0.03), 1);
    cr_expect_eq(ffl_comparison_slower(&c, 0.099), 0, "the interval reaches below");
}

Test(comparison, what_all_rows_did_may_have_been_the_machine)
{
    put_neighbours(0.4);
    put_pair("fff_one", 16000, 22400, 0.001);
    put_pair("fff_more", 16000, 32000, 0.001);
    cr_assert_eq(compare(), FFL_OK, "%s", ffl_error());
    expect_change("fff_one", FFL_AMBIGUOUS);
    expect_reason("fff_one", "rows beside it moved by 40 %");
    expect_change("fff_more", FFL_SLOWER);
}

Test(comparison, a_row_by_itself_owes_a_mode_of_the_machine)
{
    put_run("base.jsonl", "Test CPU", "aaaa");
    put_run("new.jsonl", "Test CPU", "aaaa");
    put_pair("fff_alone", 16000, 27200, 0.001);
    put_pair("fff_far", 16000, 40000, 0.001);
    cr_assert_eq(compare(), FFL_OK, "%s", ffl_error());
    expect_change("fff_alone", FFL_AMBIGUOUS);
    expect_reason("fff_alone", "too few rows beside it");
    expect_change("fff_far", FFL_SLOWER);
    cr_expect_eq(c.difference_count, 0, "measured rates and the command are no difference");
}

Test(comparison, what_differs_and_what_is_left_out_is_said)
{
    put_neighbours(0);
    put_row("base.jsonl", "fff_gone", 16000, 0.001, TOKENS);
    put_row("new.jsonl", "fff_added", 16000, 0.001, TOKENS);
    put_row("base.jsonl", "fff_reduced", 16000, 0.001, TOKENS);
    put_row("new.jsonl", "fff_reduced", 16000, 0.001, ",\"tokens\":8");
    put_row("base.jsonl", "fff_broken", 16000, 0.001, TOKENS);
    put("new.jsonl",
        "{\"kind\":\"bench\",\"run\":\"new.jsonl\",\"key\":\"fff_broken/b16\",\"verdict\":\"FAILED\","
        "\"median_ns\":5}\n");
    cr_assert_eq(compare(), FFL_OK, "%s", ffl_error());
    cr_expect_eq(c.count, 12);
    cr_expect_eq(c.left_out_count, 4);
    expect_left_out("fff_gone/b16: only in BASE");
    expect_left_out("fff_added/b16: only in NEW");
    expect_left_out("fff_reduced/b16: calls of another number of tokens");
    expect_left_out("fff_broken/b16: no time in NEW");
    cr_assert_eq(c.difference_count, 1);
    cr_expect_str_eq(c.differences[0], "build.commit: \"aaaa\" -> \"bbbb\"");
}

Test(comparison, rows_of_two_machines_are_never_compared)
{
    put_run("base.jsonl", "Old CPU", "aaaa");
    put_run("new.jsonl", "New CPU", "aaaa");
    put_pair("fff_row", 16000, 16000, 0.001);
    expect_error("rows of two machines are never compared");
}

Test(comparison, nothing_to_compare_is_an_error)
{
    put_run("base.jsonl", "Test CPU", "aaaa");
    put_run("new.jsonl", "Test CPU", "aaaa");
    put_row("base.jsonl", "fff_one", 16000, 0.001, TOKENS);
    expect_error("new.jsonl: no rows");
    put_row("new.jsonl", "fff_other", 16000, 0.001, TOKENS);
    expect_error("have no timed row in common");
}

Test(comparison, a_newer_schema_is_an_error)
{
    put_run("base.jsonl", "Test CPU", "aaaa");
    put_row("base.jsonl", "fff_one", 16000, 0.001, TOKENS);
    put("new.jsonl", "{\"schema\":9,\"kind\":\"bench\",\"key\":\"fff_one/b16\"}\n");
    expect_error("written by a newer fflab");
}

/* ---- As a user sees it ---- */

static void compare_files(const char *more)
{
    char command[2048];
    snprintf(command, sizeof command, "$FFLAB compare %s/base.jsonl %s/new.jsonl %s", files_folder(),
             files_folder(), more);
    run_shell(command, &result);
}

static void expect_in(const char *text, const char *snippet)
{
    cr_expect(strstr(text, snippet), "missing: %s\nin:\n%s", snippet, text);
}

Test(comparison, fail_on_is_exit_code_3)
{
    put_neighbours(0);
    put_pair("fff_slower", 16000, 17600, 0.001);
    compare_files("");
    cr_expect_eq(result.exit_code, 0);
    compare_files("--fail-on slower=3%");
    cr_expect_eq(result.exit_code, 3, "%s", result.err);
    compare_files("--fail-on slower=9.9%");
    cr_expect_eq(result.exit_code, 0, "not beyond doubt");
    compare_files("--fail-on slower=15%");
    cr_expect_eq(result.exit_code, 0);
}

Test(comparison, text_markdown_and_json)
{
    put_neighbours(0);
    put_pair("fff_slower", 16000, 17600, 0.001);
    compare_files("");
    expect_in(result.out,
              "\nSLOWER      +10.0 %  [+9.9 %, +10.1 %]       1.00 µs    1.10 µs  fff_slower 1x7 batch 16, "
              "uniform, hot, 1 thread\n");
    expect_in(result.out, "\n13 rows: 1 SLOWER, 0 FASTER, 0 AMBIGUOUS, 12 SAME\n");
    expect_in(result.out, "differs: build.commit: \"aaaa\" -> \"bbbb\"\n");
    compare_files("--markdown");
    expect_in(result.out, "**fflab compare** 13 rows: 1 SLOWER, 0 FASTER, 0 AMBIGUOUS, 12 SAME\n");
    expect_in(result.out,
              "\n| **SLOWER** | +10.0 % | [+9.9 %, +10.1 %] | 1.00 µs | 1.10 µs | fff_slower 1x7 batch 16, ");
    expect_in(result.out, "\n<details><summary>12 rows SAME or AMBIGUOUS</summary>\n\n| | Change");
    compare_files("--json");
    json_t *json = json_loads(result.out, 0, NULL);
    cr_assert_not_null(json, "%s", result.out);
    const json_t *row = json_array_get(json_object_get(json, "rows"), 0);
    cr_expect_eq(json_array_size(json_object_get(json, "rows")), 13);
    cr_expect_str_eq(json_string_value(json_object_get(row, "verdict")), "SLOWER");
    cr_expect_float_eq(json_number_value(json_object_get(row, "change")), 0.1, 1e-6);
    cr_expect_eq(json_integer_value(json_object_get(json_object_get(json, "tally"), "SAME")), 12);
    json_decref(json);
}

static void expect_refused(const char *words, const char *message)
{
    char command[1024];
    snprintf(command, sizeof command, "$FFLAB compare %s", words);
    run_shell(command, &result);
    cr_expect_eq(result.exit_code, 1, "%s: exit code %d", words, result.exit_code);
    expect_in(result.err, message);
    cr_expect_eq(strchr(result.err, '\n') - result.err + 1, (long)strlen(result.err), "one line: %s",
                 result.err);
}

Test(comparison, bad_input_is_one_clear_line)
{
    files_folder();
    expect_refused("", "usage: fflab compare BASE NEW, or fflab compare --against BUILD_DIR");
    expect_refused("one", "something is missing");
    expect_refused("/no/such/journal /no/such/other", "/no/such/journal: No such file");
    expect_refused("a b --pairs 9", "--pairs: only with --against");
    expect_refused("a b --fail-on 3%", "--fail-on 3%: expected slower=P%");
    expect_refused("a b --fail-on slower=3", "--fail-on slower=3: expected slower=P%");
    expect_refused("a b --margin -1%", "--margin -1%: expected P%");
    expect_refused("a b --margin nan%", "--margin nan%: expected P%");
    expect_refused("a --against b", "--against b: takes no journals ('a')");
    expect_refused("--against /no/such",
                   "/no/such/harness/fflab: No such file or directory; is it a build folder?");
    expect_refused("--against $BUILD -v fff_naive --batch 1 --pairs 5", "--pairs 5: 1 rows need at least 6");
    expect_refused("--against $BUILD -v fff_naive --batch 1 --class bf16", "these options select no row");
}

/* ---- On a device ---- */

#define GRAPH ",\"tokens\":16,\"place\":\"cuda\",\"form\":\"graph\",\"burst\":8,\"wall_ns\":50000"

/* Six more on the card, which did not change. */
static void put_device_neighbours(void)
{
    for (int i = 0; i < 6; i++) {
        char variant[32];
        snprintf(variant, sizeof variant, "fff_neighbour%d_cuda", i);
        put_row("base.jsonl", variant, 16000, 0.001, GRAPH);
        put_row("new.jsonl", variant, 16000, 0.001, GRAPH);
    }
}

/* By the device's times: the host saw no change. And the host's rows, which all moved, say nothing about the
 * card. */
Test(comparison, rows_of_a_device_are_compared_by_its_times_and_drift_apart_from_the_host)
{
    put_neighbours(0.5);
    put_device_neighbours();
    put_row("base.jsonl", "fff_slower_cuda", 16000, 0.001, GRAPH ",\"sm_mhz\":1980");
    put_row("new.jsonl", "fff_slower_cuda", 17600, 0.001, GRAPH ",\"sm_mhz\":1755");
    cr_assert_eq(compare(), FFL_OK, "%s", ffl_error());
    expect_change("fff_slower_cuda", FFL_SLOWER);
    expect_change("fff_neighbour3_cuda", FFL_SAME);
    expect_change("fff_neighbour3", FFL_AMBIGUOUS);
    bool told = false;
    for (size_t i = 0; i < c.difference_count; i++)
        told |=
            strcmp(c.differences[i], "clock of the card after fff_slower_cuda/b16: 1980 -> 1755 MHz") == 0;
    cr_expect(told);
    compare_files("");
    expect_in(result.out, "  fff_neighbour0_cuda 1x7 batch 16, uniform, hot, on the GPU, as a graph\n");
}

Test(comparison, a_graph_is_not_compared_with_calls_and_an_emulated_device_not_at_all)
{
    put_neighbours(0);
    put_row("base.jsonl", "fff_form_cuda", 16000, 0.001, GRAPH);
    put_row("new.jsonl", "fff_form_cuda", 16000, 0.001, TOKENS ",\"place\":\"cuda\",\"form\":\"plain\"");
    put_row("base.jsonl", "fff_emulated_cuda", 16000, 0.001, GRAPH ",\"emulated\":true");
    put_row("new.jsonl", "fff_emulated_cuda", 16000, 0.001, GRAPH);
    cr_assert_eq(compare(), FFL_OK, "%s", ffl_error());
    cr_expect_eq(c.count, 12);
    expect_left_out("fff_form_cuda/b16: timed as a graph in BASE, call by call in NEW");
    expect_left_out("fff_emulated_cuda/b16: on an emulated device, which has no times");
}
