/*
 * The bench command on a device: the whole way of a row on the emulated one, whose times mean nothing and are
 * marked, and what happens without any. No assertion looks at how long it took.
 */
#include "harness/bench/device_stage.h"
#include "kernels/device.h"
#include "reports/speedup.h"
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL " bench --plugin \"$FFLAB_CUDA_PLUGIN\" --tree 1x3 --width 32 --out \"$DIR\" "
#define QUICK " -- --benchmark_repetitions=3 --benchmark_min_time=0.0005"

static char dir[64];

static void make_dir(void)
{
    strcpy(dir, "/tmp/fflab-cuda-bench-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    setenv("DIR", dir, 1);
    setenv("FFL_EMULATED_BENCH", "1", 1);
}

static void remove_dir(void)
{
    run_result result;
    run_shell("rm -r \"$DIR\"", &result);
}

TestSuite(cuda_bench, .init = make_dir, .fini = remove_dir);

static void need_emulation(void)
{
    if (!getenv("FFLAB_CUDA_PLUGIN"))
        cr_skip("the plugin is built for the emulated device");
}

static ffl_rows bench(const char *arguments, int exit_code, run_result *result)
{
    char command[2048];
    const char *paths[] = {dir};
    ffl_rows rows;
    snprintf(command, sizeof command, "\"$FFLAB\"%s", arguments);
    run_shell(command, result);
    cr_assert_eq(result->exit_code, exit_code, "%s\nexit code %d instead of %d\n%s\n%s", command,
                 result->exit_code, exit_code, result->out, result->err);
    cr_assert_eq(ffl_rows_read(paths, 1, &rows), FFL_OK, "%s", ffl_error());
    return rows;
}

static const ffl_row *find(const ffl_rows *rows, const char *variant)
{
    for (size_t i = 0; i < rows->count; i++)
        if (strcmp(rows->value[i].record.variant, variant) == 0)
            return &rows->value[i];
    cr_assert_fail("no row of %s", variant);
    return NULL;
}

static void check_row(const ffl_row *row, const char *form)
{
    const ffl_record *r = &row->record;
    cr_assert_str_eq(r->verdict, "PASSED", "%s: %s", r->key, r->reason);
    cr_assert_str_eq(r->place, "cuda");
    cr_assert_str_eq(r->form, form, "%s", r->key);
    cr_assert(r->calls > 0 && r->calls % 3 == 0 && r->burst > 0);
    cr_assert(isfinite(r->median_ns) && isfinite(r->plain_ns) && isfinite(r->wall_ns) &&
              isfinite(r->enqueue_ns));
    cr_assert_gt(r->rows, 0, "the timed calls' outputs were judged");
    cr_assert(r->emulated && !ffl_row_ran(row) && !ffl_row_ranks(row), "an emulated row is none to rank");
}

Test(cuda_bench, a_row_goes_all_the_way_in_each_storage_type)
{
    run_result result;
    need_emulation();
    ffl_rows rows = bench(SMALL "-v 'fff_cuda_plain*' -v fff_naive --batch 1" QUICK, 0, &result);
    static const char *const names[] = {"fff_cuda_plain", "fff_cuda_plain_bf16", "fff_cuda_plain_f16"};
    for (size_t i = 0; i < 3; i++) {
        const ffl_row *row = find(&rows, names[i]);
        check_row(row, "graph");
        cr_assert(isfinite(row->record.graph_ns) && 4096 % row->record.burst == 0);
        cr_assert(isfinite(row->record.p99_ns));
    }
    cr_assert_str_neq(find(&rows, "fff_naive")->record.group, find(&rows, names[0])->record.group);
    cr_assert_not_null(strstr(result.out, "EMULATED"));
    cr_assert_not_null(strstr(result.out, "one alone"));
    const json_t *device = json_object_get(rows.runs[0].record.circumstances, "device");
    cr_assert_str_eq(json_string_value(json_object_get(device, "name")), ffl_device_name());
    cr_assert(json_is_true(json_object_get(device, "emulated")));
    ffl_rows_free(&rows);
    run_shell("\"$FFLAB\" report \"$DIR\" --out \"$DIR/report\" && cat \"$DIR/report/report.md\"", &result);
    cr_assert_eq(result.exit_code, 0, "%s", result.err);
    cr_assert_not_null(strstr(result.out, "fff_naive"));
    cr_assert_null(strstr(result.out, "`fff_cuda_plain"), "an emulated row was reported");
}

Test(cuda_bench, larger_batches_and_cold_weights_rank_the_plain_form)
{
    run_result result;
    need_emulation();
    ffl_rows rows = bench(SMALL "-v fff_cuda_plain --batch 257 --cache hot" QUICK, 0, &result);
    check_row(find(&rows, "fff_cuda_plain"), "plain");
    cr_assert(isfinite(find(&rows, "fff_cuda_plain")->record.graph_ns), "the other form is recorded, too");
    ffl_rows_free(&rows);
    remove_dir();
    make_dir();
    rows = bench(SMALL "-v fff_cuda_plain_bf16 --batch 3 --cache weights-cold,all-cold" QUICK, 0, &result);
    for (size_t i = 0; i < rows.count; i++) {
        check_row(&rows.value[i], "plain");
        cr_assert_eq(rows.value[i].record.burst, 1);
    }
    cr_assert_eq(rows.count, 2);
    ffl_rows_free(&rows);
}

/* The same plan in calls, graphs and bursts: nothing that a run counts is left for the next one. */
Test(cuda_bench, leaf_trees_and_mixtures_have_rows_too)
{
    run_result result;
    need_emulation();
    ffl_rows rows = bench(" bench --tree 1x3 --width 8 --leaf 2x4 --moe 3x34:2 --batch 66 --out \"$DIR\" "
                          "-v fff_leaf_grouped_cuda -v moe_grouped_cuda" QUICK,
                          0, &result);
    cr_assert_eq(rows.count, 2);
    for (size_t i = 0; i < rows.count; i++) {
        check_row(&rows.value[i], rows.value[i].record.form);
        cr_assert(isfinite(rows.value[i].record.graph_ns), "%s", rows.value[i].record.reason);
    }
    cr_assert_str_eq(find(&rows, "fff_leaf_grouped_cuda")->record.shape, "leaf 2x4");
    cr_assert_str_eq(find(&rows, "moe_grouped_cuda")->record.shape, "moe 3x34:2");
    ffl_rows_free(&rows);
}

/* What stands in the sweep's buffer and in the one that rows are copied to tells what was enqueued. */
static void check_cooling(ffl_cache_state cache)
{
    enum { BATCH = 3, WIDTH = 8 };
    const ffl_stage stage = {.y_rows = BATCH};
    ffl_group group = {.batch = BATCH, .cache = cache, .place = FFL_CUDA};
    ffl_device_stage device;
    float x[BATCH * WIDTH], got[BATCH * WIDTH];
    void *rows;
    unsigned char end = 0;
    for (size_t i = 0; i < BATCH * WIDTH; i++)
        x[i] = (float)i;
    cr_assert_eq(ffl_layer_fff(WIDTH, WIDTH, 1, 2, &group.tree), FFL_OK);
    cr_assert_eq(ffl_device_stage_new(&stage, &group, &device), FFL_OK, "%s", ffl_error());
    cr_assert_eq(device.sweep != NULL, cache != FFL_HOT);
    cr_assert_eq(ffl_device_stage_cool(&device), FFL_OK);
    if (cache != FFL_HOT) {
        cr_assert_geq(device.sweep_bytes, 2 * ffl_device_describe()->l2_bytes);
        cr_assert_eq(ffl_device_fill(device.sweep, 7, device.sweep_bytes), FFL_OK);
        cr_assert_eq(ffl_device_stage_cool(&device), FFL_OK);
        cr_assert_eq(ffl_device_alloc(sizeof x, &rows), FFL_OK);
        cr_assert_eq(ffl_device_upload(rows, x, sizeof x), FFL_OK);
        cr_assert_eq(ffl_device_stage_touch(&device, rows, sizeof x, rows, sizeof x), FFL_OK);
        cr_assert_eq(ffl_device_synchronize(), FFL_OK);
        cr_assert_eq(ffl_device_download(&end, (unsigned char *)device.sweep + device.sweep_bytes - 1, 1),
                     FFL_OK);
        cr_assert_eq(end, 1, "nothing was swept");
        cr_assert_eq(ffl_device_download(got, device.touched, sizeof got), FFL_OK);
        cr_assert_arr_eq(got, x, sizeof x);
        ffl_device_free(rows);
    }
    ffl_device_stage_free(&device);
}

Test(cuda_bench, cold_groups_are_swept_and_hot_ones_are_not)
{
    need_emulation();
    for (int cache = 0; cache < FFL_CACHE_STATES; cache++)
        check_cooling((ffl_cache_state)cache);
}

Test(cuda_bench, what_cannot_be_captured_is_timed_as_it_is)
{
    run_result result;
    need_emulation();
    ffl_rows rows = bench(SMALL "-v fff_cuda_waits --batch 4" QUICK, 0, &result);
    const ffl_row *row = find(&rows, "fff_cuda_waits");
    check_row(row, "plain");
    cr_assert(isnan(row->record.graph_ns));
    cr_assert_not_null(strstr(row->record.reason, "no graph: "));
    cr_assert_not_null(strstr(row->record.reason, "cudaStreamSynchronize"));
    ffl_rows_free(&rows);
}

Test(cuda_bench, broken_rows_fail_alone)
{
    static const struct {
        const char *variant, *reason;
    } expected[] = {
        {"after", "wrote byte 4 past the end of y"},
        {"before_bf16", "wrote 1 bytes before y"},
        {"input", "changed x at byte "},
        {"weights", "changed w_out at byte "},
        {"scratch", "wrote byte 0 past the end of scratch"},
        {"trusts", "NaN or not written"},
        {"leaves_bf16", "NaN or not written"},
        {"launch", "invalid configuration argument"},
    };
    run_result result;
    need_emulation();
    ffl_rows rows = bench(SMALL "-v 'fff_cuda_*' -x fff_cuda_far --batch 7" QUICK, 2, &result);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        char name[64];
        snprintf(name, sizeof name, "fff_cuda_%s", expected[i].variant);
        const ffl_record *r = &find(&rows, name)->record;
        cr_expect_str_eq(r->verdict, "FAILED", "%s", name);
        cr_expect(strstr(r->reason, expected[i].reason), "%s: %s", name, r->reason);
    }
    check_row(find(&rows, "fff_cuda_plain"), "graph");
    check_row(find(&rows, "fff_cuda_plain_bf16"), "graph");
    ffl_rows_free(&rows);
}

