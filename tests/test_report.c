/* Reports from synthetic journals: what is ranked, what divides what, and what is said about the rest. */
#define _GNU_SOURCE
#include "reports/csv.h"
#include "reports/format.h"
#include "reports/gbench_json.h"
#include "reports/markdown.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64], second_path[64];
static ffl_rows rows;
static char *rendered;

static void set_up(void)
{
    strcpy(path, "/tmp/fflab-report-XXXXXX");
    strcpy(second_path, "/tmp/fflab-report-XXXXXX");
    close(mkstemp(path));
    close(mkstemp(second_path));
}

static void tear_down(void)
{
    ffl_rows_free(&rows);
    free(rendered);
    remove(path);
    remove(second_path);
}

TestSuite(report, .init = set_up, .fini = tear_down);

static void put(const char *file_path, const char *text)
{
    FILE *file = fopen(file_path, "a");
    fputs(text, file);
    fclose(file);
}

/* A machine of its own for each `run`. */
static void put_run(const char *file_path, const char *run, const char *cpu, const char *shard)
{
    char line[512];
    snprintf(
        line, sizeof line,
        "{\"schema\":1,\"kind\":\"run\",\"run\":\"%s\",\"key\":\"run/%s\",\"date\":\"2026-01-01T00:00:00Z\","
        "\"circumstances\":{\"machine\":{\"cpu\":\"%s\",\"cpus\":2},\"command\":\"fflab bench\"%s}}\n",
        run, run, cpu, shard);
    put(file_path, line);
}

/* A timed row of 10 µs · tokens and the like; `more` are further JSON fields, each led by a comma. */
static void put_timed(const char *run, const char *variant, const char *family, const char *library,
                      int batch, int tokens, double median_ns, const char *more)
{
    const bool fff = strncmp(variant, "fff_", 4) == 0;
    char line[1024];
    snprintf(
        line, sizeof line,
        "{\"schema\":1,\"kind\":\"bench\",\"run\":\"%s\",\"key\":\"bench %s b%d\",\"date\":"
        "\"2026-01-01T00:00:01Z\",\"variant\":\"%s\",\"operation\":\"%s\",\"family\":\"%s\",\"library\":\"%"
        "s\","
        "\"class\":\"f32\",\"place\":\"host\",\"trees\":%d,\"depth\":%d,\"neurons\":4095,\"width_in\":768,"
        "\"width_out\":768,\"activation\":\"gelu\",\"routing\":\"uniform\",\"cache\":\"hot\",\"batch\":%d,"
        "\"tokens\":%d,\"threads\":1,\"verdict\":\"PASSED\",\"median_ns\":%.1f,\"low_ns\":%.1f,\"high_ns\":%."
        "1f,"
        "\"command\":\"fflab bench -v %s\"%s}\n",
        run, variant, batch, variant, fff ? "fff" : "ff", family, library, fff ? 1 : 0, fff ? 11 : 0, batch,
        tokens, median_ns, 0.9 * median_ns, 1.1 * median_ns, variant, more);
    put(path, line);
}

static void put_bench(const char *variant, const char *family, const char *library, int batch, int tokens,
                      double median_ns, const char *more)
{
    put_timed("r1", variant, family, library, batch, tokens, median_ns, more);
}

/* Duplicate fields would be refused: cases that differ from put_bench's fixed ones are spelled out. */
static void put_failed(const char *variant, const char *family, int batch, const char *verdict)
{
    const bool fff = strncmp(variant, "fff_", 4) == 0;
    char line[1024];
    snprintf(
        line, sizeof line,
        "{\"kind\":\"bench\",\"run\":\"r1\",\"key\":\"bench %s b%d\",\"variant\":\"%s\",\"operation\":\"%s\","
        "\"family\":\"%s\",\"library\":\"none\",\"class\":\"f32\",\"place\":\"host\",\"trees\":%d,\"depth\":%"
        "d,"
        "\"neurons\":4095,\"width_in\":768,\"width_out\":768,\"activation\":\"gelu\",\"routing\":\"uniform\","
        "\"cache\":\"hot\",\"batch\":%d,\"tokens\":%d,\"threads\":1,\"verdict\":\"%s\",\"median_ns\":1,"
        "\"reason\":\"row 3 | element 7\",\"command\":\"fflab bench -v %s\"}\n",
        variant, batch, variant, fff ? "fff" : "ff", family, fff ? 1 : 0, fff ? 11 : 0, batch, batch, verdict,
        variant);
    put(path, line);
}

