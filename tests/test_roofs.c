/* Roofs: which one binds, what is IMPLAUSIBLE, and the file that keeps them. The rates here are made up. */
#include "harness/device/storage.h"
#include "harness/roofs/roofs.h"
#include "kernels/team.h"
#include "reports/roof_table.h"
#include "tests/run_program.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ffl_roofs roofs;
static char dir[64];

static void put(const char *place, const char *name, int64_t threads, double value)
{
    ffl_roof roof = {.threads = threads, .value = value, .median = 0.9 * value, .bytes = NAN, .rounds = 9};
    strcpy(roof.name, name);
    strcpy(roof.place, place);
    strcpy(roof.unit, "GB/s");
    strcpy(roof.date, "2026-01-01T00:00:00Z");
    cr_assert_eq(ffl_roofs_put(&roofs, &roof), FFL_OK);
}

/* One thread: 10, 80, 160 operations and 100, 50, 20, 10 bytes per nanosecond. */
static void set_up(void)
{
    strcpy(dir, "/tmp/fflab-roofs-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    setenv("DIR", dir, 1);
    setenv("FFLAB_CACHE_DIR", dir, 1);
    put("host", "fma_f32_base", 1, 10);
    put("host", "fma_f32_avx2", 1, 80);
    put("host", "fma_f32_avx512", 1, 160);
    put("host", "fma_int8_avx512vnni", 1, 640);
    put("host", "read_l1", 1, 100);
    put("host", "read_l2", 1, 50);
    put("host", "read_l3", 1, 20);
    put("host", "read_dram", 1, 10);
}

static void tear_down(void)
{
    run_result result;
    ffl_roofs_free(&roofs);
    run_shell("rm -r \"$DIR\"", &result);
}

TestSuite(roofs, .init = set_up, .fini = tear_down);

static ffl_roof_load load_of(double flops, double read_bytes)
{
    return (ffl_roof_load){.place = FFL_HOST,
                           .type = FFL_F32,
                           .isa = FFL_ISA_AVX512,
                           .threads = 1,
                           .flops = flops,
                           .read_bytes = read_bytes,
                           .caches = {1000, 10000, 100000}};
}

static void expect_binding(ffl_roof_load load, const char *name, double least_ns)
{
    double ns;
    const ffl_roof *roof = ffl_roof_binding(&roofs, &load, &ns);
    cr_assert_not_null(roof);
    cr_assert_str_eq(roof->name, name);
    cr_assert_float_eq(ns, least_ns, 1e-9 * least_ns, "%g instead of %g ns", ns, least_ns);
}

Test(roofs, the_longest_of_arithmetic_and_levels_binds)
{
    expect_binding(load_of(16000, 500), "fma_f32_avx512", 100);
    expect_binding(load_of(160, 500), "read_l1", 5);
    /* What a level could hold is not counted against the next one. */
    expect_binding(load_of(160, 9000), "read_l2", 160);
    expect_binding(load_of(160, 50000), "read_l3", (50000 - 11000) / 20.0);
    expect_binding(load_of(160, 1e6), "read_dram", (1e6 - 111000) / 10.0);
    ffl_roof_load cold = load_of(160, 9000);
    cold.cold_bytes = 8000;
    expect_binding(cold, "read_dram", 800);
}

Test(roofs, a_cache_of_unknown_size_may_hold_everything)
{
    ffl_roof_load load = load_of(160, 1e6);
    load.caches[1] = 0;
    expect_binding(load, "read_l2", (1e6 - 1000) / 50.0);
}

Test(roofs, arithmetic_is_that_of_instruction_set_type_and_threads)
{
    ffl_roof_load load = load_of(16000, 0);
    load.isa = FFL_ISA_AVX2;
    expect_binding(load, "fma_f32_avx2", 200);
    load.isa = FFL_ISA_AVX512_VNNI;
    expect_binding(load, "fma_f32_avx512", 100);
    load.type = FFL_INT8;
    expect_binding(load, "fma_int8_avx512vnni", 25);
    load.isa = FFL_ISA_AVX512; /* no such instructions: widened */
    expect_binding(load, "fma_f32_avx512", 100);
    load.type = FFL_F32;
    load.threads = 2;
    double ns;
    cr_assert_null(ffl_roof_binding(&roofs, &load, &ns), "nothing was measured for two threads");
    put("host", "fma_f32_avx512", 2, 320);
    expect_binding(load, "fma_f32_avx512", 50);
}

/* A card's level-2 cache may hold what a call reads; its products have a rate for each type, or none. */
Test(roofs, a_card_is_bound_by_its_own_roofs)
{
    put("cuda", "read_l2", 1, 5000);
    put("cuda", "read_dram", 1, 4000);
    put("cuda", "matmul_f32", 1, 50000);
    put("cuda", "matmul_bf16", 1, 800000);
    ffl_roof_load load = {.place = FFL_CUDA,
                          .type = FFL_BF16,
                          .threads = 1,
                          .flops = 8e8,
                          .read_bytes = 1e6,
                          .caches = {500000}};
    expect_binding(load, "matmul_bf16", 1000);
    load.type = FFL_F32;
    expect_binding(load, "matmul_f32", 16000);
    load.type = FFL_INT8;
    expect_binding(load, "read_l2", 200);
    load.read_bytes = 1e8;
    expect_binding(load, "read_dram", (1e8 - 500000) / 4000);
}

static const ffl_variant variant = {
    .name = "ff_test", .place = FFL_HOST, .isa = FFL_ISA_AVX512, .contract = FFL_CONTRACT_F32};

static ffl_record row_of(double flops, double ns)
{
    ffl_record r;
    ffl_record_init(&r);
    r.tokens = 4;
    r.width_in = r.width_out = 8;
    r.threads = 1;
    r.flops = flops;
    r.bytes = 4 * 16 * 4 + 64;
    r.median_ns = ns;
    strcpy(r.cache, "hot");
    return r;
}

Test(roofs, a_row_above_the_tolerance_is_implausible)
{
    ffl_record r = row_of(16000, 125);
    ffl_roofs_judge(&roofs, &variant, &r);
    cr_assert_float_eq(r.roof_share, 0.8, 1e-9);
    cr_assert_str_eq(r.roof, "fma_f32_avx512");
    cr_assert(!r.implausible);
    r = row_of(16000, 100 / (FFL_ROOF_TOLERANCE_HOST - 0.001));
    ffl_roofs_judge(&roofs, &variant, &r);
    cr_assert(!r.implausible && r.roof_share > 1);
    r = row_of(16000, 100 / (FFL_ROOF_TOLERANCE_HOST + 0.001));
    ffl_roofs_judge(&roofs, &variant, &r);
    cr_assert(r.implausible);
    cr_assert_not_null(strstr(r.reason, "105 % of the measured roof fma_f32_avx512, 160 GB/s"), "%s",
                       r.reason);
}

/* What a compiler or a dispatcher made of a kernel is not for its name to say. */
Test(roofs, a_row_above_its_own_instruction_set_is_held_against_the_fastest)
{
    ffl_variant plain = variant;
    plain.isa = FFL_ISA_BASE;
    ffl_record r = row_of(16000, 3200);
    ffl_roofs_judge(&roofs, &plain, &r);
    cr_assert_str_eq(r.roof, "fma_f32_base");
    cr_assert_float_eq(r.roof_share, 0.5, 1e-9);
    r = row_of(16000, 200);
    ffl_roofs_judge(&roofs, &plain, &r);
    cr_assert_str_eq(r.roof, "fma_f32_avx512");
    cr_assert_float_eq(r.roof_share, 0.5, 1e-9);
    cr_assert(!r.implausible);
    r = row_of(16000, 50);
    ffl_roofs_judge(&roofs, &plain, &r);
    cr_assert(r.implausible);
    plain.library = FFL_OPENBLAS; /* chooses its kernels itself */
    r = row_of(16000, 3200);
    ffl_roofs_judge(&roofs, &plain, &r);
    cr_assert_str_eq(r.roof, "fma_f32_avx512");
}

Test(roofs, loads_follow_the_cache_state)
{
    ffl_record r = row_of(1, 1);
    const double inputs = 4 * 8 * 4, weights = 64;
    ffl_roof_load load = ffl_roof_load_of(&variant, &r);
    cr_assert_float_eq(load.read_bytes, inputs + weights, 1e-9, "outputs are not read");
    cr_assert_float_eq(load.cold_bytes, 0, 1e-9);
    strcpy(r.cache, "weights-cold");
    cr_assert_float_eq(ffl_roof_load_of(&variant, &r).cold_bytes, weights, 1e-9);
    strcpy(r.cache, "all-cold");
    cr_assert_float_eq(ffl_roof_load_of(&variant, &r).cold_bytes, inputs + weights, 1e-9);
    r.threads = 2;
    cr_assert(ffl_roof_load_of(&variant, &r).cold_bytes <= 0, "another thread's caches were not swept");
}

Test(roofs, what_was_not_timed_or_not_calibrated_has_no_share)
{
    ffl_record r = row_of(16000, NAN);
    ffl_roofs_judge(&roofs, &variant, &r);
    cr_assert(isnan(r.roof_share) && !r.implausible && !r.roof[0]);
    r = row_of(16000, 1);
    r.emulated = true;
    ffl_roofs_judge(&roofs, &variant, &r);
    cr_assert(isnan(r.roof_share) && !r.implausible);
    r.emulated = false;
    ffl_roofs_judge(&(ffl_roofs){0}, &variant, &r);
    cr_assert(isnan(r.roof_share) && !r.implausible);
}

/* ---- The file ---- */

static size_t loaded(void)
{
    ffl_roofs got;
    cr_assert_eq(ffl_roofs_load(&got), FFL_OK);
    const size_t count = got.count;
    ffl_roofs_free(&got);
    return count;
}

static void store(void)
{
    char path[256];
    cr_assert_eq(ffl_roofs_store(&roofs, path, sizeof path), FFL_OK, "%s", ffl_error());
}

Test(roofs, a_file_keeps_them_and_adds_to_what_is_there)
{
    cr_assert_eq(loaded(), 0, "no file is no error");
    store();
    cr_assert_eq(loaded(), 8);
    ffl_roofs_free(&roofs);
    put("host", "read_l1", 1, 101);
    put("host", "read_l1", 2, 200);
    put("cuda", "read_l2", 1, 5000);
    strcpy(roofs.value[2].device, "a card that is not here");
    store();
    ffl_roofs got;
    cr_assert_eq(ffl_roofs_load(&got), FFL_OK);
    cr_assert_eq(got.count, 9, "the card's own stay in the file, unused: %zu", got.count);
    cr_assert_float_eq(ffl_roofs_find(&got, "host", "read_l1", 1)->value, 101, 1e-6);
    cr_assert_float_eq(ffl_roofs_find(&got, "host", "read_l1", 1)->median, 90.9, 1e-6);
    cr_assert_str_eq(ffl_roofs_find(&got, "host", "read_l1", 2)->date, "2026-01-01T00:00:00Z");
    ffl_roofs_free(&got);
}

static void edit(const char *script)
{
    char command[512];
    run_result result;
    snprintf(command, sizeof command, "sed -i '%s' \"$DIR/roofs.json\"", script);
    run_shell(command, &result);
    cr_assert_eq(result.exit_code, 0);
}

Test(roofs, another_processors_or_builds_roofs_are_ignored)
{
    run_result result;
    store();
    setenv("CPU", ffl_machine_host()->cpu, 1);
    run_shell("grep -qF \"1|$CPU|\" \"$DIR/roofs.json\"", &result);
    cr_assert_eq(result.exit_code, 0, "the key names the processor");
    edit("s/\"1|/\"1|Another CPU, /");
    cr_assert_eq(loaded(), 0);
    store();
    cr_assert_eq(loaded(), 8, "beside the others");
    edit("s/\"1|/\"0|/"); /* of an older form */
    cr_assert_eq(loaded(), 0);
}

Test(roofs, a_broken_file_counts_as_none_and_is_replaced)
{
    static const char *const contents[] = {"", "{", "[1]", "\"text\"", "{\"1|x\": 3}", "\\0\\0"};
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        char command[256];
        run_result result;
        snprintf(command, sizeof command, "printf '%s' > \"$DIR/roofs.json\"", contents[i]);
        run_shell(command, &result);
        cr_assert_eq(loaded(), 0, "%s", contents[i]);
        store();
        cr_assert_eq(loaded(), 8, "%s", contents[i]);
    }
}

