/*
 * check --invariance and --properties, through the program: variants made to break one promise or one
 * equation are rejected for it and for nothing else, right ones pass, and the journal and the report keep
 * what was found.
 */
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Runs `fflab check ARGUMENTS --json`; the document's results, to be decref'ed. */
static json_t *check_json(const char *arguments, int *exit_code)
{
    static run_result r;
    char path[] = "/tmp/fflab-ways-XXXXXX", command[2048];
    close(mkstemp(path));
    snprintf(command, sizeof command, "$FFLAB check --plugin $FFLAB_UNSTEADY %s --json > %s", arguments,
             path);
    run_shell(command, &r);
    *exit_code = r.exit_code;
    json_error_t error;
    json_t *document = json_load_file(path, 0, &error);
    remove(path);
    cr_assert(document, "%s: %s; %s", command, error.text, r.err);
    json_t *results = json_incref(json_object_get(document, "results"));
    json_decref(document);
    return results;
}

static const char *text(const json_t *row, const char *field)
{
    const char *value = json_string_value(json_object_get(row, field));
    return value ? value : "";
}

static const json_t *row_of(const json_t *results, const char *variant)
{
    size_t i;
    const json_t *row;
    json_array_foreach(results, i, row) if (strcmp(text(row, "variant"), variant) == 0) return row;
    cr_assert_fail("no row of %s", variant);
    return NULL;
}

static const json_t *outcomes_of(const json_t *row)
{
    return json_object_get(json_object_get(row, "ways"), "outcomes");
}

/* Of all ways, only those in `names` (with blanks around each) have this outcome. */
static void expect_only(const json_t *row, const char *outcome, const char *names)
{
    const char *way;
    const json_t *value;
    char padded[32];
    size_t found = 0, wanted = 0;
    json_object_foreach((json_t *)outcomes_of(row), way, value)
    {
        snprintf(padded, sizeof padded, " %s ", way);
        const bool due = strstr(names, padded) != NULL, is = strcmp(json_string_value(value), outcome) == 0;
        cr_expect_eq(due, is, "%s: %s is %s; %s", text(row, "variant"), way, json_string_value(value),
                     text(row, "reason"));
        found += is;
        wanted += due;
    }
    cr_expect_eq(found, wanted);
}

typedef struct expectation {
    const char *variant, *reason;
    const char *within; /* all ways of that outcome, " threads "; or one among others, "batch"; NULL: any */
    const char *broken; /* all ways; NULL: any */
} expectation;

/* Three trees: batches of 1, 2, 3, 7 and 64 among 130 rows. */
#define INVARIANCE "--invariance --tree 3x4 --width 37 --width-out 19 --batch 130 --seed 5 "

static const expectation unsteady[] = {
    {"calls", "run-to-run: the same bits are promised", "run-to-run", " "},
    {"threads", "threads: the same bits are promised", " threads ", " "},
    {"batches", "batch: the same bits are promised", "batch", " "},
    {"places_in_batch", "the same bits are promised", "permuted", " "},
    {"splits", "the same bits are promised", "split", " "},
    {"addresses", "the same bits are promised", "address", " "},
    {"strides", "stride: the same bits are promised", " stride ", " "},
    {"instances", "instances, alone: row", " ", " instances "},
    {"neighbours", "neighbours, in batches of ", " ", " neighbours "},
    {"flushed", "denormals, alone: row", " ", " denormals "},
};

Test(ways, promises_that_are_not_kept_are_found, .timeout = 120)
{
    int exit_code;
    json_t *results = check_json("-v 'fff_unsteady_*' -v fff_steady -v fff_modest " INVARIANCE, &exit_code);
    cr_assert_eq(exit_code, 2);
    for (size_t i = 0; i < sizeof unsteady / sizeof *unsteady; i++) {
        const expectation *e = &unsteady[i];
        char name[64];
        snprintf(name, sizeof name, "fff_unsteady_%s", e->variant);
        const json_t *row = row_of(results, name);
        cr_expect_str_eq(text(row, "verdict"), "FAILED", "%s", name);
        cr_expect(strstr(text(row, "reason"), e->reason), "%s: %s", name, text(row, "reason"));
        if (e->within[0] == ' ')
            expect_only(row, "within bound", e->within);
        else
            cr_expect_str_eq(json_string_value(json_object_get(outcomes_of(row), e->within)), "within bound",
                             "%s: %s", name, e->within);
        expect_only(row, "broken", e->broken);
    }
    /* Right ones: the same bits always, and other bits where nothing is promised. */
    const json_t *steady = row_of(results, "fff_steady"), *modest = row_of(results, "fff_modest");
    cr_expect_str_eq(text(steady, "verdict"), "PASSED", "%s", text(steady, "reason"));
    expect_only(steady, "within bound", " ");
    cr_expect_eq(json_object_size(outcomes_of(steady)), 10);
    cr_expect_str_eq(text(modest, "verdict"), "PASSED", "%s", text(modest, "reason"));
    cr_expect_str_eq(json_string_value(json_object_get(outcomes_of(modest), "batch")), "within bound");
    json_decref(results);
}

#define PROPERTIES "--properties --tree 3x4 --width 37 --batch 9 --seed 5 "

