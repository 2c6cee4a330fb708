/* The bench command, run as a user would on shapes of a few neurons. No assertion looks at how long it took.
 */
#include "reports/rows.h"
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SMALL " bench -v ff_naive -v fff_naive --width 32 "
#define QUICK " -- --benchmark_repetitions=3 --benchmark_min_time=0.001"

static char dir[64];

static void make_dir(void)
{
    strcpy(dir, "/tmp/fflab-bench-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    setenv("DIR", dir, 1);
}

static void remove_dir(void)
{
    run_result result;
    run_shell("rm -r \"$DIR\"", &result);
}

TestSuite(bench, .init = make_dir, .fini = remove_dir);

static void expect(const char *command, int exit_code, run_result *result)
{
    run_shell(command, result);
    cr_assert_eq(result->exit_code, exit_code, "%s\nexit code %d instead of %d\n%s\n%s", command,
                 result->exit_code, exit_code, result->out, result->err);
}

static ffl_rows read_rows(const char *name)
{
    char path[128];
    const char *paths[] = {path};
    ffl_rows rows;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    cr_assert_eq(ffl_rows_read(paths, 1, &rows), FFL_OK, "%s", ffl_error());
    cr_assert_eq(rows.note_count, 0);
    return rows;
}

static long file_size(const char *name)
{
    char path[128];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return stat(path, &info) == 0 ? (long)info.st_size : -1;
}

static const ffl_record *find(const ffl_rows *rows, const char *variant)
{
    for (size_t i = 0; i < rows->count; i++)
        if (strcmp(rows->value[i].record.variant, variant) == 0)
            return &rows->value[i].record;
    cr_assert_fail("no row of %s", variant);
    return NULL;
}

static void check_times(const ffl_record *r)
{
    cr_assert_str_eq(r->verdict, "PASSED", "%s: %s", r->key, r->reason);
    cr_assert_eq(r->tokens, r->batch);
    cr_assert_gt(r->calls, 0);
    cr_assert_eq(r->calls % 3, 0, "three repetitions of as many calls");
    cr_assert_eq((uint64_t)r->calls, ffl_samples_total(&r->samples));
    cr_assert(r->min_ns <= r->low_ns && r->low_ns <= r->median_ns && r->median_ns <= r->high_ns);
    cr_assert(r->min_ns <= r->mean_ns && r->clock_ns >= 0 && r->pack_ns >= 0);
    cr_assert_float_eq(r->ns_per_token, r->median_ns / (double)r->batch, 1e-3 * r->ns_per_token,
                       "four digits");
    cr_assert_eq(isfinite(r->p99_ns) != 0, r->batch == 1, "p99 belongs to single tokens");
    cr_assert_gt(r->rows, 0);
    cr_assert_gt(strlen(r->cpus), 0);
    cr_assert(isnan(r->roof_share));
}

/* Uniform routing over the leaves, and work as the equations say. */
static void check_circumstances(const ffl_record *r, bool two_trees)
{
    const double leaves = two_trees ? 4 : 8, nodes = two_trees ? 2 * 7 : 15, visited = two_trees ? 2 * 3 : 4;
    const double row_bytes = (32 + 1 + 32) * sizeof(float), tokens = (double)r->batch;
    const bool tree = strcmp(r->operation, "fff") == 0;
    cr_assert_float_eq(r->leaves_mean, leaves, 1e-9);
    cr_assert(r->entropy_mean > log2(leaves) - 0.05 && r->entropy_max <= log2(leaves) + 1e-9);
    cr_assert(r->top1_mean >= 1 / leaves && r->top1_max < 1.3 / leaves);
    cr_assert_float_eq(r->unique_weight_bytes, nodes * row_bytes, 1e-6);
    cr_assert_gt(r->forced_margin, 0);
    cr_assert_eq(r->neurons, (int64_t)nodes);
    cr_assert_float_eq(r->dense_flops, 2 * tokens * nodes * 64, 1e-6);
    cr_assert_float_eq(r->flops, 2 * tokens * (tree ? visited : nodes) * 64, 1e-6);
    cr_assert(r->bytes > tokens * 64 * 4 && r->bytes <= nodes * row_bytes + tokens * 64 * 4);
}

static const ffl_record *find_shape(const ffl_rows *rows, const char *shape)
{
    for (size_t i = 0; i < rows->count; i++)
        if (strcmp(rows->value[i].record.shape, shape) == 0)
            return &rows->value[i].record;
    cr_assert_fail("no row of %s", shape);
    return NULL;
}

Test(bench, leaf_trees_and_mixtures_stand_beside_their_dense_layer)
{
    run_result result;
    expect("\"$FFLAB\" bench -v ff_naive -v fff_leaf_naive -v moe_naive --width 32 --tree 1x3 --neurons 16 "
           "--leaf "
           "3x2 --moe 8x2:3,2x8 --batch 7 --out \"$DIR\"" QUICK,
           0, &result);
    cr_assert(strstr(result.out, " 8x2:3 ") && strstr(result.out, " 3x2 "), "%s", result.out);
    ffl_rows rows = read_rows("journal.jsonl");
    cr_assert_eq(rows.count, 4);
    const ffl_record *leaf = find_shape(&rows, "leaf 3x2"), *mixture = find_shape(&rows, "moe 8x2:3");
    for (size_t i = 0; i < rows.count; i++)
        check_times(&rows.value[i].record);
    cr_assert_str_eq(leaf->operation, "fff_leaf");
    cr_assert_float_eq(leaf->flops, 2 * 7 * (2 * 64 + 3 * 32), 1e-6);
    cr_assert_float_eq(mixture->flops, 2 * 7 * (3 * 2 * 64 + 8 * 32), 1e-6);
    cr_assert_float_eq(mixture->dense_flops, 2 * 7 * 16 * 64, 1e-6);
    cr_assert(leaf->leaves_mean > 2 && leaf->leaves_mean <= 8 && isnan(leaf->forced_margin));
    cr_assert_not_null(strstr(leaf->command, " --leaf 3x2 "));
    cr_assert_not_null(strstr(mixture->command, " --moe 8x2:3 "));
    cr_assert_str_eq(find_shape(&rows, "moe 2x8:1")->group, mixture->group);
    ffl_rows_free(&rows);
    /* Nobody asked: they are other functions. */
    expect("\"$FFLAB\" bench -x '*blas*' -x '*avx*' -x '*onednn*' -x '*auto*' --width 32 --tree 1x3 --batch "
           "7 --out "
           "\"$DIR/b\"" QUICK,
           0, &result);
    cr_assert(!strstr(result.out, "moe_") && !strstr(result.out, "fff_leaf_"), "%s", result.out);
}

Test(bench, records_hold_times_verdict_routing_and_work)
{
    run_result result;
    expect("\"$FFLAB\"" SMALL
           "--tree 1x3,2x2 --batch 1,7 --cache hot,weights-cold,all-cold --out \"$DIR\"" QUICK,
           0, &result);
    ffl_rows rows = read_rows("journal.jsonl");
    cr_assert_eq(rows.count, 2 * 2 * 3 * 2, "%zu rows", rows.count);
    for (size_t i = 0; i < rows.count; i++) {
        const ffl_record *r = &rows.value[i].record;
        check_times(r);
        check_circumstances(r, strstr(r->group, "2x2") != NULL);
        cr_assert_not_null(strstr(r->command, r->variant));
        cr_assert_not_null(strstr(result.out, r->variant));
    }
    ffl_rows_free(&rows);
}

Test(bench, the_repeat_command_repeats_the_row)
{
    run_result result;
    expect("\"$FFLAB\"" SMALL "--tree 2x2 --batch 7 --cache all-cold --routing zipf:1 --activation relu "
           "--seed 5 --out \"$DIR/a\"" QUICK,
           0, &result);
    ffl_rows rows = read_rows("a/journal.jsonl");
    for (size_t i = 0; i < rows.count; i++) {
        const ffl_record *r = &rows.value[i].record;
        char command[2048], path[32];
        snprintf(command, sizeof command, "\"$FFLAB\" %s --out \"$DIR/%zu\"" QUICK,
                 r->command + strlen("./fflab "), i);
        expect(command, 0, &result);
        snprintf(path, sizeof path, "%zu", i);
        ffl_rows again = read_rows(path);
        cr_assert_eq(again.count, 1);
        cr_assert_str_eq(again.value[0].record.key, r->key);
        ffl_rows_free(&again);
    }
    ffl_rows_free(&rows);
}

static const json_t *result_of(const json_t *document, const char *variant)
{
    const json_t *results = json_object_get(document, "results");
    for (size_t i = 0; i < json_array_size(results); i++)
        if (strcmp(json_string_value(json_object_get(json_array_get(results, i), "variant")), variant) == 0)
            return json_array_get(results, i);
    cr_assert_fail("no result of %s", variant);
    return NULL;
}

/* What --json printed into DIR/name. */
static json_t *read_json(const char *name)
{
    char path[128];
    json_error_t error;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    json_t *document = json_load_file(path, 0, &error);
    cr_assert_not_null(document, "%s: %s", path, error.text);
    return document;
}

static double number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return value ? json_number_value(value) : NAN;
}