Test(roofs, single_lines_that_make_no_sense_are_left_out)
{
    store();
    edit("s/\"value\": 100.0/\"value\": -100.0/; s/\"value\": 50.0/\"value\": \"50\"/");
    cr_assert_eq(loaded(), 6);
    edit("s/\"roof\": \"fma_f32_base\"/\"roof\": 7/; s/\"kind\": \"roof\"/\"kind\": \"bench\"/");
    cr_assert_eq(loaded(), 0);
}

/* ---- The program ---- */

static void expect(const char *command, int exit_code, run_result *result)
{
    run_shell(command, result);
    cr_assert_eq(result->exit_code, exit_code, "%s\nexit code %d\n%s\n%s", command, result->exit_code,
                 result->out, result->err);
}

Test(roofs, calibrate_measures_keeps_and_writes_a_journal)
{
    run_result result;
    expect("\"$FFLAB\" calibrate --threads 1 --budget 0.2s --out \"$DIR/run\"", 0, &result);
    cr_assert_not_null(strstr(result.out, "read_dram"));
    cr_assert_not_null(strstr(result.out, "roofs.json"));
    char path[128];
    const char *paths[] = {path};
    ffl_rows rows;
    snprintf(path, sizeof path, "%s/run", dir);
    cr_assert_eq(ffl_rows_read(paths, 1, &rows), FFL_OK, "%s", ffl_error());
    cr_assert(rows.roof_count > 4 && rows.count == 0 && rows.note_count == 0);
    cr_assert_eq(loaded(), rows.roof_count);
    for (size_t i = 0; i < rows.roof_count; i++) {
        ffl_roof roof;
        cr_assert_eq(ffl_roof_from_record(&rows.roofs[i].record, &roof), FFL_OK, "%s", ffl_error());
        cr_assert(roof.value >= roof.median && roof.rounds >= 9, "%s", roof.name);
    }
    ffl_rows_free(&rows);
}