static void expect_skipped(const char *arguments, const char *variant, const char *why)
{
    run_result result;
    ffl_rows rows = bench(arguments, 5, &result);
    cr_assert_str_eq(find(&rows, variant)->record.verdict, "SKIPPED");
    cr_assert_str_eq(find(&rows, variant)->record.reason, why);
    cr_assert(!ffl_row_ran(find(&rows, variant)));
    cr_assert_not_null(strstr(result.out, why), "%s", result.out);
    ffl_rows_free(&rows);
}

Test(cuda_bench, the_emulated_device_is_not_timed_unless_asked)
{
    need_emulation();
    unsetenv("FFL_EMULATED_BENCH");
    expect_skipped(SMALL "-v fff_cuda_plain --batch 1", "fff_cuda_plain",
                   "emulated device: times mean nothing");
}

Test(cuda_bench, without_a_device_rows_are_skipped_and_say_why)
{
    run_result result;
    const char *why;
    run_shell("$FFLAB list -v fff_naive_cuda --json", &result);
    if (!strstr(result.out, "fff_naive_cuda") || ffl_device_available(&why))
        cr_skip("this build has no CUDA, or this machine a device");
    expect_skipped(" bench -v fff_naive_cuda --tree 1x3 --width 32 --batch 1,7 --out \"$DIR\"",
                   "fff_naive_cuda", why);
}