Test(bench, both_speedups_are_ratios_of_the_rows)
{
    run_result result;
    expect("\"$FFLAB\"" SMALL "--tree 1x3 --batch 7 --in-process --json --out \"$DIR\"" QUICK
           " >\"$DIR/json\"",
           0, &result);
    json_t *document = read_json("json");
    const json_t *tree = result_of(document, "fff_naive"), *dense = result_of(document, "ff_naive");
    const double ratio = number(dense, "ns_per_token") / number(tree, "ns_per_token");
    cr_assert_float_eq(number(tree, "speedup_same_level"), ratio, 1e-6 * ratio);
    cr_assert_float_eq(number(tree, "speedup_fastest_dense"), ratio, 1e-6 * ratio);
    cr_assert_str_eq(json_string_value(json_object_get(tree, "speedup_fastest_dense_against")), "ff_naive");
    cr_assert(isnan(number(dense, "speedup_same_level")));
    json_decref(document);
}

Test(bench, resume_runs_only_what_is_missing)
{
    run_result result;
    const char *command = "\"$FFLAB\"" SMALL "--tree 1x3 --batch 1,2,3 --resume --out \"$DIR\"" QUICK;
    expect(command, 0, &result);
    const long complete = file_size("journal.jsonl");
    expect(command, 0, &result);
    cr_assert_eq(file_size("journal.jsonl"), complete, "nothing was left to do");
    cr_assert_not_null(strstr(result.out, "3 groups were in the journal already"));
    /* One row of the middle group is lost: that group runs again, whole. */
    expect("sed -i '/fff_naive.*\"batch\":2,/d' \"$DIR/journal.jsonl\"", 0, &result);
    expect(command, 0, &result);
    cr_assert_not_null(strstr(result.out, "2 tokens per call"));
    cr_assert_null(strstr(result.out, "3 tokens per call"));
    ffl_rows rows = read_rows("journal.jsonl");
    cr_assert_eq(rows.count, 6);
    ffl_rows_free(&rows);
}