/* A pass is no call: its line has the share of its feedforward layers in place. */
Test(roofs, rows_of_the_encoder_have_the_share_of_their_feedforward_layers)
{
    static const char *const encoder =
        "\"$FFLAB\" encoder --checkpoint \"$FFLAB_FIXTURES/encoder_fff_h64_l3_d5_p2\" -v fff_naive --batch 2 "
        "--seq 16 --out \"$DIR/e\" >/dev/null && \"$FFLAB\" report --json \"$DIR/e\" | grep "
        "'\"kind\":\"encoder\".*fff_naive'; "
        "rm -r \"$DIR/e\"";
    run_result result;
    expect(encoder, 0, &result);
    cr_assert_null(strstr(result.out, "roof_share"), "%s", result.out);
    expect("\"$FFLAB\" calibrate --threads 1 --budget 0.2s", 0, &result);
    expect(encoder, 0, &result);
    const char *share = strstr(result.out, "\"roof_share\":");
    cr_assert(share && atof(share + strlen("\"roof_share\":")) > 0.001 && strstr(share, "\"roof\":\""), "%s",
              result.out);
    cr_assert(atof(share + strlen("\"roof_share\":")) < 1.05, "%s", result.out);
}

/* Far below one thread's rate, two threads were timed waking up. */
Test(roofs, several_threads_are_measured_at_work)
{
    static const char *const names[] = {"fma_f32_base", "read_l1", "read_dram"};
    run_result result;
    ffl_roofs got;
    if (ffl_machine_host()->cpus < 2 || !ffl_team_available())
        cr_skip_test("one processor, or no OpenMP");
    expect("\"$FFLAB\" calibrate --threads 1,2 --budget 0.1s", 0, &result);
    cr_assert_eq(ffl_roofs_load(&got), FFL_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const ffl_roof *one = ffl_roofs_find(&got, "host", names[i], 1);
        const ffl_roof *two = ffl_roofs_find(&got, "host", names[i], 2);
        if (one && two)
            cr_assert_gt(two->value, 0.05 * one->value, "%s", names[i]);
    }
    ffl_roofs_free(&got);
}

