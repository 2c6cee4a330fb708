/* `fflab tune` as a user would run it, on a layer of 15 neurons. No assertion looks at how long anything
 * took. */
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Plain C contends only with --full. */
#define TINY                                                                                                 \
    "\"$FFLAB\" tune --full -v fff_naive -v 'fff_walk_*avx2' -v ff_naive -v 'ff_rows*' --tree 1x3 --width "  \
    "24 "                                                                                                    \
    "--batch 1,150 --routing uniform,single --class f32 --threads 1 --budget 1s --table \"$DIR/t.json\" "

static char dir[64];
static run_result result;

static void set_up(void)
{
    strcpy(dir, "/tmp/fflab-tune-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    setenv("DIR", dir, 1);
}

static void tear_down(void)
{
    run_shell("rm -rf \"$DIR\"", &result);
}

TestSuite(tune, .init = set_up, .fini = tear_down, .timeout = 120);

static void expect(const char *command, int exit_code)
{
    run_shell(command, &result);
    cr_assert_eq(result.exit_code, exit_code, "%s\nexit code %d\n%s\n%s", command, result.exit_code,
                 result.out, result.err);
}

static void expect_text(const char *text, const char *snippet)
{
    cr_assert_not_null(strstr(text, snippet), "missing: %s\nin: %s\n%s", snippet, text, result.err);
}

Test(tune, writes_a_table_reports_regret_and_resuming_adds_nothing)
{
    expect(TINY "--out \"$DIR/r\"", 0);
    expect_text(result.out, "6 cells in");
    expect_text(result.out, "/t.json");
    expect("grep -c '\"ns_per_token\"' \"$DIR/t.json\"", 0);
    cr_assert_eq(atoi(result.out), 6);
    expect("wc -l < \"$DIR/r/journal.jsonl\"", 0);
    const int lines = atoi(result.out);
    expect(TINY "--out \"$DIR/r\" --resume --json | grep '\"cells\": 6' && wc -l < \"$DIR/r/journal.jsonl\"",
           0);
    cr_assert_eq(atoi(strchr(result.out, '\n')), lines);

    expect(TINY "--out \"$DIR/g\" --report", 0);
    cr_assert_null(strstr(result.err, "built-in rules"), "%s", result.err);
    expect_text(result.out, "regret: mean");
    expect_text(result.out, "over 6 cells");
    expect_text(result.out, "1x3");
    expect_text(result.out, "dense 15");
    expect("grep -c '\"kind\":\"bench\".*\"variant\":\"fff_auto\"' \"$DIR/g/journal.jsonl\"", 0);
    cr_assert_eq(atoi(result.out), 4);
    expect(TINY "--out \"$DIR/g\" --report --resume --json | grep -c '\"regret\"'", 0);
    cr_assert_eq(atoi(result.out), 6);
}

Test(tune, a_stale_table_is_told_and_does_no_harm)
{
    expect(TINY "--out \"$DIR/r\"", 0);
    expect("sed -i 's/\"cpu\": \"[^\"]*\"/\"cpu\": \"Z80\"/' \"$DIR/t.json\"", 0);
    expect("FFLAB_TUNING=\"$DIR/t.json\" \"$FFLAB\" check -v fff_auto --tree 1x3 --width 24 --fixture random",
           0);
    expect_text(result.err,
                "measured on another machine (Z80); ff_auto and fff_auto choose by built-in rules");
    expect("FFLAB_TUNING=none \"$FFLAB\" check -v fff_auto --tree 1x3 --width 24 --fixture random", 0);
    cr_assert_null(strstr(result.err, "Z80"));
}

Test(tune, the_dispatchers_pass_with_a_table_of_this_machine)
{
    expect(TINY "--out \"$DIR/r\"", 0);
    expect("FFLAB_TUNING=\"$DIR/t.json\" \"$FFLAB\" check -v 'f*_auto' --tree 1x3,4x2 --fixture "
           "random,ties,special --batch 1,7,64,150",
           0);
    expect_text(result.out, "PASSED");
}

Test(tune, bad_input_is_refused_before_anything_runs)
{
    static const char *const bad[][2] = {{"--tree 1y3", "--tree 1y3"},
                                         {"--batch 0", "--batch 0"},
                                         {"--routing odd", "odd"},
                                         {"--class f31", "--class f31"},
                                         {"-v no_such_variant", "no_such"},
                                         {"--budget never", "--budget never"},
                                         {"--table", "--table needs a value"},
                                         {"stray", "stray"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char command[256];
        snprintf(command, sizeof command, "\"$FFLAB\" tune --out \"$DIR/r\" %s", bad[i][0]);
        expect(command, 1);
        expect_text(result.err, bad[i][1]);
        cr_assert_str_empty(result.out);
        expect("test ! -e \"$DIR/r\"", 0);
    }
}
