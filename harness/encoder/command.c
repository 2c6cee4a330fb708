/* `fflab encoder`: whole forward passes with each variant inside. The passes run in a worker (serve.c). */
#include "harness/bench/pin.h"
#include "harness/commands.h"
#include "harness/encoder/best.h"
#include "harness/encoder/dump.h"
#include "harness/encoder/event_counts.h"
#include "harness/encoder/layers_table.h"
#include "harness/encoder/point_run.h"
#include "harness/encoder/print.h"
#include "harness/encoder/record.h"
#include "harness/encoder/task.h"
#include "harness/encoder/timeline.h"
#include "harness/registry.h"
#include "harness/results.h"
#include "harness/worker.h"
#include "kernels/team.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 1024, BEST_MAX = 1000 };

/* Per point, when neither --budget nor --full says otherwise. */
static const double point_seconds = 270;

/* Packing, the double reference and judging a whole model take their time between two answers. */
static const double default_timeout = 900;

/* ---- Which variants ---- */

static bool is_among(const json_t *names, const char *name)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (strcmp(json_string_value(json_array_get(names, i)), name) == 0)
            return true;
    return false;
}

/* All trees by default; dense ones when the encoder is dense or when -v names them. */
static ffl_status select_variants(const ffl_options *options, const ffl_encoder_config *config, json_t *out)
{
    const bool named = options->list_count[FFL_OPT_VARIANT] > 0;
    for (size_t i = 0; i < ffl_registry_count() && (named || !ffl_option_given(options, FFL_OPT_BEST)); i++) {
        const ffl_variant *v = ffl_registry_at(i);
        const char *why = "";
        if (!ffl_option_selects(options, v) || (!named && v->operation != config->operation) ||
            (!named && (v->library == FFL_PROCESS || !ffl_variant_available(v, &why))) ||
            is_among(out, v->name))
            continue;
        if (json_array_append_new(out, json_string(v->name)) != 0)
            return ffl_fail(FFL_NO_MEMORY, "no memory for the list of variants");
    }
    return FFL_OK;
}

/* --best: those that bench found, too. */
static ffl_status add_best(const ffl_options *options, const ffl_encoder_task *task, int threads, json_t *out)
{
    char dir[FFL_PATH_MAX];
    size_t count;
    FFL_TRY(ffl_option_size(options, FFL_OPT_BEST, 1, BEST_MAX, 0, &count));
    if (count == 0)
        return FFL_OK;
    const ffl_layer shape = ffl_encoder_layer_shape(&task->weights.config);
    FFL_TRY(ffl_results_dir(options, dir));
    return ffl_encoder_best(dir, &shape, task->input.batch * task->input.sequence, threads, count, out);
}