static void read_rows(void)
{
    const char *paths[] = {path};
    cr_assert_eq(ffl_rows_read(paths, 1, &rows), FFL_OK, "%s", ffl_error());
}

/* What it writes, until the next call. */
static const char *render(ffl_status (*write)(const ffl_rows *, FILE *))
{
    size_t size;
    free(rendered);
    FILE *file = open_memstream(&rendered, &size);
    cr_assert_eq(write(&rows, file), FFL_OK, "%s", ffl_error());
    fclose(file);
    return rendered;
}

static const ffl_row *find(const char *variant, int batch)
{
    for (size_t i = 0; i < rows.count; i++)
        if (strcmp(rows.value[i].record.variant, variant) == 0 && rows.value[i].record.batch == batch)
            return &rows.value[i];
    cr_assert_fail("%s is missing", variant);
    return NULL;
}

static void expect(const char *text, const char *snippet)
{
    cr_assert_not_null(strstr(text, snippet), "missing: %s\nin:\n%s", snippet, text);
}

static void expect_not(const char *text, const char *snippet)
{
    cr_assert_null(strstr(text, snippet), "not expected: %s\nin:\n%s", snippet, text);
}

Test(report, two_speed_ups_are_against_the_same_level_and_against_the_fastest)
{
    put_run(path, "r1", "Test CPU", "");
    put_bench("ff_blas1", "blas1", "blis", 16, 16, 16 * 9000.0, "");
    put_bench("ff_blas3", "blas3", "blis", 16, 16, 16 * 1000.0, "");
    put_bench("ff_blas1_other", "blas1", "openblas", 16, 16, 16 * 500.0, "");
    put_bench("fff_blas1", "blas1", "blis", 16, 16, 16 * 100.0, "");
    read_rows();
    const ffl_row *fff = find("fff_blas1", 16);
    cr_assert_eq(ffl_same_level(&rows, fff, 4095), find("ff_blas1", 16));
    cr_assert_eq(ffl_fastest(&rows, fff, "ff", 4095), find("ff_blas1_other", 16));
    cr_assert_null(ffl_fastest(&rows, fff, "ff", 3072));
    const ffl_speedup s = ffl_speedup_of(fff, find("ff_blas1", 16));
    cr_assert_float_eq(s.ratio, 90, 1e-9);
    cr_assert_float_eq(s.low, 90 * 0.9 / 1.1, 1e-9);
    cr_assert_float_eq(s.high, 90 * 1.1 / 0.9, 1e-9);
    const char *report = render(ffl_markdown_write);
    expect(report,
           "| 1x11 / 4095 | batch 16, hot, 1 thread, f32, width 768, gelu | `fff_blas1` | 100 ns [90.0, "
           "110] | `ff_blas1_other` | 500 ns [450, 550] | **5.00x [4.09, 6.11]** | 341x |");
    expect(report,
           "| 1 | `fff_blas1` | blis | 100 ns [90.0, 110] | – | 90.0x [73.6, 110] | 5.00x [4.09, 6.11] |");
    expect(report, "78x");
}

/* A timed row of any shape: 1 µs per token for ff_…, `ns` for fff_…. */
static void put_shape(int trees, int depth, int batch, int threads, const char *clazz, double ns)
{
    const int neurons = trees * ((2 << depth) - 1);
    for (int fff = 0; fff < 2; fff++) {
        char line[1024];
        snprintf(
            line, sizeof line,
            "{\"schema\":1,\"kind\":\"bench\",\"run\":\"r1\",\"key\":\"%s %dx%d b%d t%d "
            "%s\",\"variant\":\"%s_x\","
            "\"operation\":\"%s\",\"family\":\"simd\",\"class\":\"%s\",\"place\":\"host\",\"trees\":%d,"
            "\"depth\":%d,"
            "\"neurons\":%d,\"width_in\":64,\"width_out\":64,\"activation\":\"gelu\",\"routing\":\"uniform\","
            "\"cache\":\"hot\",\"batch\":%d,\"tokens\":%d,\"threads\":%d,\"verdict\":\"PASSED\","
            "\"median_ns\":%.1f}\n",
            fff ? "fff" : "ff", trees, depth, batch, threads, clazz, fff ? "fff" : "ff", fff ? "fff" : "ff",
            clazz, fff ? trees : 0, fff ? depth : 0, neurons, batch, batch, threads,
            batch * (fff ? ns : 1000));
        put(path, line);
    }
}

