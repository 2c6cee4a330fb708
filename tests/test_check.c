/*
 * The check command, through the program: variants broken on purpose are rejected for the right reason,
 * honest ones accepted, a crash or hang costs one case, lines repeat, bad options are refused in one line.
 */
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Runs `fflab check ARGUMENTS --json`; results of the document, to be decref'ed by the caller. */
static json_t *check_json(const char *arguments, int *exit_code)
{
    static run_result r;
    char path[] = "/tmp/fflab-check-XXXXXX", command[4096];
    close(mkstemp(path));
    snprintf(command, sizeof command, "$FFLAB check %s --shrink 0 --json > %s", arguments, path);
    run_shell(command, &r);
    *exit_code = r.exit_code;
    json_error_t error;
    json_t *document = json_load_file(path, 0, &error);
    remove(path);
    cr_assert(document, "%s: %s; %s", command, error.text, r.err);
    json_t *results = json_incref(json_object_get(document, "results"));
    json_decref(document);
    cr_assert(json_is_array(results));
    return results;
}

static const char *text(const json_t *row, const char *field)
{
    const char *value = json_string_value(json_object_get(row, field));
    return value ? value : "";
}

/* Rows of a variant with this verdict and a reason that holds `reason`; the first of them in *found. */
static size_t count_rows(const json_t *results, const char *variant, const char *verdict, const char *reason,
                         const json_t **found)
{
    size_t i, count = 0;
    const json_t *row;
    json_array_foreach(results, i, row)
    {
        if (strcmp(text(row, "variant"), variant) == 0 && strcmp(text(row, "verdict"), verdict) == 0 &&
            strstr(text(row, "reason"), reason)) {
            if (found && count == 0)
                *found = row;
            count++;
        }
    }
    return count;
}

static size_t count_variant(const json_t *results, const char *variant)
{
    size_t i, count = 0;
    const json_t *row;
    json_array_foreach(results, i, row) count += strcmp(text(row, "variant"), variant) == 0;
    return count;
}

typedef struct expectation {
    const char *variant, *verdict, *reason;
} expectation;

static const expectation expectations[] = {
    {"fff_broken_tie", "FAILED", "row"},
    {"fff_broken_sign_bit", "FAILED", "row"},
    {"fff_broken_last_level", "FAILED", "row"},
    {"fff_broken_mirror", "FAILED", "row 2"},
    {"fff_broken_keeps_row", "FAILED", "first call: row"},
    {"fff_broken_previous_row", "FAILED", "second call"},
    {"fff_broken_cached", "FAILED", "second call"},
    {"fff_broken_tanh", "FAILED", "row"},
    {"fff_broken_nan", "FAILED", "got nan"},
    {"fff_broken_adds", "FAILED", "first call: row"},
    {"fff_broken_no_bias", "FAILED", "row"},
    {"fff_broken_last_element", "FAILED", "row"},
    {"fff_broken_over_read", "CRASHED", "read 0 bytes past the end of x"},
    {"fff_broken_under_read", "CRASHED", "read 4 bytes before x"},
    {"fff_broken_over_write", "CRASHED", "wrote 0 bytes past the end of y"},
    {"fff_broken_padding", "FAILED", "wrote the padding of y: row 0"},
    {"fff_broken_writes_x", "CRASHED", "wrote at byte 0 of x, which is read-only"},
    {"fff_broken_writes_weights", "CRASHED", "of b_in, which is read-only"},
    {"fff_broken_scratch", "FAILED", "outside its scratch"},
    {"fff_broken_all_tokens", "FAILED", "past the end of y"},
    {"fff_broken_trusts_scratch", "FAILED", "nan"},
    {"fff_broken_refuses", "FAILED", "the device is on fire"},
    {"fff_broken_crash", "CRASHED", "died of signal 6"},
    {"fff_broken_hang", "TIMEOUT", "no answer"},
};

/* Seed 25: biases, padded rows, and buffers that start with the page when rows come reversed. */
#define SHAPE "--tree 2x4 --width 37 --width-out 19 --batch 1,5 --seed 25 "