Test(bench, shards_share_the_groups)
{
    run_result result;
    char command[512];
    for (int shard = 1; shard <= 2; shard++) {
        snprintf(command, sizeof command,
                 "\"$FFLAB\"" SMALL "--tree 1x3 --batch 1,2,3 --shard %d/2 --out \"$DIR/%d\"" QUICK, shard,
                 shard);
        expect(command, 0, &result);
    }
    ffl_rows first = read_rows("1"), second = read_rows("2");
    cr_assert_eq(first.count, 4);
    cr_assert_eq(second.count, 2);
    for (size_t i = 0; i < first.count; i++)
        for (size_t j = 0; j < second.count; j++)
            cr_assert_str_neq(first.value[i].record.key, second.value[j].record.key);
    ffl_rows_free(&first);
    ffl_rows_free(&second);
}

Test(bench, bad_input_is_named_and_leaves_the_journal_alone)
{
    static const char *const bad[][2] = {
        {"--batch 0", "--batch 0"},
        {"--batch 1,,2", "--batch 1,,2"},
        {"--cache warm", "--cache warm"},
        {"--class f64", "--class f64"},
        {"--cpus 0-", "--cpus 0-"},
        {"--cpus 999", "processor 999"},
        {"--cpus ,", "--cpus ,"},
        {"--routing nowhere", "nowhere"},
        {"--routing recorded:/nowhere.npy", "/nowhere.npy"},
        {"--threads 0", "--threads 0"},
        {"--budget soon", "--budget soon"},
        {"--timeout 0", "--timeout 0"},
        {"--shard 3/2", "--shard 3/2"},
        {"--tree 1", "--tree 1"},
        {"-v no_such", "no_such"},
        {"--fixture random", "--fixture"},
        {"-- --benchmark_min_time=x", "--benchmark_min_time=x"},
        {"-- --benchmark_min_time", "needs a value"},
        {"-- --benchmark_repetitions=0", "--benchmark_repetitions=0"},
        {"-- --benchmark_filter='('", "--benchmark_filter=("},
        {"-- --benchmark_out_format=xml", "only json"},
        {"-- --benchmark_color=true", "--benchmark_color=true"},
        {"-- fast", "fast"},
    };
    run_result result;
    expect("\"$FFLAB\"" SMALL "--tree 1x3 --batch 1 --out \"$DIR\"" QUICK, 0, &result);
    const long before = file_size("journal.jsonl");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char command[512];
        snprintf(command, sizeof command, "\"$FFLAB\"" SMALL "--out \"$DIR\" %s", bad[i][0]);
        expect(command, 1, &result);
        cr_assert_not_null(strstr(result.err, bad[i][1]), "%s\n%s", bad[i][0], result.err);
        cr_assert_eq(strchr(result.err, '\n'), strrchr(result.err, '\n'), "one line, not:\n%s", result.err);
        cr_assert_eq(file_size("journal.jsonl"), before);
    }
}

