/* From kernel speed to model speed: the arithmetic of pairs, on numbers worked out by hand. */
#include "harness/encoder/arithmetic.h"
#include "harness/encoder/plan.h"
#include "reports/encoder.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is(double got, double want)
{
    return fabs(got - want) <= 1e-9 * fabs(want);
}

/* ---- Intervals ---- */

Test(passes, intervals_are_order_statistics)
{
    static const struct {
        size_t count, low, high; /* ranks from 1 */
        double coverage;
    } known[] = {{3, 1, 3, 0.75},      {5, 1, 5, 0.9375},    {6, 1, 6, 0.96875},
                 {8, 1, 8, 0.9921875}, {9, 2, 8, 0.9609375}, {20, 6, 15, 0.9586}};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        double values[20];
        for (size_t i = 0; i < known[k].count; i++)
            values[i] = (double)(known[k].count - i); /* backwards: they must be sorted */
        const ffl_spread s = ffl_spread_of(values, known[k].count);
        cr_assert(is(s.median, ((double)known[k].count + 1) / 2));
        cr_assert(is(s.low, (double)known[k].low) && is(s.high, (double)known[k].high), "%zu: %g, %g",
                  known[k].count, s.low, s.high);
        cr_assert(fabs(ffl_spread_coverage(known[k].count) - known[k].coverage) < 1e-4);
    }
    double one = 7;
    const ffl_spread s = ffl_spread_of(&one, 1);
    cr_assert(is(s.median, 7) && isnan(s.low) && isnan(s.high));
}

/* ---- Answers ---- */

/* A dense pass of 100 (60 of it feedforward, 20 logits), the variant's of 46 (4, 21): `times` as slow. */
static json_t *pair_object(const double *times, size_t count)
{
    json_t *dense = json_array(), *own = json_array(), *alone = json_array();
    for (size_t i = 0; i < count; i++) {
        const double t = 1e6 * times[i];
        json_array_append_new(dense, json_pack("[f, f, f]", 20 * t, 60 * t, 20 * t));
        json_array_append_new(own, json_pack("[f, f, f]", 21 * t, 4 * t, 21 * t));
        json_array_append_new(alone, json_pack("f", 2.5 * t));
    }
    return json_pack("{s:[s, s, s], s:[f, f, f], s:f, s:o, s:o, s:o}", "parts", "qkv", "feedforward",
                     "logits", "flops", 30.0, 60.0, 10.0, "dense_penalty", 1.2, "dense_ns", dense, "own_ns",
                     own, "alone_ns", alone);
}

static void expect_answer(const ffl_pass_answer *a)
{
    cr_assert(is(a->whole.share.median, 0.6) && is(a->whole.limit.median, 2.5));
    cr_assert(is(a->kernel_speed_up.median, 60 / 1.2 / 2.5));
    cr_assert(is(a->context_penalty.median, 4 / 2.5));
    cr_assert(is(a->whole.ceiling.median, 1 / (0.4 + 0.6 / 20)));
    cr_assert(is(a->whole.speed_up.median, 100.0 / 46));
    cr_assert(is(a->whole.of_ceiling.median, 43.0 / 46));
    cr_assert(is(a->body.share.median, 0.75) && is(a->body.ceiling.median, 1 / (0.25 + 0.75 / 20)));
    cr_assert(is(a->body.of_ceiling.median, 23.0 / 25));
    cr_assert(is(a->whole_share, 0.6) && is(a->body_share, 60.0 / 90));
}

Test(passes, ceiling_and_measured_of_one_pair)
{
    const double time = 1;
    json_t *object = pair_object(&time, 1);
    ffl_pass_answer a;
    cr_assert_eq(ffl_pass_answer_of(object, &a), FFL_OK, "%s", ffl_error());
    expect_answer(&a);
    double missing = 0;
    for (size_t p = 0; p < a.parts; p++)
        missing += a.missing_ns[p].median;
    cr_assert(is(missing, 3e6) && is(a.missing_ns[1].median, 1e6)); /* 46 - 43; 4 - 1.2 · 2.5 */
    json_decref(object);
}

Test(passes, a_machine_that_changes_its_speed_between_pairs_changes_no_ratio)
{
    static const double times[] = {1, 1.9, 1, 1.9, 1.9, 1.3, 1};
    json_t *object = pair_object(times, 7);
    ffl_pass_answer a;
    cr_assert_eq(ffl_pass_answer_of(object, &a), FFL_OK, "%s", ffl_error());
    expect_answer(&a);
    cr_assert(is(a.whole.of_ceiling.low, 43.0 / 46) && is(a.whole.of_ceiling.high, 43.0 / 46));
    cr_assert(is(a.whole.pass_ns.median, 1.3 * 46e6) && is(a.whole.pass_ns.high, 1.9 * 46e6));
    json_decref(object);
}