Test(check, broken_variants_are_rejected_for_the_right_reason, .timeout = 120)
{
    int exit_code;
    json_t *results =
        check_json("--plugin $FFLAB_BROKEN -v fff_honest -v 'fff_broken_*' --timeout 15 " SHAPE, &exit_code);
    cr_assert_eq(exit_code, 2);
    for (size_t i = 0; i < sizeof expectations / sizeof *expectations; i++) {
        const expectation *e = &expectations[i];
        cr_expect_gt(count_rows(results, e->variant, e->verdict, e->reason, NULL), 0,
                     "%s: no row is %s for '%s'", e->variant, e->verdict, e->reason);
        cr_expect_eq(count_variant(results, e->variant), 14, "%s: %zu rows", e->variant,
                     count_variant(results, e->variant));
    }
    /* All seven fixtures, two batches: nothing that the others did harmed the honest one. */
    cr_expect_eq(count_rows(results, "fff_honest", "PASSED", "", NULL), 14);
    cr_expect_eq(count_rows(results, "fff_broken_hang", "TIMEOUT", "", NULL) +
                     count_rows(results, "fff_broken_hang", "SKIPPED", "hung in an earlier case", NULL),
                 14);
    cr_expect_leq(count_rows(results, "fff_broken_hang", "TIMEOUT", "", NULL), 2,
                  "it was tried after it hung");
    json_decref(results);
}

/* The data of a case takes longer than the thread waits: it dies while the next case is made. */
#define LARGE "--plugin $FFLAB_BROKEN -v fff_honest --tree 1x11 --width 256 --batch 1 --threads 1 "

/* Left by a kernel that should have none: its worker serves nobody else. */
Test(check, a_thread_that_is_left_behind_costs_one_case, .timeout = 120)
{
    static run_result r;
    int exit_code;
    json_t *results = check_json(LARGE "-v fff_late_crash", &exit_code);
    cr_assert_eq(exit_code, 2);
    cr_expect_eq(count_rows(results, "fff_late_crash", "FAILED", "left 1 threads running", NULL), 7);
    cr_expect_eq(count_rows(results, "fff_honest", "PASSED", "", NULL), 7);
    json_decref(results);
    run_shell("$FFLAB check --shrink 0 " LARGE "-v fff_late_crash", &r);
    cr_expect(!strstr(r.out, "between two cases"), "its worker went on: %s", r.out);
}

/* Nobody sees one thread more in a kernel of several: cases are tried again, and the run is not good. */
Test(check, a_worker_lost_between_two_cases_is_told, .timeout = 120)
{
    static run_result r;
    int exit_code;
    json_t *results = check_json(LARGE "-v fff_late_once", &exit_code);
    cr_assert_eq(exit_code, 2);
    cr_expect_eq(count_variant(results, "fff_honest"), 7);
    cr_expect_eq(count_variant(results, "fff_late_once"), 7);
    json_decref(results);
    run_shell("$FFLAB check --shrink 0 " LARGE "-v fff_late_once", &r);
    cr_assert_eq(r.exit_code, 2, "%s%s", r.out, r.err);
    cr_expect(
        strstr(
            r.out,
            "  a worker died of signal 6 (Aborted) between two cases: a variant that it tried before left"),
        "%s%s", r.out, r.err);
}

Test(check, the_default_design_rejects_them_too, .timeout = 120)
{
    int exit_code;
    json_t *results = check_json("--plugin $FFLAB_BROKEN -v 'fff_broken_[tlmpn]*' -v fff_broken_s* "
                                 "--fixture exact,ties,random --shard 1/4",
                                 &exit_code);
    static const char *const names[] = {"tie",          "sign_bit", "last_level", "mirror",
                                        "previous_row", "tanh",     "no_bias",    "last_element",
                                        "padding",      "scratch",  "nan"};
    cr_assert_eq(exit_code, 2);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char variant[64];
        snprintf(variant, sizeof variant, "fff_broken_%s", names[i]);
        cr_expect_gt(count_rows(results, variant, "FAILED", "", NULL), 0, "%s passed", variant);
    }
    json_decref(results);
}

Test(check, a_line_ends_with_the_command_that_repeats_it, .timeout = 60)
{
    static const char *const names[] = {"fff_broken_tie", "fff_broken_padding", "fff_broken_under_read"};
    static const char *const verdicts[] = {"FAILED", "FAILED", "CRASHED"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char arguments[1024];
        int exit_code;
        const json_t *row = NULL, *again = NULL;
        snprintf(arguments, sizeof arguments, "--plugin $FFLAB_BROKEN -v %s " SHAPE, names[i]);
        json_t *results = check_json(arguments, &exit_code);
        cr_assert_gt(count_rows(results, names[i], verdicts[i], "", &row), 0);
        const char *command = text(row, "command"), *words = strstr(command, "check ");
        cr_assert_eq(strncmp(command, "./fflab check ", 14), 0);
        json_t *repeated = check_json(words + strlen("check "), &exit_code);
        cr_assert_eq(exit_code, 2);
        cr_assert_eq(json_array_size(repeated), 1, "%s selects %zu rows", command, json_array_size(repeated));
        again = json_array_get(repeated, 0);
        cr_expect_str_eq(text(again, "verdict"), text(row, "verdict"));
        cr_expect_str_eq(text(again, "reason"), text(row, "reason"));
        cr_expect_str_eq(text(again, "command"), command);
        json_decref(repeated);
        json_decref(results);
    }
}