Test(bench, an_interrupt_keeps_finished_groups)
{
    run_result result;
    expect("\"$FFLAB\"" SMALL "--tree 1x3 --batch 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16 --out \"$DIR\" "
           "-- --benchmark_repetitions=5 --benchmark_min_time=0.03 --benchmark_out=\"$DIR/out.json\" & "
           "until [ -s \"$DIR/journal.jsonl\" ]; do sleep 0.05; done; kill -INT $!; wait $!",
           130, &result);
    ffl_rows rows = read_rows("journal.jsonl");
    cr_assert(rows.count >= 2 && rows.count < 32 && rows.count % 2 == 0, "%zu rows", rows.count);
    cr_assert_gt(file_size("out.json"), 0);
    ffl_rows_free(&rows);
}

Test(bench, a_filter_selects_rows_and_google_benchmarks_json_is_whole)
{
    run_result result;
    expect("\"$FFLAB\"" SMALL "--tree 1x3 --batch 1,16 --out \"$DIR\"" QUICK
           " --benchmark_filter='^fff_.*batch:16/' --benchmark_out=\"$DIR/out.json\"",
           0, &result);
    ffl_rows rows = read_rows("journal.jsonl");
    cr_assert_eq(rows.count, 1);
    cr_assert_not_null(strstr(rows.value[0].record.key, "fff_naive/neurons:15/1x3/"));
    ffl_rows_free(&rows);
    json_t *document = read_json("out.json");
    cr_assert_gt(json_array_size(json_object_get(document, "benchmarks")), 0);
    cr_assert_not_null(json_object_get(json_object_get(document, "context"), "num_cpus"));
    json_decref(document);
    expect("\"$FFLAB\"" SMALL "--tree 1x3 --batch 1 --out \"$DIR/none\" -- --benchmark_filter=no_such", 5,
           &result);
    cr_assert_eq(file_size("none/journal.jsonl"), -1);
}

