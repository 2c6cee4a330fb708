/* What `fflab encoder --record` writes: bench replays it, check takes it. */
#include "files.h"
#include "tests/run_program.h"
#include <jansson.h>
#include <math.h>

static run_result result;

#define TREES                                                                                                \
    "encoder --checkpoint \"$FFLAB_FIXTURES/encoder_fff_h64_l3_d5_p2\" --tokens "                            \
    "\"$FFLAB_FIXTURES/encoder_fff_h64_l3_d5_p2/input_ids.npy\" "
#define BENCH "bench -v fff_naive --batch 16 --out out --json "
#define QUICK " -- --benchmark_min_time=0.0001 --benchmark_repetitions=1"

static int fflab(const char *arguments)
{
    char line[2048];
    snprintf(line, sizeof line, "cd %s && \"$FFLAB\" %s", files_folder(), arguments);
    run_shell(line, &result);
    return result.exit_code;
}

static json_t *answer(const char *arguments)
{
    cr_assert_eq(fflab(arguments), 0, "%s: %s%s", arguments, result.out, result.err);
    json_t *json = json_loads(result.out, 0, NULL);
    cr_assert_not_null(json, "%s", result.out);
    return json;
}

static void clean(void)
{
    char line[512];
    snprintf(line, sizeof line, "rm -rf '%s/out'", files_folder());
    run_shell(line, &result);
    files_remove();
}

/* The routing that the encoder told of a layer of its second row. */
static const json_t *told(const json_t *encoder, size_t layer)
{
    const json_t *row = json_array_get(json_object_get(encoder, "rows"), 1);
    return json_object_get(json_array_get(json_object_get(row, "layers"), layer), "routing");
}

static double number(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    cr_assert(json_is_number(value), "%s", key);
    return json_number_value(value);
}

/* A row of bench saw the same leaves, with the same entropy. Its 4096 rows are the file's 64, 64 times. */
static void same_routing(const json_t *row, const json_t *routing)
{
    static const char *const keys[][2] = {
        {"leaves", "leaves"}, {"entropy_bits", "entropy"}, {"top1", "top1"}};
    cr_assert_str_eq(json_string_value(json_object_get(row, "verdict")), "PASSED");
    for (size_t i = 0; i < 3; i++) {
        const json_t *extent = json_object_get(routing, keys[i][0]);
        char mean[32], max[32];
        snprintf(mean, sizeof mean, "%s_mean", keys[i][1]);
        snprintf(max, sizeof max, "%s_max", keys[i][1]);
        cr_assert(fabs(number(row, mean) - number(extent, "mean")) < 1e-9, "%s", mean);
        cr_assert(fabs(number(row, max) - number(extent, "max")) < 1e-9, "%s", max);
    }
}

Test(encoder_record, bench_replays_every_layer)
{
    json_t *encoder = answer(TREES "-v fff_naive --json --record all.safetensors");
    /* In one run, with seeded weights between the recorded ones: each gets its own. */
    json_t *bench = answer(BENCH "--routing recorded:all.safetensors:layers.0,uniform,"
                                 "recorded:all.safetensors:layers.1,recorded:all.safetensors:layers.2" QUICK);
    const json_t *rows = json_object_get(bench, "results");
    cr_assert_eq(json_array_size(rows), 4);
    same_routing(json_array_get(rows, 0), told(encoder, 0));
    cr_assert_gt(number(json_array_get(rows, 1), "leaves_mean"), 31.9);
    same_routing(json_array_get(rows, 2), told(encoder, 1));
    same_routing(json_array_get(rows, 3), told(encoder, 2));
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(rows, 3), "shape")), "2x5");
    cr_assert_eq(number(json_array_get(rows, 3), "width_in"), 64);
    json_decref(bench);
    json_decref(encoder);
    clean();
}

Test(encoder_record, one_layer_stands_alone)
{
    json_t *encoder = answer(TREES "-v fff_naive --json --record one.safetensors --record-layer 1");
    json_t *bench = answer(BENCH "--routing recorded:one.safetensors --tree 2x5 --width 64" QUICK);
    same_routing(json_array_get(json_object_get(bench, "results"), 0), told(encoder, 1));
    json_decref(bench);
    json_decref(encoder);
    cr_assert_eq(fflab("check -v fff_naive --tree 2x5 --fixture real:one.safetensors"), 0, "%s%s", result.out,
                 result.err);
    cr_assert(strstr(result.out, "64 rows"), "%s", result.out);
    clean();
}

Test(encoder_record, the_table_names_the_replay)
{
    cr_assert_eq(fflab(TREES "-v fff_naive --out out --record all.safetensors"), 0, "%s%s", result.out,
                 result.err);
    cr_assert(strstr(result.out, "bench --routing recorded:all.safetensors:layers.0\n"), "%s", result.out);
    /* What failed is no recording. */
    cr_assert_eq(
        fflab(TREES "--plugin \"$FFLAB_BROKEN\" -v fff_broken_nan --out out --record no.safetensors"), 2);
    cr_assert_neq(access(files_path("no.safetensors"), F_OK), 0);
    clean();
}

Test(encoder_record, bad_input_is_one_line)
{
    static const char *const bad[][2] = {
        {TREES "-v fff_naive --record x.npy", "--record x.npy: expected a name that ends in .safetensors"},
        {TREES "-v fff_naive --record /proc/x.safetensors",
         "--record /proc/x.safetensors: cannot be written"},
        {TREES "-v fff_naive --record-layer 1", "--record-layer 1: of what --record FILE writes"},
        {TREES "-v fff_naive --record x.safetensors --record-layer 3", "expected a whole number from 0 to 2"},
        {TREES "-v ff_naive --record x.safetensors", "ff_naive is dense"},
        {TREES "--record x.safetensors", "variants are selected; name one with -v"},
        {"encoder --preset ultrafastbert-1x11 -v fff_naive --record x.safetensors --seq 8,9",
         "--record x.safetensors: of one model"},
        {"encoder --preset bert-base -v fff_naive --record x.safetensors", "this encoder's layers are dense"},
        {BENCH "--routing recorded:all.safetensors --tree 1x3 --width 64", "name a layer: FILE:layers.0"},
        {BENCH "--routing recorded:all.safetensors:layers.0 --tree 1x3 --width 64", "1x3 takes 15 (--tree)"},
        {BENCH "--routing recorded:all.safetensors:layers.0 --tree 2x5", "--width and --width-out say 768"},
        {BENCH "--routing recorded:all.safetensors:layers.0 --activation relu", "give --activation gelu"},
        {BENCH "-v ff_naive --routing recorded:all.safetensors:layers.0 --neurons 127",
         "--neurons 127 needs more"},
        {BENCH "--routing recorded:none.safetensors", "recorded:none.safetensors: No such file"},
    };
    cr_assert_eq(fflab(TREES "-v fff_naive --json --record all.safetensors"), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(fflab(bad[i][0]), 1, "%s: %s%s", bad[i][0], result.out, result.err);
        cr_assert(strstr(result.err, bad[i][1]), "%s: %s", bad[i][0], result.err);
        cr_assert_eq(strchr(result.err, '\n'), result.err + strlen(result.err) - 1, "%s", result.err);
    }
    clean();
}