Test(report, the_grid_of_a_shape_has_batches_down_and_classes_across)
{
    put_run(path, "r1", "Test CPU", "");
    put_shape(1, 11, 1, 1, "f32", 10);
    put_shape(1, 11, 16, 1, "f32", 20);
    put_shape(1, 11, 16, 2, "f32", 40);
    put_shape(1, 11, 16, 1, "bf16", 50);
    read_rows();
    const char *report = render(ffl_markdown_write);
    expect(report, "| | f32 hot, 1 thr. | f32 hot, 2 thr. | bf16 hot, 1 thr. |\n|---|--:|--:|--:|\n"
                   "| B=1 | 100x (10.0 ns) | – | – |\n"
                   "| B=16 | 50.0x (20.0 ns) | 25.0x (40.0 ns) | 20.0x (50.0 ns) |\n");
    expect_not(report, "| 1x11 |"); /* one shape: nothing to compare it with */
}

Test(report, the_grid_of_a_class_has_shapes_down_and_batches_across)
{
    put_run(path, "r1", "Test CPU", "");
    put_shape(1, 5, 8, 1, "f32", 50);
    put_shape(1, 3, 64, 1, "f32", 100);
    put_shape(1, 4, 8, 1, "f32", 80);
    put_shape(1, 4, 64, 1, "f32", 40);
    read_rows();
    expect(render(ffl_markdown_write),
           "| | B=8 | B=64 |\n|---|--:|--:|\n| 1x3 | – | 10.0x (100 ns) |\n"
           "| 1x4 | 12.5x (80.0 ns) | 25.0x (40.0 ns) |\n| 1x5 | 20.0x (50.0 ns) | – |\n");
}

Test(report, reduced_rows_are_never_ranked_nor_the_fastest)
{
    put_run(path, "r1", "Test CPU", "");
    put_bench("ff_naive", "naive", "none", 16384, 64, 64 * 10.0, "");
    put_bench("ff_blas3", "blas3", "blis", 16384, 16384, 16384 * 1000.0, "");
    put_bench("fff_naive", "naive", "none", 16384, 16384, 16384 * 100.0, "");
    put_bench("fff_reduced", "naive", "none", 16384, 64, 64 * 1.0, "");
    read_rows();
    const ffl_row *fff = find("fff_naive", 16384);
    cr_assert_eq(ffl_fastest(&rows, fff, "ff", 4095), find("ff_blas3", 16384));
    cr_assert_eq(ffl_fastest(&rows, fff, "fff", 4095), fff);
    const char *report = render(ffl_markdown_write);
    expect(report, "| 1 | `fff_naive` |");
    expect(report, "| 2 | `ff_blas3` |");
    expect(report, "| – | `fff_reduced` | none | 1.00 ns\\* [0.90, 1.10] |");
    expect(report, "| – | `ff_naive` |");
    expect(report, "\\* 64 tokens per call");
    expect(report, "| 0.10x\\* [0.08, 0.12] |"); /* same level, against the reduced dense row: marked */
}

Test(report, a_reduced_row_stands_in_marked_only_where_no_full_one_is)
{
    put_run(path, "r1", "Test CPU", "");
    put_bench("ff_naive", "naive", "none", 16384, 64, 64 * 1000.0, "");
    put_bench("fff_naive", "naive", "none", 16384, 16384, 16384 * 100.0, "");
    read_rows();
    cr_assert_null(ffl_fastest(&rows, find("fff_naive", 16384), "ff", 4095));
    const char *report = render(ffl_markdown_write);
    expect(report, "No speed-up can be stated"); /* the sentence speaks of full batches alone */
    expect(report, "| `ff_naive` | 1.00 µs\\* [0.90, 1.10] | **10.0x\\* [8.18, 12.2]** |");
    expect(render(ffl_headline_print), "10.0x* [8.18, 12.2]");
}