Test(roofs, calibrate_refuses_what_makes_no_sense)
{
    run_result result;
    expect("\"$FFLAB\" calibrate --threads 4095", 1, &result);
    cr_assert_not_null(strstr(result.err, "--threads 4095"), "%s", result.err);
    expect("\"$FFLAB\" calibrate --budget 0.01s", 1, &result);
    cr_assert_not_null(strstr(result.err, "--budget 0.01s"), "%s", result.err);
    expect("FFLAB_CACHE_DIR=/dev/null \"$FFLAB\" calibrate --threads 1 --budget 0.1s", 1, &result);
    cr_assert_not_null(strstr(result.err, "/dev/null/roofs.json"), "%s", result.err);
}

/* On the emulated device the whole way, for rates that mean nothing; elsewhere the reason. */
Test(roofs, calibrate_measures_a_card_or_says_why_not)
{
    run_result result;
    expect("\"$FFLAB\" calibrate --threads 1 --budget 0.1s", 0, &result);
    cr_assert(strstr(result.err, "no roofs of a GPU: ") || strstr(result.out, "GPU matmul_bf16"), "%s",
              result.err);
    if (getenv("FFLAB_CUDA_PLUGIN")) {
        cr_assert_null(strstr(result.out, "GPU "), "an emulated device has no roofs");
        expect("FFL_EMULATED_BENCH=1 \"$FFLAB\" calibrate --threads 1 --budget 0.1s", 0, &result);
        cr_assert_not_null(strstr(result.out, "GPU read_l2"), "%s", result.out);
        cr_assert_not_null(strstr(result.out, "GPU matmul_bf16"), "%s", result.out);
    }
}

