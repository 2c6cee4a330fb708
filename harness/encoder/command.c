/* `fflab encoder`: whole forward passes with each variant inside. The passes run in a worker (serve.c). */
#include "harness/bench/pin.h"
#include "harness/check/judge.h"
#include "harness/commands.h"
#include "harness/encoder/dump.h"
#include "harness/encoder/task.h"
#include "harness/encoder/timeline.h"
#include "harness/registry.h"
#include "harness/worker.h"
#include "kernels/team.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 1024 };

/* Packing, the double reference and judging a whole model take their time between two answers. */
static const double default_timeout = 900;

typedef struct run_state {
    json_t *variants; /* names; NULL for those that are over */
    json_t *model, *rows;
    bool table, baseline_shown;
    int at; /* variant at work, -1: none yet */
    size_t passed, failed, crashes;
    char repeat[512];
} run_state;

/* ---- Which variants ---- */

/* All trees by default; dense ones when the encoder is dense or when -v names them. */
static ffl_status select_variants(const ffl_options *options, const ffl_encoder_config *config, json_t *out)
{
    const bool named = options->list_count[FFL_OPT_VARIANT] > 0;
    for (size_t i = 0; i < ffl_registry_count(); i++) {
        const ffl_variant *v = ffl_registry_at(i);
        const char *why = "";
        if (!ffl_option_selects(options, v) || (!named && v->operation != config->operation) ||
            (!named && !ffl_variant_available(v, &why)))
            continue;
        if (json_array_append_new(out, json_string(v->name)) != 0)
            return ffl_fail(FFL_NO_MEMORY, "no memory for the list of variants");
    }
    if (json_array_size(out) == 0)
        return ffl_fail(FFL_BAD_INPUT, "-v and -x leave no variant");
    return FFL_OK;
}

static ffl_status check_dump(const ffl_options *options, const json_t *variants)
{
    if (!ffl_option_given(options, FFL_OPT_DUMP))
        return FFL_OK;
    if (json_array_size(variants) != 1)
        return ffl_fail(FFL_BAD_INPUT, "--dump %s: %zu variants are selected; name the one to write with -v",
                        options->value[FFL_OPT_DUMP], json_array_size(variants));
    return ffl_dump_folder(options->value[FFL_OPT_DUMP]);
}

/* ---- The table ---- */