Test(report, handicapped_and_implausible_rows_are_never_denominators)
{
    put_run(path, "r1", "Test CPU", "");
    put_bench("ff_slow_kernels", "blas3", "openblas", 1, 1, 900,
              ",\"handicapped\":true,\"kernel_family\":\"Haswell\"");
    put_bench("ff_too_fast", "blas3", "blis", 1, 1, 1, ",\"implausible\":true");
    put_bench("fff_blas3", "blas3", "openblas", 1, 1, 100, "");
    read_rows();
    const ffl_row *fff = find("fff_blas3", 1);
    cr_assert_null(ffl_fastest(&rows, fff, "ff", 4095));
    cr_assert_null(ffl_same_level(&rows, fff, 4095));
    const char *report = render(ffl_markdown_write);
    expect(report, "No speed-up can be stated");
    expect(report, "| – | `ff_slow_kernels` | openblas Haswell |");
    expect(report, "| HANDICAPPED | fflab-report");
    expect(report, "| IMPLAUSIBLE | fflab-report");
}

Test(report, what_did_not_pass_is_listed_with_its_reason_and_never_counts)
{
    put_run(path, "r1", "Test CPU", "");
    put_bench("ff_naive", "naive", "none", 1, 1, 1000, "");
    put_failed("ff_wrong", "naive", 1, "FAILED");
    put_failed("fff_crash", "naive", 1, "CRASHED");
    put_failed("fff_maybe", "naive", 1, "SUSPECT");
    put_bench("fff_naive", "naive", "none", 1, 1, 100, "");
    read_rows();
    cr_assert_eq(ffl_fastest(&rows, find("fff_naive", 1), "ff", 4095), find("ff_naive", 1));
    cr_assert_eq(ffl_fastest(&rows, find("fff_naive", 1), "fff", 4095), find("fff_naive", 1));
    const char *report = render(ffl_markdown_write);
    expect(report, "| – | `ff_wrong` | none | – | – | – | – | FAILED: row 3 \\| element 7 |");
    expect(report, "- **CRASHED** `fff_crash` (bench, ");
    expect(report, "Repeat: `fflab bench -v fff_crash`");
    expect_not(report, "| 3 | `");
    json_error_t error;
    json_t *json = json_loads(render(ffl_gbench_json_write), 0, &error);
    cr_assert_not_null(json, "%s", error.text);
    const json_t *lines = json_object_get(json, "benchmarks");
    size_t i, errors = 0;
    const json_t *line;
    json_array_foreach(lines, i, line)
    {
        const char *label = json_string_value(json_object_get(line, "run_name"));
        const bool bad = strstr(label, "wrong") || strstr(label, "crash") || strstr(label, "maybe");
        cr_assert_eq(json_is_true(json_object_get(line, "error_occurred")), bad, "%s", label);
        errors += bad;
        if (strstr(label, "crash"))
            expect(json_string_value(json_object_get(line, "error_message")), "CRASHED: row 3 | element 7");
    }
    cr_assert_eq(errors, 3);
    json_decref(json);
}

Test(report, few_samples_become_repetitions_and_many_a_median)
{
    put_run(path, "r1", "Test CPU", "");
    put_bench("ff_few", "naive", "none", 1, 1, 20,
              ",\"calls\":3,\"mean_ns\":20,\"samples_ns\":[[10,1],[25,2]]");
    put_bench("ff_many", "naive", "none", 1, 1, 20,
              ",\"calls\":900,\"mean_ns\":21,\"samples_ns\":[[10,450],[25,450]]");
    read_rows();
    json_t *json = json_loads(render(ffl_gbench_json_write), 0, NULL);
    const json_t *lines = json_object_get(json, "benchmarks");
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(json, "context"), "json_schema_version")),
                 1);
    cr_assert_eq(json_array_size(lines), 3 + 2 + 2);
    static const char *const required[] = {"name",       "run_name",  "run_type", "repetitions", "threads",
                                           "iterations", "real_time", "cpu_time", "time_unit"};
    for (size_t i = 0; i < json_array_size(lines); i++)
        for (size_t f = 0; f < sizeof required / sizeof *required; f++)
            cr_assert_not_null(json_object_get(json_array_get(lines, i), required[f]), "%s", required[f]);
    cr_assert_float_eq(json_number_value(json_object_get(json_array_get(lines, 2), "real_time")), 25, 1e-9);
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(lines, 6), "aggregate_name")),
                     "median");
    json_decref(json);
}