static const expectation lawless[] = {
    {"wrong_child", "path: row ", NULL, NULL},
    {"swapped_level", "path: row ", NULL, " path "},
    {"double_leaf", "mirror: row ", NULL, " mirror last-level "},
    {"identity", "mirror: row ", NULL, " mirror "},
    {"stale_order", "path: row ", NULL, " path "},
    {"first_tree", "path: row ", NULL, NULL},
    {"threshold", "scaled-in: row ", NULL, " scaled-in "},
};

Test(ways, equations_that_do_not_hold_are_found, .timeout = 120)
{
    int exit_code;
    json_t *results = check_json("-v 'fff_lawless_*' -v fff_steady " PROPERTIES, &exit_code);
    cr_assert_eq(exit_code, 2);
    for (size_t i = 0; i < sizeof lawless / sizeof *lawless; i++) {
        const expectation *e = &lawless[i];
        char name[64];
        snprintf(name, sizeof name, "fff_lawless_%s", e->variant);
        const json_t *row = row_of(results, name);
        cr_expect_str_eq(text(row, "verdict"), "FAILED", "%s: %s", name, text(row, "reason"));
        cr_expect(strstr(text(row, "reason"), e->reason), "%s: %s", name, text(row, "reason"));
        if (e->broken)
            expect_only(row, "broken", e->broken);
    }
    const json_t *steady = row_of(results, "fff_steady");
    cr_expect_str_eq(text(steady, "verdict"), "PASSED", "%s", text(steady, "reason"));
    expect_only(steady, "bitwise", " scaled-out scaled-in ");
    expect_only(steady, "broken", " ");
    cr_expect_eq(json_object_size(outcomes_of(steady)), 6);
    json_decref(results);
}

/* Every activation, a single level, a single tree, a dense layer, one neuron. */
Test(ways, right_variants_pass_on_every_kind_of_layer, .timeout = 120)
{
    static const char *const layers[] = {
        "--tree 1x0 --width 5",
        "--tree 2x0 --width 1",
        "--tree 1x5 --width 16 --activation relu",
        "--tree 4x2 --width 24 --activation gelu_tanh",
        "--tree 1x3 --width 8 --neurons 1",
        "--tree 1x3 --width 8 --neurons 40 --activation relu",
        "--tree 2x3 --width 8 --batch 1 --threads 1",
    };
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        static run_result r;
        char command[512];
        snprintf(command, sizeof command,
                 "$FFLAB check -v '*_naive' --invariance --properties %s --in-process --seed 3 %s", layers[i],
                 strstr(layers[i], "--batch") ? "" : "--batch 20");
        run_shell(command, &r);
        cr_expect_eq(r.exit_code, 0, "%s: %s%s", command, r.out, r.err);
    }
}

Test(ways, lines_tables_and_journal_say_what_was_found, .timeout = 60)
{
    static run_result r;
    char dir[] = "/tmp/fflab-ways-XXXXXX";
    cr_assert(mkdtemp(dir));
    setenv("DIR", dir, 1);
    run_shell("$FFLAB check --plugin $FFLAB_UNSTEADY -v fff_steady -v fff_modest -v fff_unsteady_threads "
              "--properties --out $DIR " INVARIANCE,
              &r);
    cr_expect_eq(r.exit_code, 2, "%s%s", r.out, r.err);
    cr_expect(strstr(r.out, "; other bits: batch"), "%s", r.out);
    cr_expect(strstr(r.out, "\nInvariances: ") && strstr(r.out, "\nProperties: "), "%s", r.out);
    cr_expect(strstr(r.out, "\nthreads      ="), "three variants make columns: %s", r.out);
    cr_expect(strstr(r.out, " --threads 2 --seed 5 --plugin "), "the line repeats itself: %s", r.out);
    cr_expect(strstr(r.out, " -v fff_unsteady_threads --invariance --tree 3x4 --width 37 "), "%s", r.out);
    run_shell("$FFLAB report $DIR >/dev/null && cat $DIR/report.md", &r);
    cr_expect(strstr(r.out, "## Invariances"), "%s", r.out);
    cr_expect(strstr(r.out, "| `fff_unsteady_threads` | =\\* | ~\\* |"), "%s", r.out);
    cr_expect(strstr(r.out, "| `fff_modest` | =\\* | = | ~ |"), "%s", r.out);
    cr_expect(strstr(r.out, "**FAILED** `fff_unsteady_threads`"), "%s", r.out);
    run_shell("rm -r $DIR", &r);
}

Test(ways, bad_options_are_refused_in_one_line, .timeout = 60)
{
    static const char *const bad[][2] = {
        {"--invariance --fixture random",
         "--fixture random: --invariance and --properties make their own data"},
        {"--properties --batch 0", "--batch 0"},
        {"--invariance --threads 65", "--threads 65"},
        {"--invariance --result y.npy --weights w", "--invariance calls variants"},
    };
    static run_result r;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char command[256];
        snprintf(command, sizeof command, "$FFLAB check %s", bad[i][0]);
        run_shell(command, &r);
        const char *newline = strchr(r.err, '\n');
        cr_expect_eq(r.exit_code, 1, "%s: exit code %d", bad[i][0], r.exit_code);
        cr_expect(strstr(r.err, bad[i][1]) && newline && newline[1] == '\0', "%s: %s", bad[i][0], r.err);
    }
}
