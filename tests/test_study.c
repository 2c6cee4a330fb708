/* The whole way through the program: the smoke study, its report, resuming it, and what it refuses. */
#include "harness/bench/device_stage.h"
#include "harness/commands.h"
#include "harness/peers/peers.h"
#include "harness/registry.h"
#include "harness/study.h"
#include "run_program.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[64];
static run_result result;

static void set_up(void)
{
    strcpy(folder, "/tmp/fflab-study-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    setenv("DIR", folder, 1);
}

static void tear_down(void)
{
    run_shell("rm -rf \"$DIR\"", &result);
}

TestSuite(study, .init = set_up, .fini = tear_down);

static void expect(const char *text, const char *snippet)
{
    cr_assert_not_null(strstr(text, snippet), "missing: %s\nin:\n%s\n%s", snippet, text, result.err);
}

Test(study, smoke_writes_journal_and_report_and_resuming_adds_nothing)
{
    run_shell("\"$FFLAB\" study smoke -v '*_naive' --out \"$DIR/s\"", &result);
    cr_assert_eq(result.exit_code, 0, "%s%s", result.out, result.err);
    expect(result.out, "step 4 of 5: fflab bench");
    expect(result.out, "step 5 of 5: fflab published");
    expect(result.out, "/s/report.md");
    run_shell("cat \"$DIR/s/report.md\"", &result);
    expect(result.out, "| `fff_naive` |");
    expect(result.out, "## The paper's table");
    expect(result.out, "| single |");
    run_shell("jq -e '.benchmarks | length > 0' \"$DIR/s/benchmark.json\" 2>/dev/null || "
              "grep -q '\"json_schema_version\": 1' \"$DIR/s/benchmark.json\"",
              &result);
    cr_assert_eq(result.exit_code, 0);
    run_shell("grep -vc '\"kind\":\"run\"' \"$DIR/s/journal.jsonl\"", &result);
    const int lines = atoi(result.out);
    cr_assert_gt(lines, 0);
    /* What follows from a case is in no line, and a variant is described once, whatever the number of steps.
     */
    run_shell("cd \"$DIR/s\"; grep -E '\"kind\":\"(check|bench)\"' journal.jsonl | grep -cE "
              "'\"(key|group|command|date|family|samples_ns)\"'; "
              "grep -c '\"kind\":\"variant\".*\"fff_naive\"' journal.jsonl",
              &result);
    cr_assert_str_eq(result.out, "0\n1\n");
    run_shell("\"$FFLAB\" report \"$DIR/s\" --json | grep '\"kind\":\"bench\"' | "
              "grep -c '\"command\":\"./fflab bench.*\"samples_ns\".*\"line\"'; "
              "grep -c '\"kind\":\"bench\"' \"$DIR/s/journal.jsonl\"",
              &result);
    int full = 0, all = -1;
    cr_assert_eq(sscanf(result.out, "%d %d", &full, &all), 2);
    cr_assert_eq(full, all, "%s", result.out);
    run_shell("\"$FFLAB\" study smoke -v '*_naive' --out \"$DIR/s\" --resume", &result);
    cr_assert_eq(result.exit_code, 0, "%s%s", result.out, result.err);
    run_shell("grep -vc '\"kind\":\"run\"' \"$DIR/s/journal.jsonl\"", &result);
    cr_assert_eq(atoi(result.out), lines, "%d lines became %s", lines, result.out);
}

/* A step that names a variant or an option that is gone would only show when someone runs that study. */
Test(study, every_step_of_every_study_is_a_valid_command_line)
{
    cr_assert_eq(ffl_peers_load_shipped(), FFL_OK, "%s", ffl_error());
    for (const ffl_study *study = ffl_studies; study->name; study++) {
        char *words[] = {(char *)study->name};
        ffl_options options;
        cr_assert_eq(ffl_options_parse(&ffl_command_study, 1, words, &options), FFL_OK, "%s", ffl_error());
        cr_assert_eq(ffl_command_study.validate(&options), FFL_OK, "study %s: %s", study->name, ffl_error());
        ffl_options_free(&options);
        for (const ffl_study_step *step = study->steps; step->command; step++) {
            char line[1024];
            ffl_options base = {.command = &ffl_command_bench}, merged;
            if (strcmp(step->command, "bench") != 0 || !ffl_registry_find("fff_walk_fused_avx512") ||
                !ffl_registry_find("ff_onednn"))
                continue; /* builds for other processors, or without a library, lack rows that are named */
            if (step->device && !ffl_registry_find("fff_warp_cuda"))
                continue;
            snprintf(line, sizeof line, "%s", step->line);
            cr_assert_eq(ffl_options_merge_line(&base, line, &merged), FFL_OK, "%s", ffl_error());
            cr_assert_eq(ffl_option_check_globs(&merged), FFL_OK, "study %s: %s", study->name, ffl_error());
            ffl_options_free(&merged);
        }
    }
}

/* A shard without cases: what steps say, in no time. */
Test(study, steps_for_a_device_are_left_out_where_none_is_timed)
{
    const char *why;
    if (ffl_device_timing(&why))
        cr_skip("a device is timed here");
    /* Its roofs are not for other suites. */
    run_shell("cp \"$FFLAB_CACHE_DIR\"/*.json \"$DIR\"; FFLAB_CACHE_DIR=\"$DIR\" \"$FFLAB\" study peers "
              "--shard 4999/5000 --budget 1s --out \"$DIR/s\"",
              &result);
    cr_assert_eq(result.exit_code, 5, "%s%s", result.out, result.err);
    expect(result.out, "step 8 of 8: fflab bench --tree 1x11 ");
    expect(result.out, "left out: ");
    expect(result.out, why);
}

Test(study, without_a_folder_all_steps_share_a_new_one_and_the_newest_is_found_again)
{
    /* Outside a build folder the default place is below the current one. */
    run_shell("cp \"$FFLAB\" \"$DIR/fflab\" && cd \"$DIR\" && ./fflab study smoke -v '*_naive'", &result);
    cr_assert_eq(result.exit_code, 0, "%s%s", result.out, result.err);
    run_shell("cd \"$DIR\" && ls fflab-results | wc -l && cat fflab-results/*/journal.jsonl", &result);
    cr_assert_eq(atoi(result.out), 1);
    expect(result.out, "\"kind\":\"check\"");
    expect(result.out, "\"kind\":\"bench\"");
    run_shell("cd \"$DIR\" && rm fflab-results/*/report.md && mkdir fflab-results/99999999-000000 && "
              "./fflab report && ls fflab-results/*/report.md",
              &result);
    cr_assert_eq(result.exit_code, 0, "%s%s", result.out, result.err);
    run_shell("cd \"$DIR\" && ./fflab study smoke -v '*_naive' --resume && ls -d "
              "fflab-results/*/journal.jsonl | wc -l",
              &result);
    expect(result.out, "\n1\n");
}

Test(study, shards_merge_to_the_whole)
{
    run_shell(
        "for i in 1 2; do \"$FFLAB\" study smoke -v '*_naive' --shard $i/2 --out \"$DIR/$i\" || exit; done; "
        "grep -q 'only 1 of 2 shards' \"$DIR/1/report.md\" && "
        "\"$FFLAB\" report \"$DIR/1\" \"$DIR/2\" --out \"$DIR/all\" && ! grep -q Partial "
        "\"$DIR/all/report.md\"",
        &result);
    cr_assert_eq(result.exit_code, 0, "%s%s", result.out, result.err);
    run_shell("\"$FFLAB\" study smoke -v '*_naive' --out \"$DIR/w\" > /dev/null && "
              "keys() { \"$FFLAB\" report --json \"$@\" | grep -v '\"kind\":\"run\"' | grep -o "
              "'\"key\":\"[^\"]*\"' | "
              "sort; } && "
              "keys \"$DIR/w/journal.jsonl\" > \"$DIR/one\" && "
              "keys \"$DIR/1/journal.jsonl\" \"$DIR/2/journal.jsonl\" > \"$DIR/two\" && cmp \"$DIR/one\" "
              "\"$DIR/two\"",
              &result);
    cr_assert_eq(result.exit_code, 0, "%s%s", result.out, result.err);
}

/* What a study says until its second step begins. */
static void expect_first_step(const char *snippet)
{
    /* The words of an earlier study would end the wait for this one's before it has begun. */
    run_shell("rm -f \"$DIR/out\"; "
              "\"$FFLAB\" study depth -v fff_naive --budget 30s --out \"$DIR/t\" > \"$DIR/out\" 2>&1 & "
              "pid=$!; n=0\n"
              "until grep -q 'step 2 of 2' \"$DIR/out\" 2>/dev/null; do\n"
              "  n=$((n + 1)); [ $n -gt 1200 ] && break; kill -0 $pid || break; sleep 0.1; done\n"
              "kill -TERM $pid; wait $pid; cat \"$DIR/out\"",
              &result);
    expect(result.out, "step 2 of 2: fflab bench");
    expect(result.out, snippet);
}

Test(study, interrupted_reports_what_is_finished_and_exits_130)
{
    /* One finished line is waited for, so the moment of the signal does not matter. */
    setenv("FFLAB_CACHE_DIR", folder, 1);
    run_shell(
        "\"$FFLAB\" study -v '*_naive' --budget 40s --out \"$DIR/s\" > \"$DIR/out\" 2>&1 & pid=$!; n=0\n"
        "until grep -q '\"kind\":\"check\"' \"$DIR/s/journal.jsonl\" 2>/dev/null; do\n"
        "  n=$((n + 1)); [ $n -gt 1200 ] && break; kill -0 $pid || break; sleep 0.1; done\n"
        "kill -TERM $pid; wait $pid",
        &result);
    cr_assert_eq(result.exit_code, 130, "%d", result.exit_code);
    run_shell("cat \"$DIR/s/report.md\"; cat \"$DIR/out\"", &result);
    expect(result.out, "## Verification");
    expect(result.out, "interrupted");
    /* The roofs came first, in their part of the budget, and serve for a day. */
    expect(result.out, "step 1 of 9: fflab calibrate");
    run_shell("grep -q fma_f32_base \"$DIR/roofs.json\" && touch -d '1 hour ago' \"$DIR/roofs.json\" && "
              "cp -p \"$DIR/roofs.json\" \"$DIR/old\"",
              &result);
    cr_assert_eq(result.exit_code, 0);
    expect_first_step("measured less than a day ago");
    run_shell("cmp \"$DIR/roofs.json\" \"$DIR/old\"", &result);
    cr_assert_eq(result.exit_code, 0, "%s", result.out);
    run_shell("sed -i 's/\"date\": \"20../\"date\": \"19../' \"$DIR/roofs.json\"", &result);
    expect_first_step("kept in");
}

/* Rows without a share are better than no study. */
Test(study, a_calibration_that_fails_stops_nothing)
{
    setenv("FFLAB_CACHE_DIR", "/dev/null", 1);
    expect_first_step("fflab: calibrate: ");
}

Test(study, bad_input_is_refused_before_anything_runs)
{
    static const char *const bad[][2] = {
        {"study fast",
         "study fast: no such study; there are: paper, trees, depth, peers, threads, encoder, smoke"},
        {"study smoke --shard 3/2", "--shard 3/2"},
        {"study smoke --budget never", "--budget never"},
        {"study smoke -v no_such_variant", "-v no_such_variant"},
        {"study smoke --seed x", "--seed x"},
        {"report \"$DIR\"", "no journal"},
        {"report \"$DIR/absent\"", "absent"},
        {"report \"$DIR\" \"$DIR\"", "--out DIR"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char command[256];
        const int study = strncmp(bad[i][0], "study", 5) == 0;
        snprintf(command, sizeof command, "\"$FFLAB\" %s%s", bad[i][0], study ? " --out \"$DIR/s\"" : "");
        run_shell(command, &result);
        cr_assert_eq(result.exit_code, 1, "%s: %d", bad[i][0], result.exit_code);
        expect(result.err, bad[i][1]);
        cr_assert_eq(strchr(result.err, '\n'), result.err + strlen(result.err) - 1, "one line: %s",
                     result.err);
        cr_assert_str_empty(result.out);
        run_shell("test ! -e \"$DIR/s\"", &result);
        cr_assert_eq(result.exit_code, 0, "%s left a folder", bad[i][0]);
    }
}