Test(report, broken_torn_and_newer_lines_become_notes_and_the_rest_is_used)
{
    put_run(path, "r1", "Test CPU", "");
    put(path,
        "garbage\n{\"schema\":7,\"kind\":\"bench\",\"key\":\"x\"}\n{\"kind\":\"dance\",\"key\":\"x\"}\n\n");
    put(path, "{\"kind\":\"bench\"}\n[]\n{\"kind\":\"bench\",\"key\":\"x\",\"median_ns\":\"fast\"}\n");
    put_bench("ff_naive", "naive", "none", 1, 1, 1000, ",\"future\":{\"a\":1}");
    put(path, "{\"kind\":\"bench\",\"key\":\"to");
    read_rows();
    cr_assert_eq(rows.count, 1);
    static const char *const notes[] = {":2: not JSON",
                                        ":3: written by a newer fflab (schema 7",
                                        ":4: unknown kind \"dance\"",
                                        ":6: no key",
                                        ":7: not a JSON object",
                                        ":8: field \"median_ns\"",
                                        ":10: torn off"};
    cr_assert_eq(rows.note_count, sizeof notes / sizeof *notes);
    for (size_t n = 0; n < rows.note_count; n++)
        expect(rows.notes[n], notes[n]);
    expect(render(ffl_markdown_write), "7 journal lines could not be used");
}

Test(report, the_latest_line_of_a_case_wins_on_each_machine_apart)
{
    put_run(path, "r1", "Test CPU", "");
    put_bench("ff_naive", "naive", "none", 1, 1, 1000, "");
    put_bench("fff_naive", "naive", "none", 1, 1, 100, "");
    put_bench("ff_naive", "naive", "none", 1, 1, 2000, "");
    put_run(second_path, "r2", "Other CPU", "");
    put(second_path,
        "{\"kind\":\"bench\",\"run\":\"r2\",\"key\":\"bench ff_naive "
        "b1\",\"date\":\"2026-01-02T00:00:00Z\",\"variant\":"
        "\"ff_naive\",\"operation\":\"ff\",\"family\":\"naive\",\"library\":\"none\",\"class\":\"f32\","
        "\"place\":"
        "\"host\",\"neurons\":4095,\"width_in\":768,\"width_out\":768,\"activation\":\"gelu\",\"routing\":"
        "\"uniform\","
        "\"cache\":\"hot\",\"batch\":1,\"tokens\":1,\"threads\":1,\"verdict\":\"PASSED\",\"median_ns\":1}\n");
    const char *paths[] = {second_path, path};
    cr_assert_eq(ffl_rows_read(paths, 2, &rows), FFL_OK, "%s", ffl_error());
    cr_assert_eq(rows.count, 3);
    cr_assert_eq(rows.machine_count, 2);
    const ffl_row *dense = ffl_fastest(&rows, find("fff_naive", 1), "ff", 4095);
    cr_assert_eq(dense->record.median_ns, 2000);
    cr_assert_eq(dense->line, 4);
    const char *report = render(ffl_markdown_write);
    expect(report, "J2:4");
    expect(report, "never compared");
}

/* Rows of one machine follow one another; its name stands once above them, and in no row. */
Test(report, a_table_per_machine_names_it_once)
{
    put_run(path, "r1", "Test CPU", "");
    put_run(path, "r2", "Other CPU", "");
    for (int batch = 1; batch <= 2; batch++)
        for (int run = 1; run <= 2; run++) {
            char more[32] = "";
            if (batch == 1)
                snprintf(more, sizeof more, ",\"p99_ns\":%d", 100 * run);
            put_timed(run == 1 ? "r1" : "r2", "ff_naive", "naive", "none", batch, batch, 1000, "");
            put_timed(run == 1 ? "r1" : "r2", "fff_naive", "naive", "none", batch, batch, 100, more);
        }
    read_rows();
    cr_assert_eq(rows.machine_count, 2);
    const char *report = render(ffl_markdown_write);
    expect(report, "\nOn Other CPU, 2 processors:\n\n| FFF / dense N |");
    expect(report, "\nOn Test CPU, 2 processors:\n\n| FFF / dense N |");
    expect(report, "\nOn Test CPU, 2 processors:\n\n| Variant | Shape | Cache |");
    for (const char *at = report; (at = strstr(at, " CPU, 2 processors")); at++) {
        while (at[-1] != '\n')
            at--;
        cr_assert_neq(*at, '|', "%.200s", at);
        at = strstr(at, " CPU, 2 processors");
    }
}