Test(passes, objects_that_make_no_sense_are_refused_by_name)
{
    static const char *const bad[][2] = {
        {"{}", "encoder.parts"},
        {"{\"parts\":[\"qkv\"],\"alone_ns\":[1]}", "no \"feedforward\""},
        {"{\"parts\":[1]}", "item 0: not a name"},
        {"{\"parts\":[\"feedforward\"]}", "encoder.alone_ns"},
        {"{\"parts\":[\"feedforward\"],\"alone_ns\":[1]}", "dense_penalty"},
        {"{\"parts\":[\"feedforward\"],\"alone_ns\":[0],\"dense_penalty\":1}", "alone_ns, item 0"},
        {"{\"parts\":[\"feedforward\"],\"alone_ns\":[1],\"dense_penalty\":1}", "expected 1 passes each"},
        {"{\"parts\":[\"feedforward\"],\"alone_ns\":[1],\"dense_penalty\":1,\"dense_ns\":[[1]],\"own_ns\":[["
         "1,2]]}",
         "encoder.own_ns, item 0: expected 1 times"},
        {"{\"parts\":[\"feedforward\"],\"alone_ns\":[1],\"dense_penalty\":1,\"dense_ns\":[[-1]],\"own_ns\":[["
         "1]]}",
         "encoder.dense_ns, item 0: not times"},
        {"{\"parts\":[\"feedforward\"],\"alone_ns\":[1],\"dense_penalty\":1,\"dense_ns\":[[0]],\"own_ns\":[["
         "1]]}",
         "no time in the feedforward"},
        {"{\"parts\":[\"feedforward\"],\"alone_ns\":[\"1\"],\"dense_penalty\":1}", "alone_ns, item 0"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *object = json_loads(bad[i][0], 0, NULL);
        ffl_pass_answer a;
        cr_assert_not_null(object);
        cr_assert_eq(ffl_pass_answer_of(object, &a), FFL_BAD_INPUT, "%s", bad[i][0]);
        cr_assert(strstr(ffl_error(), bad[i][1]), "%s: %s", bad[i][0], ffl_error());
        json_decref(object);
    }
    ffl_pass_answer a;
    cr_assert_eq(ffl_pass_answer_of(NULL, &a), FFL_BAD_INPUT);
}

/* ---- Arithmetic and plan ---- */

Test(passes, shares_of_the_published_shapes)
{
    static const struct {
        const char *preset;
        size_t neurons;
        double share, body; /* percent, at 128 tokens */
    } known[] = {{"ultrafastbert-1x11", 4095, 60.4, 71.1}, {"ultrafastbert-1x11", 3072, 53.3, 64.9}};
    for (size_t i = 0; i < 2; i++) {
        ffl_encoder_config config;
        double flops[FFL_PART_COUNT], all = 0;
        cr_assert(ffl_encoder_preset(known[i].preset, &config));
        ffl_encoder_arithmetic(&config, 128, known[i].neurons, true, flops);
        for (size_t p = 0; p < FFL_PART_COUNT; p++)
            all += flops[p];
        const double f = flops[FFL_PART_FEEDFORWARD];
        cr_assert(fabs(100 * f / all - known[i].share) < 0.06, "%g", 100 * f / all);
        cr_assert(fabs(100 * f / (all - flops[FFL_PART_LOGITS]) - known[i].body) < 0.06);
    }
}

Test(passes, a_plan_leaves_out_layers_only_where_time_is_short)
{
    ffl_encoder_config c;
    cr_assert(ffl_encoder_preset("ultrafastbert-1x11", &c));
    const double speed = 1e11;
    cr_assert_eq(ffl_encoder_plan_layers(&c, 64, 512, 4095, 50, 0, speed), 16); /* no limit */
    cr_assert_eq(ffl_encoder_plan_layers(&c, 8, 128, 4095, 3, 300, speed), 16);
    cr_assert_eq(ffl_encoder_plan_layers(&c, 64, 512, 4095, 3, 60, speed), FFL_PLAN_LAYERS_MIN);
    size_t before = 16;
    for (size_t rows = 1; rows < 64; rows *= 2) {
        const size_t layers = ffl_encoder_plan_layers(&c, 8, 128, 4095, rows, 120, speed);
        cr_assert(layers <= before && layers >= FFL_PLAN_LAYERS_MIN);
        before = layers;
    }
    cr_assert_lt(before, 16);
    c.layers = 2; /* fewer than the least */
    cr_assert_eq(ffl_encoder_plan_layers(&c, 64, 512, 4095, 50, 1, speed), 2);
}

/* ---- The report ---- */

static char path[] = "/tmp/fflab-passes-XXXXXX";
static char *rendered;

static void put_row(FILE *file, const char *variant, const char *group, double own, const char *verdict,
                    int timed)
{
    fprintf(file,
            "{\"schema\":1,\"kind\":\"encoder\",\"run\":\"r\",\"key\":\"%s/"
            "%s\",\"group\":\"%s\",\"date\":\"2026-01-01T00:"
            "00:00Z\",\"variant\":\"%s\",\"operation\":\"%s\",\"verdict\":\"%s\",\"reason\":\"because\","
            "\"threads\":1,\"class\":\"%s\"",
            variant, group, group, variant, strncmp(variant, "fff_", 4) == 0 ? "fff" : "ff", verdict,
            strstr(variant, "int8") ? "int8" : "f32");
    if (strcmp(verdict, "PASSED") == 0)
        fprintf(file,
                ",\"encoder\":{\"model\":\"m|odel\",\"layers\":16,\"layers_timed\":%d,\"batch\":8,"
                "\"sequence\":128,"
                "\"baseline\":\"ff_best\",\"baseline_neurons\":4095,\"parts\":[\"qkv\",\"feedforward\","
                "\"logits\"],"
                "\"flops\":[30,60,10],\"dense_penalty\":1,\"dense_ns\":[[2e7,6e7,2e7],[2e7,6e7,2e7]],"
                "\"own_ns\":[[2e7,%g,2e7],[2.2e7,%g,2e7]],\"alone_ns\":[%g,%g]}",
                timed, own, own, own, own);
    fputs("}\n", file);
}

static void render(ffl_status (*write)(const ffl_rows *, FILE *))
{
    const char *const paths[] = {path};
    ffl_rows rows;
    size_t size;
    free(rendered);
    FILE *file = open_memstream(&rendered, &size);
    cr_assert_eq(ffl_rows_read(paths, 1, &rows), FFL_OK, "%s", ffl_error());
    cr_assert_eq(write(&rows, file), FFL_OK, "%s", ffl_error());
    fclose(file);
    ffl_rows_free(&rows);
}

static void expect(const char *snippet)
{
    cr_assert(strstr(rendered, snippet), "missing: %s\nin:\n%s", snippet, rendered);
}

static ffl_status headline(const ffl_rows *rows, FILE *file)
{
    ffl_encoder_headline_print(rows, file);
    return FFL_OK;
}

Test(passes, report_and_table_come_from_the_pairs)
{
    FILE *file = fdopen(mkstemp(path), "w");
    put_row(file, "ff_best", "a", 6e7, "PASSED", 16);
    put_row(file, "fff_slow", "a", 3e7, "PASSED", 16);
    put_row(file, "fff_fast", "a", 1e6, "PASSED", 16);
    put_row(file, "fff_slow", "a", 2e7, "PASSED", 16); /* again, later: this one counts */
    put_row(file, "fff_int8", "a", 5e5, "PASSED", 16); /* not of the class of the dense side */
    put_row(file, "fff_wrong", "a", 1, "FAILED", 16);
    put_row(file, "fff_other", "a", 1, "UNSUPPORTED", 16);
    put_row(file, "fff_part", "b", 1e6, "PASSED", 4);
    fclose(file);
    render(ffl_encoder_write);
    expect("| `m\\|odel` | 8 x 128 | 4095 | 1 | `fff_fast` | 60.0 | 2.44 | **2.38** | 97.7 % [95.3, 100.0] | "
           "2.50 |");
    expect("| `m\\|odel`\\* | 8 x 128 |");
    expect("4 of 16 layers ran, for all");
    expect("| `ff_best` (itself) | 2 |");
    expect("| `fff_slow` | 2 | 20.00 | 3.00 | 1.00 | 1.67 |");
    expect("by arithmetic 60.0 % and 66.7 %");
    expect("- `fff_wrong`: FAILED: because");
    expect("1 variant did not run");
    cr_assert(strstr(rendered, "`fff_fast` | 2") < strstr(rendered, "`fff_slow` | 2"), "%s", rendered);
    cr_assert_null(strstr(rendered, "30.00 | 2.00"), "a superseded row: %s", rendered);
    render(ffl_encoder_csv_write);
    expect(",ff_best,4095,16,16,2,1,0.6,0.666666667,1000000,1000000,1000000,60,60,60,1,1,1,");
    size_t lines = 0;
    for (const char *c = rendered; (c = strchr(c, '\n')); c++)
        lines++;
    cr_assert_eq(lines, 6); /* head, and what passed */
    render(headline);
    expect("fff_fast");
    expect("2.38x of  2.44x,  97.7 %");
    expect("m|odel*");
    remove(path);
    free(rendered);
}