static double real(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static long long whole(const json_t *json, const char *key)
{
    return (long long)json_integer_value(json_object_get(json, key));
}

static const char *word(const json_t *json, const char *key)
{
    const char *value = json_string_value(json_object_get(json, key));
    return value ? value : "";
}

static void print_model(const json_t *m)
{
    const json_t *routing = json_object_get(m, "routing");
    printf("%s, %lld layers of width %lld, %lld heads, %s neurons; %.1f million parameters\n",
           word(m, "family"), whole(m, "layers"), whole(m, "width"), whole(m, "heads"),
           word(m, "feedforward"), real(m, "parameters") / 1e6);
    printf("%lld x %lld tokens; %lld thread%s; projections by %s; speed-up against %s%s\n", whole(m, "batch"),
           whole(m, "sequence"), whole(m, "threads"), whole(m, "threads") == 1 ? "" : "s",
           word(m, "projections"), word(m, "baseline"),
           json_is_true(json_object_get(m, "head")) ? "" : "; no head");
    if (routing)
        printf("routing of %lld tokens, mean of layers and trees: %.1f of %lld leaves, %.2f bits, most "
               "frequent leaf %.1f %%\n",
               whole(routing, "tokens"), real(routing, "leaves"), whole(routing, "leaves_of"),
               real(routing, "entropy_bits"), 100 * real(routing, "top1"));
    printf("\nms per pass, medians; speed-up of the whole pass, and without the logits\n  %-32s %9s %6s %6s",
           "variant", "pass", "x", "x w/o");
    for (size_t p = 0; p < FFL_PART_COUNT; p++)
        printf(" %11s%s", ffl_part_name((ffl_part)p), p == FFL_PART_FEEDFORWARD ? "  share" : "");
    puts("  verdict");
}

static void print_agreement(const json_t *row)
{
    printf("  %s, off by %.1e", word(row, "verdict"), real(row, "pass_error"));
    if (whole(row, "pass_flips"))
        printf(", %lld flips, first layer %lld token %lld |z| %.1e", whole(row, "pass_flips"),
               whole(row, "flip_layer"), whole(row, "flip_token"), real(row, "flip_logit"));
    printf(", words %lld/%lld\n", whole(row, "agreed"), whole(row, "tokens"));
}

static void print_row(const run_state *s, const json_t *row)
{
    const json_t *parts = json_object_get(row, "parts_ns");
    printf("  %-32s", word(row, "variant"));
    if (!parts) {
        printf(" %s: %s\n", word(row, "verdict"), word(row, "reason"));
        return;
    }
    printf(" %9.2f %6.2f %6.2f", real(row, "pass_ns") / 1e6, real(row, "speed_up"),
           real(row, "speed_up_body"));
    for (size_t p = 0; p < FFL_PART_COUNT; p++) {
        const double ns = real(parts, ffl_part_name((ffl_part)p));
        printf(" %11.2f", ns / 1e6);
        if (p == FFL_PART_FEEDFORWARD)
            printf(" %4.1f %%", 100 * ns / real(row, "pass_ns"));
    }
    print_agreement(row);
    if (*word(row, "reason"))
        printf("    %s\n    %s -v %s\n", word(row, "reason"), s->repeat, word(row, "variant"));
    fflush(stdout);
}

/* Kernel speed to model speed, of every row that was timed. */
static void print_answers(const json_t *rows)
{
    size_t i;
    const json_t *row;
    bool first = true;
    json_array_foreach((json_t *)rows, i, row)
    {
        const json_t *whole_pass = json_object_get(row, "whole"), *body = json_object_get(row, "body");
        if (!whole_pass)
            continue;
        if (first)
            printf("\nkernel speed to model speed: ms of all feedforward layers alone, their speed-up s, "
                   "time in place / "
                   "alone;\nof the pass with and without logits: ceiling 1/((1-f)+f/s), what was measured, "
                   "and its part of "
                   "the ceiling\n(feedforward is f = %.1f %% and %.1f %% of the dense pass: no kernel gains "
                   "more than %.2f "
                   "and %.2f)\n  %-32s %9s %7s %8s %9s %9s %7s %9s %9s %7s\n",
                   100 * real(whole_pass, "share"), 100 * real(body, "share"), real(whole_pass, "limit"),
                   real(body, "limit"), "variant", "alone", "s", "in place", "ceiling", "measured", "",
                   "ceiling", "measured", "");
        first = false;
        printf("  %-32s %9.2f %7.2f %8.2f %9.2f %9.2f %5.0f %% %9.2f %9.2f %5.0f %%\n", word(row, "variant"),
               real(row, "alone_ns") / 1e6, real(row, "alone_speed_up"), real(row, "context_penalty"),
               real(whole_pass, "ceiling"), real(whole_pass, "speed_up"),
               100 * real(whole_pass, "of_ceiling"), real(body, "ceiling"), real(body, "speed_up"),
               100 * real(body, "of_ceiling"));
    }
}

/* ---- While it runs ---- */

static ffl_status take_row(run_state *s, const json_t *row)
{
    const char *verdict = word(row, "verdict");
    const bool passed = strcmp(verdict, ffl_verdict_name(FFL_PASSED)) == 0;
    const bool left_out = strcmp(verdict, ffl_verdict_name(FFL_UNSUPPORTED_HERE)) == 0 ||
                          strcmp(verdict, ffl_verdict_name(FFL_SKIPPED)) == 0;
    const long long index = whole(row, "row");
    const bool baseline = strcmp(word(row, "variant"), word(s->model, "baseline")) == 0;
    if (index >= 0)
        json_array_set_new(s->variants, (size_t)index, json_null());
    if (baseline && s->baseline_shown) /* measured again, after a crash */
        return FFL_OK;
    s->baseline_shown = s->baseline_shown || baseline;
    s->passed += passed;
    s->failed += !passed && !left_out;
    json_array_append(s->rows, (json_t *)row);
    if (s->table)
        print_row(s, row);
    return FFL_OK;
}

static ffl_status answer(void *user, size_t index, const json_t *line)
{
    run_state *s = user;
    (void)index;
    json_t *model = json_object_get(line, "model");
    if (json_object_get(line, "at")) {
        const int at = (int)whole(line, "at");
        s->at = at >= 0 ? at : s->at;
    } else if (model && !s->model) {
        s->model = json_incref(model);
        if (s->table)
            print_model(model);
    } else if (json_object_get(line, "row")) {
        return take_row(s, line);
    }
    return FFL_OK;
}

static ffl_status end(void *user, size_t index, ffl_job_end how, const char *message)
{
    run_state *s = user;
    (void)index;
    if (how == FFL_JOB_DONE) {
        s->crashes = 0;
        return FFL_OK;
    }
    const json_t *name = s->at >= 0 ? json_array_get(s->variants, (size_t)s->at) : NULL;
    if (!json_is_string(name))
        return ffl_fail(FFL_INTERNAL, "the worker %s before any variant ran", message);
    json_t *row =
        json_pack("{s:i, s:s, s:s, s:s}", "row", s->at, "variant", json_string_value(name), "verdict",
                  ffl_verdict_name(how == FFL_JOB_TIMEOUT ? FFL_TIMEOUT : FFL_CRASHED), "reason", message);
    const ffl_status status = row ? take_row(s, row) : FFL_NO_MEMORY;
    json_decref(row);
    s->crashes = 1;
    return status;
}

/* The variants that are left, in a worker; after a crash the next worker goes on behind the culprit. */
static ffl_status run_jobs(const ffl_options *options, json_t *request, run_state *s, double timeout)
{
    const ffl_job_listener listener = {.user = s, .answer = answer, .end = end};
    const size_t parallel = ffl_option_given(options, FFL_OPT_IN_PROCESS) ? 0 : 1;
    do {
        const ffl_job job = {.request = request, .timeout_s = timeout};
        s->at = -1;
        FFL_TRY(ffl_jobs_run("encoder", options, &job, 1, parallel, &listener));
    } while (s->crashes);
    return FFL_OK;
}

/* ---- The command ---- */

static void write_repeat(const ffl_options *options, const json_t *request, run_state *s)
{
    static const ffl_option words[] = {FFL_OPT_PRESET,  FFL_OPT_CONFIG, FFL_OPT_CHECKPOINT, FFL_OPT_POSITIONS,
                                       FFL_OPT_BATCH,   FFL_OPT_SEQ,    FFL_OPT_TOKENS,     FFL_OPT_MASK,
                                       FFL_OPT_THREADS, FFL_OPT_CPUS};
    size_t length = (size_t)snprintf(s->repeat, sizeof s->repeat, "./fflab encoder");
    for (size_t i = 0; i < sizeof words / sizeof *words && length < sizeof s->repeat; i++)
        if (ffl_option_given(options, words[i]))
            length += (size_t)snprintf(s->repeat + length, sizeof s->repeat - length, " %s %s",
                                       ffl_option_name(words[i]), options->value[words[i]]);
    if (length < sizeof s->repeat)
        snprintf(s->repeat + length, sizeof s->repeat - length, " --seed %lld", whole(request, "seed"));
}

/* The request with everything in it, checked: errors belong here, not in a worker. */
static ffl_status make_request(const ffl_options *options, json_t **out)
{
    ffl_encoder_task task;
    size_t threads;
    const char *cpus = ffl_option_given(options, FFL_OPT_CPUS) ? options->value[FFL_OPT_CPUS] : "";
    FFL_TRY(ffl_option_size(options, FFL_OPT_THREADS, 1, THREADS_MAX, 1, &threads));
    if (*cpus)
        FFL_TRY(ffl_pin_check(cpus));
    FFL_TRY(ffl_encoder_task_request(options, out));
    json_t *variants = json_array();
    ffl_status status = variants ? ffl_encoder_task_open(*out, false, &task) : FFL_NO_MEMORY;
    if (status == FFL_OK) {
        status = select_variants(options, &task.weights.config, variants);
        ffl_encoder_task_close(&task);
    }
    if (status == FFL_OK)
        status = check_dump(options, variants);
    if (status == FFL_OK && ffl_option_given(options, FFL_OPT_TRACE))
        status = ffl_timeline_check(options->value[FFL_OPT_TRACE]);
    json_object_set_new(*out, "variants", variants);
    json_object_set_new(*out, "threads", json_integer((json_int_t)threads));
    json_object_set_new(*out, "cpus", json_string(cpus));
    json_object_set_new(*out, "named", json_boolean(options->list_count[FFL_OPT_VARIANT] > 0));
    json_object_set_new(*out, "trace", json_boolean(ffl_option_given(options, FFL_OPT_TRACE)));
    json_object_set_new(
        *out, "dump",
        json_string(ffl_option_given(options, FFL_OPT_DUMP) ? options->value[FFL_OPT_DUMP] : ""));
    if (status != FFL_OK)
        json_decref(*out);
    return status;
}

static ffl_status validate(const ffl_options *options)
{
    double timeout;
    json_t *request;
    FFL_TRY(ffl_option_duration(options, FFL_OPT_TIMEOUT, default_timeout, &timeout));
    FFL_TRY(make_request(options, &request));
    json_decref(request);
    return FFL_OK;
}

static ffl_status print_json(const run_state *s)
{
    json_t *all = json_pack("{s:O, s:O, s:s}", "model", s->model, "rows", s->rows, "repeat", s->repeat);
    char *text = all ? json_dumps(all, JSON_INDENT(1)) : NULL;
    if (text)
        puts(text);
    free(text);
    json_decref(all);
    return text ? FFL_OK : ffl_fail(FFL_INTERNAL, "results that cannot be written as JSON");
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    json_t *request;
    double timeout;
    FFL_TRY(ffl_option_duration(options, FFL_OPT_TIMEOUT, default_timeout, &timeout));
    FFL_TRY(make_request(options, &request));
    run_state s = {.variants = json_object_get(request, "variants"),
                   .rows = json_array(),
                   .table = !ffl_option_given(options, FFL_OPT_JSON),
                   .at = -1};
    write_repeat(options, request, &s);
    ffl_status status = run_jobs(options, request, &s, timeout);
    if (s.model && !s.table && (status == FFL_OK || status == FFL_INTERRUPTED)) {
        const ffl_status printed = print_json(&s);
        status = status == FFL_OK ? printed : status;
    }
    if (s.table)
        print_answers(s.rows);
    if (s.model && ffl_option_given(options, FFL_OPT_TRACE)) {
        const ffl_status written = ffl_timeline_write(options->value[FFL_OPT_TRACE], s.rows);
        status = status == FFL_OK ? written : status;
    }
    *exit_code = s.failed ? FFL_EXIT_FAILED : s.passed == 0 ? FFL_EXIT_NOTHING_RAN : FFL_EXIT_GOOD;
    json_decref(s.model);
    json_decref(s.rows);
    json_decref(request);
    return status;
}

static const ffl_option encoder_options[] = {
    FFL_OPT_PRESET,       FFL_OPT_CONFIG,
    FFL_OPT_CHECKPOINT,   FFL_OPT_POSITIONS,
    FFL_OPT_BATCH,        FFL_OPT_SEQ,
    FFL_OPT_TOKENS,       FFL_OPT_MASK,
    FFL_OPT_VARIANT,      FFL_OPT_EXCLUDE,
    FFL_OPT_PLUGIN,       FFL_OPT_THREADS,
    FFL_OPT_CPUS,         FFL_OPT_SEED,
    FFL_OPT_DUMP,         FFL_OPT_TRACE,
    FFL_OPT_JSON,         FFL_OPT_IN_PROCESS,
    FFL_OPT_TIMEOUT,      FFL_OPT_PROBLEMS,
    FFL_OPT_BLAS_LIBRARY, FFL_OPT_KEEP_BLAS_ENVIRONMENT,
    FFL_OPT_COUNT,
};

const ffl_command ffl_command_encoder = {
    .name = "encoder",
    .summary = "whole encoder passes with each variant inside: speed, parts, agreement",
    .usage = "[--preset NAME | --config FILE | --checkpoint DIR] [OPTIONS]",
    .help = "Runs the forward pass of an encoder with every selected variant as its feedforward layers: "
            "UltraFastBERT,\n"
            "crammedBERT, BERT, RoBERTa, DistilBERT or ALBERT; weights from a checkpoint, or seeded. "
            "Everything but the\n"
            "feedforward layers is the same in all passes. Each pass is verified, layer by layer from the "
            "inputs of a\n"
            "double-precision reference and end to end, and timed in turn with the pass of the fastest dense "
            "variant.\n"
            "How: harness/encoder/README.md. Presets: ultrafastbert-TxD (3072x0 … 1x11), crammedbert-3072,\n"
            "crammedbert-4095, bert-base, bert-large, roberta-base, distilbert, albert-base.\n\n"
            "Examples:\n"
            "  fflab encoder --preset ultrafastbert-1x11 --batch 8 --seq 128\n"
            "  fflab encoder --preset bert-base -v 'ff_blas3_*' --threads 2\n"
            "  fflab encoder --checkpoint DIR --tokens ids.npy --mask mask.npy -v fff_naive --dump out\n",
    .options = encoder_options,
    .validate = validate,
    .run = run,
};