Test(check, built_in_variants_pass_and_the_line_says_so, .timeout = 60)
{
    static run_result r;
    run_shell("$FFLAB check -v '*_naive' --tree 1x3 --width 24 --batch 3 --threads 1", &r);
    cr_assert_eq(r.exit_code, 0, "%s%s", r.out, r.err);
    cr_assert(strstr(r.out, "fff_naive") && strstr(r.out, "7 PASSED") &&
              strstr(r.out, "./fflab check -v fff_naive"));
    cr_assert(strstr(r.out, "ff_naive") && strstr(r.out, "4 PASSED"));
    run_shell("$FFLAB check -v fff_naive --tree 1x3 --width 24 --batch 3 --in-process --strict", &r);
    cr_assert_eq(r.exit_code, 0, "%s%s", r.out, r.err);
}

Test(check, trained_layers_pass, .timeout = 60)
{
    static const char *const files[] = {"h100_d3_p5_b17", "h1_d2_p1_b9", "h64_d0_p1_b5"};
    for (size_t i = 0; i < 3; i++) {
        char arguments[512];
        int exit_code;
        const json_t *row = NULL;
        snprintf(arguments, sizeof arguments, "-v '*_naive' --fixture real:$FFLAB_FIXTURES/%s/%s.safetensors",
                 files[i], files[i]);
        json_t *results = check_json(arguments, &exit_code);
        cr_assert_eq(exit_code, 0);
        cr_assert_eq(json_array_size(results), 2);
        cr_assert_eq(count_rows(results, "fff_naive", "PASSED", "", &row), 1);
        int trees = 0, depth = 0, batch = 0, width = 0;
        cr_assert_eq(sscanf(files[i], "h%d_d%d_p%d_b%d", &width, &depth, &trees, &batch), 4);
        cr_assert_eq(json_integer_value(json_object_get(row, "trees")), trees);
        cr_assert_eq(json_integer_value(json_object_get(row, "depth")), depth);
        cr_assert_eq(json_integer_value(json_object_get(row, "rows")), batch);
        json_decref(results);
    }
}

Test(check, judges_a_result_computed_elsewhere, .timeout = 60)
{
    static run_result r;
    char dir[] = "/tmp/fflab-check-XXXXXX", command[2048];
    cr_assert(mkdtemp(dir));
    setenv("DIR", dir, 1);
    run_shell("L=$FFLAB_FIXTURES/h100_d3_p5_b17; W=$L/h100_d3_p5_b17.safetensors\n"
              "$FFLAB run fff_naive --weights $W --input $L/x.npy --output $DIR/y.npy && "
              "$FFLAB check --weights $W --input $L/x.npy --result $DIR/y.npy",
              &r);
    cr_assert_eq(r.exit_code, 0, "%s%s", r.out, r.err);
    cr_assert(strstr(r.out, "y.npy: PASSED as f32 on tree 5x3; 17 rows"), "%s", r.out);
    run_shell("L=$FFLAB_FIXTURES/h100_d3_p5_b17; W=$L/h100_d3_p5_b17.safetensors\n"
              "$FFLAB check --weights $W --result $DIR/y.npy --contract bf16 --json",
              &r);
    cr_assert_eq(r.exit_code, 0, "%s%s", r.out, r.err);
    cr_assert(strstr(r.out, "\"verdict\": \"PASSED\"") && strstr(r.out, "\"contract\": \"bf16\""));
    run_shell("L=$FFLAB_FIXTURES/h100_d3_p5_b17; W=$L/h100_d3_p5_b17.safetensors\n"
              "$FFLAB check --weights $W --result $DIR/y.npy --activation relu",
              &r);
    cr_assert_eq(r.exit_code, 2, "%s%s", r.out, r.err);
    cr_assert(strstr(r.out, "FAILED"));
    snprintf(command, sizeof command, "rm -r %s", dir);
    run_shell(command, &r);
}