static ffl_status check_variants(const ffl_options *options, const json_t *variants)
{
    if (json_array_size(variants) > 0)
        return FFL_OK;
    if (ffl_option_given(options, FFL_OPT_BEST))
        return ffl_fail(FFL_BAD_INPUT,
                        "--best %s: no journal of `fflab bench` with such a layer in the results folder",
                        options->value[FFL_OPT_BEST]);
    return ffl_fail(FFL_BAD_INPUT, "-v and -x leave no variant");
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

/* ---- The request ---- */

/* The request with everything in it, checked: errors belong here, not in a worker. */
static ffl_status fill_request(const ffl_options *options, json_t *request, ffl_point_case *out)
{
    ffl_encoder_task task;
    FFL_TRY(ffl_encoder_task_open(request, false, &task));
    json_t *variants = json_array();
    /* The best first: should time run out, they are there. */
    ffl_status status =
        variants
            ? add_best(options, &task, (int)json_integer_value(json_object_get(request, "threads")), variants)
            : FFL_NO_MEMORY;
    json_object_set_new(request, "variants", variants);
    if (status == FFL_OK)
        status = select_variants(options, &task.weights.config, variants);
    if (status == FFL_OK)
        status = check_variants(options, variants);
    if (status == FFL_OK)
        status = check_dump(options, variants);
    if (status == FFL_OK)
        status = ffl_record_request(options, &task.weights.config, request);
    if (status == FFL_OK)
        ffl_point_case_of(options, request, &task, out);
    ffl_encoder_task_close(&task);
    return status;
}

static ffl_status make_request(const ffl_options *options, const ffl_encoder_point *point, json_t **out,
                               ffl_point_case *shared)
{
    size_t threads;
    const char *cpus = ffl_option_given(options, FFL_OPT_CPUS) ? options->value[FFL_OPT_CPUS] : "";
    FFL_TRY(ffl_option_size(options, FFL_OPT_THREADS, 1, THREADS_MAX, 1, &threads));
    if (*cpus)
        FFL_TRY(ffl_pin_check(cpus));
    if (ffl_option_given(options, FFL_OPT_TRACE))
        FFL_TRY(ffl_timeline_check(options->value[FFL_OPT_TRACE]));
    FFL_TRY(ffl_encoder_task_request(options, point, out));
    json_object_set_new(*out, "threads", json_integer((json_int_t)threads));
    json_object_set_new(*out, "cpus", json_string(cpus));
    json_object_set_new(*out, "named", json_boolean(options->list_count[FFL_OPT_VARIANT] > 0));
    json_object_set_new(*out, "detail", json_boolean(ffl_option_given(options, FFL_OPT_JSON)));
    json_object_set_new(*out, "counters", json_boolean(ffl_option_given(options, FFL_OPT_COUNTERS)));
    json_object_set_new(*out, "trace", json_boolean(ffl_option_given(options, FFL_OPT_TRACE)));
    json_object_set_new(
        *out, "dump",
        json_string(ffl_option_given(options, FFL_OPT_DUMP) ? options->value[FFL_OPT_DUMP] : ""));
    const ffl_status status = fill_request(options, *out, shared);
    if (status != FFL_OK)
        json_decref(*out);
    return status;
}

static ffl_status validate(const ffl_options *options)
{
    double seconds;
    ffl_encoder_points points;
    size_t shard, shards;
    FFL_TRY(ffl_option_shard(options, &shard, &shards));
    FFL_TRY(ffl_option_duration(options, FFL_OPT_TIMEOUT, default_timeout, &seconds));
    FFL_TRY(ffl_option_duration(options, FFL_OPT_BUDGET, 0, &seconds));
    FFL_TRY(ffl_encoder_points_from(options, &points));
    ffl_status status = FFL_OK;
    for (size_t i = 0; i < points.count && status == FFL_OK; i++) {
        json_t *request;
        ffl_point_case shared;
        status = make_request(options, &points.value[i], &request, &shared);
        if (status == FFL_OK)
            json_decref(request);
    }
    ffl_encoder_points_free(&points);
    return status;
}

/* ---- The sweep ---- */

/* One invocation: its points, what they share, and what came of them. */
typedef struct sweep {
    const ffl_options *options;
    ffl_encoder_points points;
    ffl_journal *journal;
    ffl_progress *progress;
    double budget, timeout, start, total, done; /* seconds; total and done: of the progress */
    bool json;
    json_t *answers;      /* of --json: an object per point */
    size_t shard, shards; /* the part of the points that is ours, from 1 */
    size_t passed, failed, resumed, left_out;
} sweep;

/* Time goes with the tokens, but a model must be made for a few of them, too. */
static double weight_of(const ffl_encoder_point *p)
{
    const double batch = p->batch ? (double)p->batch : 8, sequence = p->sequence ? (double)p->sequence : 128;
    return 1024 + batch * sequence;
}

/* Rows that the journal has are not asked for again; true when none is left. */
static bool drop_finished(sweep *s, const ffl_point_case *point, json_t *variants)
{
    size_t kept = 0;
    while (kept < json_array_size(variants)) {
        char key[640];
        ffl_point_key(point, json_string_value(json_array_get(variants, kept)), key, sizeof key);
        if (!ffl_journal_has(s->journal, key)) {
            kept++;
            continue;
        }
        json_array_remove(variants, kept);
        s->resumed++;
    }
    return kept == 0;
}

/* With a budget, this point's part of what is left; otherwise enough for some pairs of every variant. All
 * layers run where they are recorded. */
static void set_seconds(const sweep *s, const ffl_encoder_point *point, json_t *request)
{
    const bool all =
        ffl_option_given(s->options, FFL_OPT_FULL) || ffl_option_given(s->options, FFL_OPT_RECORD);
    double seconds = all ? 0 : point_seconds;
    if (s->budget > 0) {
        const double left = s->budget - (1e-9 * ffl_pass_clock_ns() - s->start);
        seconds = (left > 1 ? left : 1) * weight_of(point) / (s->total - s->done);
    }
    json_object_set_new(request, "seconds", json_real(seconds));
    json_object_set_new(request, "strict", json_boolean(s->budget > 0));
}

static ffl_status finish_point(sweep *s, const ffl_encoder_point_run *run)
{
    s->passed += run->passed;
    s->failed += run->failed;
    if (!s->json && run->model) {
        ffl_progress_clear(s->progress);
        ffl_print_rates(run->rows);
        ffl_encoder_print_answers(run->rows);
    }
    if (!s->json && run->model && ffl_option_given(s->options, FFL_OPT_COUNTERS))
        ffl_print_counters(run->model, run->rows);
    if (!s->json && run->model && ffl_option_given(s->options, FFL_OPT_LAYERS))
        ffl_print_layers(run->rows);
    if (!s->json && run->passed)
        ffl_record_print(run->request);
    if (s->json && json_array_size(run->rows)) /* no model where nothing could run */
        json_array_append_new(s->answers, json_pack("{s:o, s:O, s:s}", "model",
                                                    run->model ? json_incref(run->model) : json_null(),
                                                    "rows", run->rows, "repeat", run->point.repeat));
    if (run->model && ffl_option_given(s->options, FFL_OPT_TRACE))
        return ffl_timeline_write(s->options->value[FFL_OPT_TRACE], run->rows);
    return FFL_OK;
}

static ffl_status run_point(sweep *s, const ffl_encoder_point *point)
{
    json_t *request;
    ffl_encoder_point_run run = {.journal = s->journal,
                                 .progress = s->progress,
                                 .done = s->done,
                                 .weight = weight_of(point),
                                 .table = !s->json};
    FFL_TRY(make_request(s->options, point, &request, &run.point));
    ffl_status status = FFL_OK;
    if (!drop_finished(s, &run.point, json_object_get(request, "variants"))) {
        set_seconds(s, point, request);
        if (!s->json && s->done > 0)
            putchar('\n');
        status = ffl_encoder_point_go(s->options, request, s->timeout, &run);
        if (status == FFL_OK || status == FFL_INTERRUPTED) {
            const ffl_status finished = finish_point(s, &run);
            status = status == FFL_OK ? finished : status;
        }
        ffl_encoder_point_run_free(&run);
    }
    s->done += weight_of(point);
    json_decref(request);
    return status;
}

/* One point as an object, several as an array. */
static ffl_status print_json(const sweep *s)
{
    const bool one = s->points.count == 1;
    if (json_array_size(s->answers) == 0)
        return FFL_OK;
    char *text = json_dumps(one ? json_array_get(s->answers, 0) : s->answers, JSON_INDENT(1));
    if (text)
        puts(text);
    free(text);
    return text ? FFL_OK : ffl_fail(FFL_INTERNAL, "results that cannot be written as JSON");
}

/* --shard: every n-th point. */
static bool is_ours(const sweep *s, size_t i)
{
    return i % s->shards == s->shard - 1;
}

/* The first point always runs. */
static bool budget_is_spent(const sweep *s)
{
    return s->budget > 0 && s->done > 0 && 1e-9 * ffl_pass_clock_ns() - s->start > s->budget;
}

static ffl_status run_points(sweep *s)
{
    ffl_status status = FFL_OK;
    for (size_t i = 0; i < s->points.count; i++)
        s->total += is_ours(s, i) ? weight_of(&s->points.value[i]) : 0;
    s->progress = ffl_progress_new("encoder", s->total);
    for (size_t i = 0; i < s->points.count && status == FFL_OK; i++) {
        if (is_ours(s, i) && budget_is_spent(s))
            s->left_out++;
        else if (is_ours(s, i))
            status = run_point(s, &s->points.value[i]);
    }
    ffl_progress_free(s->progress);
    if (s->json && (status == FFL_OK || status == FFL_INTERRUPTED)) {
        const ffl_status printed = print_json(s);
        status = status == FFL_OK ? printed : status;
    } else if (!s->json && (s->passed || s->failed)) {
        printf("\njournal: %s/journal.jsonl\n", ffl_journal_dir(s->journal));
    }
    if (s->left_out && !s->json)
        printf("%zu point%s did not run: the budget is spent; --resume goes on\n", s->left_out,
               s->left_out == 1 ? "" : "s");
    if (s->resumed && !s->json)
        printf("%zu row%s were in the journal already\n", s->resumed, s->resumed == 1 ? "" : "s");
    return status;
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    sweep s = {.options = options,
               .start = 1e-9 * ffl_pass_clock_ns(),
               .json = ffl_option_given(options, FFL_OPT_JSON),
               .answers = json_array()};
    ffl_status status = s.answers ? FFL_OK : FFL_NO_MEMORY;
    if (status == FFL_OK)
        status = ffl_option_duration(options, FFL_OPT_TIMEOUT, default_timeout, &s.timeout);
    if (status == FFL_OK)
        status = ffl_option_duration(options, FFL_OPT_BUDGET, 0, &s.budget);
    if (status == FFL_OK)
        status = ffl_option_shard(options, &s.shard, &s.shards);
    if (status == FFL_OK)
        status = ffl_encoder_points_from(options, &s.points);
    if (status == FFL_OK)
        status = ffl_journal_open(options, &s.journal);
    if (status == FFL_OK)
        status = run_points(&s);
    *exit_code = s.failed                    ? FFL_EXIT_FAILED
                 : s.passed + s.resumed == 0 ? FFL_EXIT_NOTHING_RAN
                                             : FFL_EXIT_GOOD;
    const ffl_status closed = ffl_journal_close(s.journal);
    ffl_encoder_points_free(&s.points);
    json_decref(s.answers);
    return status == FFL_OK ? closed : status;
}

static const ffl_option encoder_options[] = {
    FFL_OPT_PRESET,       FFL_OPT_CONFIG,
    FFL_OPT_CHECKPOINT,   FFL_OPT_POSITIONS,
    FFL_OPT_BATCH,        FFL_OPT_SEQ,
    FFL_OPT_TOKENS,       FFL_OPT_MASK,
    FFL_OPT_TOKEN_TYPES,  FFL_OPT_VARIANT,
    FFL_OPT_EXCLUDE,      FFL_OPT_PLUGIN,
    FFL_OPT_THREADS,      FFL_OPT_CPUS,
    FFL_OPT_SEED,         FFL_OPT_DUMP,
    FFL_OPT_TRACE,        FFL_OPT_LAYERS,
    FFL_OPT_COUNTERS,     FFL_OPT_RECORD,
    FFL_OPT_RECORD_LAYER, FFL_OPT_NEURONS,
    FFL_OPT_FULL,         FFL_OPT_BUDGET,
    FFL_OPT_OUT,          FFL_OPT_RESUME,
    FFL_OPT_SHARD,        FFL_OPT_BEST,
    FFL_OPT_JSON,         FFL_OPT_IN_PROCESS,
    FFL_OPT_TIMEOUT,      FFL_OPT_PROBLEMS,
    FFL_OPT_BLAS_LIBRARY, FFL_OPT_KEEP_BLAS_ENVIRONMENT,
    FFL_OPT_COUNT,
};

const ffl_command ffl_command_encoder = {
    .name = "encoder",
    .summary = "whole encoder passes with each variant inside: speed, parts, agreement",
    .usage = "[--preset NAME | --config FILE | --checkpoint DIR] [OPTIONS]",
    .help =
        "Runs the forward pass of an encoder with every selected variant as its feedforward layers: "
        "UltraFastBERT,\n"
        "crammedBERT, BERT, RoBERTa, DistilBERT or ALBERT; weights from a checkpoint, or seeded. "
        "Everything but the\n"
        "feedforward layers is the same in all passes. Each pass is verified, layer by layer from the "
        "inputs of a\n"
        "double-precision reference and end to end, and timed in turn with the pass of the fastest dense "
        "variant.\n"
        "A variant of the device (…_cuda) runs in a pass wholly on the device: rows, attention and products "
        "are\n"
        "of its own storage type, f32 or bf16 (`fflab list`), and it is held against the fastest dense "
        "variant of\n"
        "its class there.\n"
        "How: harness/encoder/README.md. Presets: ultrafastbert-TxD (3072x0 … 1x11), crammedbert-3072,\n"
        "crammedbert-4095, bert-base, bert-large, roberta-base, distilbert, albert-base; custom:layers=…, as "
        "below.\n\n"
        "Examples:\n"
        "  fflab encoder --preset ultrafastbert-1x11 --batch 8 --seq 128\n"
        "  fflab encoder --preset bert-base -v 'ff_blas3_*' --threads 2\n"
        "  fflab encoder --preset custom:layers=4,width=256,heads=4,tree=1x7,vocab=1000,norm=post --seq 32\n"
        "  fflab encoder --preset ultrafastbert-1x11 -v 'fff_hybrid*_cuda' --layers\n"
        "  fflab encoder --preset ultrafastbert-64x5 -v fff_buckets_avx512 --layers\n"
        "  fflab encoder -v fff_walk_avx512 --record layer.safetensors --record-layer 5\n"
        "  fflab encoder --checkpoint DIR --tokens ids.npy --mask mask.npy -v fff_naive --dump out\n",
    .options = encoder_options,
    .validate = validate,
    .run = run,
};