/* Of both sides, and no column where nothing was calibrated. */
Test(report, the_headline_names_the_roofs)
{
    put_run(path, "r1", "Test CPU", "");
    put_bench("ff_naive", "naive", "none", 16, 16, 16000, ",\"roof\":\"fma_f32_base\",\"roof_share\":0.5");
    put_bench("fff_naive", "naive", "none", 16, 16, 1600, ",\"roof\":\"read_l2\",\"roof_share\":0.031");
    put_bench("fff_naive", "naive", "none", 1, 1, 100, "");
    read_rows();
    const char *report = render(ffl_markdown_write);
    expect(report,
           "| Fastest FFF | per token | of its roof | Fastest dense | per token | of its roof | Speed-up |");
    expect(report,
           "| 3.1 % of `read_l2` | `ff_naive` | 1.00 µs [0.90, 1.10] | 50 % of `fma_f32_base` | **10.0x");
    expect(report, "| `fff_naive` | 100 ns [90.0, 110] | – | none qualifies | – | – | **–** |");
}

Test(report, a_missing_shard_is_said)
{
    put_run(path, "r1", "Test CPU", ",\"shard\":\"1/3\"");
    put_run(path, "r2", "Test CPU", ",\"shard\":\"3/3\"");
    read_rows();
    expect(render(ffl_markdown_write), "only 2 of 3 shards are here");
}

Test(report, nothing_at_all_is_said_plainly_and_a_missing_path_is_named)
{
    read_rows();
    const char *report = render(ffl_markdown_write);
    expect(report, "No case is finished");
    expect(report, "machine and build are unknown");
    expect(render(ffl_headline_print), "No speed-up can be stated");
    const char *missing[] = {"/nonexistent/run"};
    ffl_rows none;
    cr_assert_eq(ffl_rows_read(missing, 1, &none), FFL_BAD_INPUT);
    expect(ffl_error(), "/nonexistent/run");
}

Test(report, routing_and_packing_have_their_tables)
{
    put_run(path, "r1", "Test CPU", "");
    put_bench("ff_naive", "naive", "none", 8, 8, 8000, "");
    put_bench("fff_naive", "naive", "none", 8, 8, 800,
              ",\"pack_ns\":72000,\"pack_bytes\":2e6,\"leaves_mean\":8");
    put(path,
        "{\"kind\":\"bench\",\"run\":\"r1\",\"key\":\"single\",\"variant\":\"fff_naive\",\"operation\":"
        "\"fff\","
        "\"family\":\"naive\",\"library\":\"none\",\"class\":\"f32\",\"place\":\"host\",\"trees\":1,"
        "\"depth\":11,"
        "\"neurons\":4095,\"width_in\":768,\"width_out\":768,\"activation\":\"gelu\",\"routing\":\"single\","
        "\"cache\":\"hot\",\"batch\":8,\"tokens\":8,\"threads\":1,\"verdict\":\"PASSED\",\"median_ns\":400,"
        "\"leaves_mean\":1,\"entropy_mean\":0,\"top1_mean\":1,\"unique_weight_bytes\":73776}\n");
    read_rows();
    const char *report = render(ffl_markdown_write);
    expect(report,
           "| `fff_naive` | 1x11 | 8 | hot | single | 1 | 0 | 100 % | 73.8 kB | 50.0 ns | 2.00x | 20.0x |");
    expect(report, "| `fff_naive` | 1x11 | 8 | hot | 72.0 µs | 2.00 MB | 10 |");
    expect_not(report, "| `fff_naive` | none | 50.0 ns"); /* another routing is not ranked */
}

Test(report, csv_quotes_what_needs_it)
{
    put_run(path, "r1", "CPU, \\\"fast\\\"", "");
    put_bench("ff_naive", "naive", "none", 1, 1, 1000, "");
    read_rows();
    const char *report = render(ffl_csv_write);
    expect(report, "file,line,machine,schema,kind,run,key");
    expect(report, ",2,\"CPU, \"\"fast\"\", 2 processors\",1,bench,r1,bench ff_naive b1,");
}

Test(report, numbers_keep_three_digits)
{
    static const struct {
        double ns;
        const char *text;
    } known[] = {{0.5, "0.50 ns"},   {9.994, "9.99 ns"}, {99.96, "100 ns"},  {999.4, "999 ns"},
                 {999.6, "1.00 µs"}, {12345, "12.3 µs"}, {3.4e10, "34.0 s"}, {NAN, "–"}};
    char cell[FFL_CELL];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        ffl_format_ns(known[i].ns, cell);
        cr_assert_str_eq(cell, known[i].text);
    }
    ffl_format_bytes(25165824, cell);
    cr_assert_str_eq(cell, "25.2 MB");
}