Test(bench, what_is_wrong_is_not_ranked_and_costs_nobody_else)
{
    static const char *const expected[][3] = {
        /* variant, verdict, word in the reason */
        {"fff_naive", "PASSED", ""},
        {"ff_naive", "PASSED", ""},
        {"fff_test_shallow", "FAILED", ""},
        {"fff_test_tiring", "FAILED", ""},
        {"fff_test_lazy", "FAILED", "not written"},
        {"fff_test_scribbling", "FAILED", "outside"},
        {"fff_test_refusing", "FAILED", "no kernel today"},
        {"fff_test_crashing", "CRASHED", "signal 11"},
        {"fff_test_hanging", "TIMEOUT", "no answer"},
    };
    run_result result;
    expect("\"$FFLAB\" bench --plugin \"$BENCH_PLUGIN\" -v ff_naive -v fff_naive -v 'fff_test_*' -x '*cuda' "
           "--width 32 "
           "--tree 1x3 "
           "--batch 7 --timeout 2s --json --out \"$DIR\"" QUICK " >\"$DIR/json\"",
           2, &result);
    ffl_rows rows = read_rows("journal.jsonl");
    cr_assert_eq(rows.count, sizeof expected / sizeof *expected);
    json_t *document = read_json("json");
    for (size_t i = 0; i < rows.count; i++) {
        const ffl_record *r = find(&rows, expected[i][0]);
        cr_assert_str_eq(r->verdict, expected[i][1], "%s: %s (%s)", r->variant, r->verdict, r->reason);
        cr_assert_not_null(strstr(r->reason, expected[i][2]), "%s: %s", r->variant, r->reason);
        if (strcmp(r->verdict, "PASSED") != 0)
            cr_assert(isnan(number(result_of(document, r->variant), "speedup_fastest_dense")));
    }
    cr_assert_str_eq(
        json_string_value(json_object_get(result_of(document, "fff_naive"), "speedup_fastest_dense_against")),
        "ff_naive");
    json_decref(document);
    ffl_rows_free(&rows);
}

/* 20 ms per token: a call of 256 would take 5 s. */
Test(bench, a_call_that_takes_too_long_runs_with_fewer_tokens)
{
    run_result result;
    expect("\"$FFLAB\" bench --plugin \"$BENCH_PLUGIN\" -v ff_test_slow -v fff_naive --width 32 --tree 1x3 "
           "--batch 256 --json --out \"$DIR\" -- --benchmark_repetitions=2 >\"$DIR/json\"",
           0, &result);
    ffl_rows rows = read_rows("journal.jsonl");
    const ffl_record *slow = find(&rows, "ff_test_slow"), *fast = find(&rows, "fff_naive");
    cr_assert_str_eq(slow->verdict, "PASSED");
    cr_assert_eq(slow->batch, 256);
    cr_assert(slow->tokens >= 1 && slow->tokens < 256 && (slow->tokens & (slow->tokens - 1)) == 0);
    cr_assert_eq(fast->tokens, 256);
    json_t *document = read_json("json");
    cr_assert(isnan(number(result_of(document, "fff_naive"), "speedup_fastest_dense")));
    json_decref(document);
    ffl_rows_free(&rows);
}

Test(bench, single_threaded_variants_decline_threads)
{
    run_result result;
    expect("\"$FFLAB\"" SMALL "--tree 1x3 --batch 1 --threads 2 --out \"$DIR\"" QUICK, 5, &result);
    ffl_rows rows = read_rows("journal.jsonl");
    for (size_t i = 0; i < rows.count; i++)
        cr_assert_str_eq(rows.value[i].record.verdict, "UNSUPPORTED");
    cr_assert_eq(rows.count, 2);
    ffl_rows_free(&rows);
}