Test(check, the_journal_keeps_rows_and_resume_skips_them, .timeout = 60)
{
    static run_result r;
    char dir[] = "/tmp/fflab-check-XXXXXX";
    cr_assert(mkdtemp(dir));
    setenv("DIR", dir, 1);
    const char *check = "$FFLAB check -v fff_naive --tree 1x2 --width 8 --batch 2 --out $DIR/out";
    run_shell(check, &r);
    cr_assert_eq(r.exit_code, 0, "%s%s", r.out, r.err);
    run_shell("grep -c '\"kind\": *\"check\"' $DIR/out/journal.jsonl", &r);
    cr_assert_eq(atoi(r.out), 7);
    run_shell("$FFLAB check -v fff_naive --tree 1x2 --width 8 --batch 2,3 --out $DIR/out --resume", &r);
    cr_assert_eq(r.exit_code, 0, "%s%s", r.out, r.err);
    run_shell("grep -c '\"kind\": *\"check\"' $DIR/out/journal.jsonl", &r);
    cr_assert_eq(atoi(r.out), 14);
    run_shell("$FFLAB check -v fff_naive --tree 1x2 --width 8 --batch 2,3 --out $DIR/out --resume", &r);
    cr_assert_eq(r.exit_code, 0, "%s%s", r.out, r.err);
    run_shell(
        "$FFLAB check -v fff_naive --tree 1x2 --batch 0 --out $DIR/none; test ! -e $DIR/none && rm -r $DIR",
        &r);
    cr_assert_eq(r.exit_code, 0, "a refused run wrote a journal");
}

Test(check, nothing_to_do_is_not_success, .timeout = 60)
{
    static run_result r;
    run_shell("$FFLAB check -v ff_naive --tree 1x2 --fixture margin --batch 2", &r);
    cr_assert_eq(r.exit_code, 5, "%s%s", r.out, r.err);
    run_shell("$FFLAB check -v fff_naive --class int8", &r);
    cr_assert_eq(r.exit_code, 5, "%s%s", r.out, r.err);
}

Test(check, bad_options_are_refused_in_one_line, .timeout = 120)
{
    static const char *const bad[][2] = {
        {"--fixture rnadom", "--fixture rnadom"},
        {"--fixture random,,ties", "--fixture"},
        {"--fixture real:/nowhere.safetensors", "/nowhere.safetensors"},
        {"--fixture real:a.safetensors --width 3", "--width 3"},
        {"-v fff_nonsense", "fff_nonsense"},
        {"--tree 3", "--tree 3"},
        {"--tree 1x21", "--tree 1x21"},
        {"--batch 0", "--batch 0"},
        {"--batch 1,x", "--batch x"},
        {"--threads 0", "--threads 0"},
        {"--class f64", "--class f64"},
        {"--seed -1", "--seed -1"},
        {"--activation tanh", "--activation tanh"},
        {"--timeout never", "--timeout never"},
        {"--budget 0", "--budget 0"},
        {"--shard 3/2", "--shard 3/2"},
        {"--result y.npy", "--result y.npy"},
        {"--weights w.safetensors", "--weights"},
        {"--contract bf16", "--contract"},
        {"--result y.npy --weights /nowhere.safetensors", "/nowhere.safetensors"},
        {"--result y.npy --weights w --contract f12", "--contract f12"},
        {"--result $FFLAB_FIXTURES/h1_d2_p1_b9/x.npy --weights "
         "$FFLAB_FIXTURES/h100_d3_p5_b17/h100_d3_p5_b17.safetensors",
         "--result"},
        {"--cache hot", "--cache"},
        {"--plugin /nowhere.so", "/nowhere.so"},
        {"--problems /nowhere.txt", "/nowhere.txt"},
        {"word", "word"},
    };
    static run_result r;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char command[1024];
        snprintf(command, sizeof command, "$FFLAB check %s", bad[i][0]);
        run_shell(command, &r);
        const char *newline = strchr(r.err, '\n');
        cr_expect_eq(r.exit_code, 1, "%s: exit code %d", bad[i][0], r.exit_code);
        cr_expect(strstr(r.err, bad[i][1]) && newline && newline[1] == '\0', "%s: %s", bad[i][0], r.err);
        cr_expect_str_eq(r.out, "", "%s: %s", bad[i][0], r.out);
    }
}

/* On any machine: the rows run, or say why they are skipped and nothing ran. */
Test(check, variants_of_an_absent_device_are_skipped_with_the_reason)
{
    static run_result r;
    run_shell("$FFLAB list", &r);
    if (!strstr(r.out, "fff_naive_cuda"))
        cr_skip_test("this build has no CUDA variants");
    const bool absent = strstr(r.out, "no CUDA device") != NULL;
    int exit_code;
    json_t *results = check_json("-v fff_naive_cuda --tree 1x2 --width 8", &exit_code);
    const size_t skipped = count_rows(results, "fff_naive_cuda", "SKIPPED", "no CUDA device", NULL);
    cr_assert_eq(skipped, absent ? 1 : 0);
    cr_assert_eq(exit_code, absent ? 5 : 0);
    json_decref(results);
}