#define BENCH                                                                                                \
    "\"$FFLAB\" bench --plugin \"$BENCH_PLUGIN\" -v ff_naive -v ff_test_boasting --width 32 --tree 1x3 "     \
    "--batch 4 "                                                                                             \
    "--threads 1 --out \"$DIR/run\" "
#define QUICK " -- --benchmark_repetitions=3 --benchmark_min_time=0.001"

/* The plugin is right, and declares a million times the work that it does. */
Test(roofs, a_kernel_that_declares_more_work_than_fits_is_implausible)
{
    run_result result;
    expect("\"$FFLAB\" calibrate --threads 1 --budget 0.2s", 0, &result);
    expect(BENCH QUICK, 2, &result);
    cr_assert_not_null(strstr(result.out, "IMPLAUSIBLE"), "%s", result.out);
    expect("\"$FFLAB\" report \"$DIR/run\" --out \"$DIR/report\" && cat \"$DIR/report/report.md\"", 0,
           &result);
    cr_assert_not_null(strstr(result.out, "Measured roofs"), "%s", result.out);
    cr_assert_not_null(strstr(result.out, "of its roof"));
    cr_assert_not_null(strstr(result.out, "| – | `ff_test_boasting`"), "no place in the ranking");
    cr_assert_not_null(strstr(result.out, "| 1 | `ff_naive`"));
    expect("rm \"$DIR/roofs.json\"\n" BENCH QUICK, 0, &result);
}

/* A machine that was slow when it was calibrated: the roof is measured again before anybody is accused. */
Test(roofs, a_roof_that_was_too_low_is_raised)
{
    run_result result;
    expect("\"$FFLAB\" calibrate --threads 1 --budget 0.2s", 0, &result);
    edit("s/\"value\": [0-9.e+-]*/\"value\": 1e-6/; s/\"median\": [0-9.e+-]*/\"median\": 1e-6/");
    expect(
        "\"$FFLAB\" bench -v ff_naive --width 32 --tree 1x3 --batch 4 --threads 1 --out \"$DIR/run\"" QUICK,
        0, &result);
    ffl_roofs got;
    size_t raised = 0;
    cr_assert_eq(ffl_roofs_load(&got), FFL_OK);
    for (size_t i = 0; i < got.count; i++)
        raised += got.value[i].value > 1e-3;
    cr_assert(raised >= 1 && raised < got.count, "%zu of %zu", raised, got.count);
    ffl_roofs_free(&got);
}
