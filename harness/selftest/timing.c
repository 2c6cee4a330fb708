#include "harness/selftest/timing.h"
#include "harness/bench/clock.h"
#include "harness/bench/pin.h"
#include "harness/check/judge.h"
#include "harness/compare/sampling.h"
#include "harness/progress.h"
#include "harness/registry.h"
#include "harness/workload/random.h"
#include <stdio.h>
#include <string.h>

enum { WIDTH = 768, DEPTH = 7, STORE_FROM = 20 };

static const char *const variants[] = {
    "fff_naive",          "fff_blas1_openblas", "fff_walk_avx2",   "fff_walk_avx512",
    "fff_buckets_avx512", "ff_blas3_openblas",  "ff_tiled_avx512",
};
static const size_t batches[] = {1, 16, 128};
enum { VARIANTS = sizeof variants / sizeof *variants, BATCHES = sizeof batches / sizeof *batches };

static const double default_budget = 240, row_seconds = 60, default_timeout = 300;

typedef struct experiment {
    ffl_turns turns;
    double budget, start;
    size_t order[VARIANTS * BATCHES];
    ffl_timing_score score;
    ffl_progress *progress;
} experiment;

/* Small enough that preparing a seat takes little, and of every cost from a microsecond to milliseconds. */
static ffl_status make_group(const ffl_variant *variant, size_t batch, uint64_t seed, ffl_group_row *row,
                             ffl_group *out)
{
    *out = (ffl_group){
        .batch = batch, .routing = "uniform", .threads = 1, .seed = seed, .rows = row, .row_count = 1};
    FFL_TRY(ffl_layer_fff(WIDTH, WIDTH, 1, ffl_levels_from_depth(DEPTH), &out->tree));
    *row = (ffl_group_row){.variant = variant, .shape = out->tree};
    if (variant->operation == FFL_FF)
        FFL_TRY(ffl_layer_ff(WIDTH, WIDTH, out->tree.neurons, &row->shape));
    ffl_pin_first(out->cpus, sizeof out->cpus);
    return FFL_OK;
}

static void shuffle(experiment *e, uint64_t round)
{
    ffl_random random = ffl_random_new(e->turns.seed, round);
    for (size_t i = 0; i < VARIANTS * BATCHES; i++) {
        const size_t at = ffl_random_below(&random, i + 1);
        e->order[i] = e->order[at];
        e->order[at] = i;
    }
}

static bool time_left(const experiment *e)
{
    return 1e-9 * (ffl_clock_ns() - e->start) < e->budget;
}

/* *timed: false where this build or machine has no such row. */
static ffl_status compare_case(experiment *e, size_t index, uint64_t round, bool *timed)
{
    const ffl_variant *variant = ffl_registry_find(variants[index / BATCHES]);
    ffl_group_row row;
    ffl_group group;
    ffl_pairs pairs;
    const char *why;
    *timed = false;
    if (!variant)
        return FFL_OK;
    FFL_TRY(make_group(variant, batches[index % BATCHES], e->turns.seed, &row, &group));
    if (!ffl_variant_supports(variant, &row.shape, group.batch, 1, &why))
        return FFL_OK;
    ffl_turns turns = e->turns;
    turns.seed += round * VARIANTS * BATCHES + index;
    FFL_TRY(ffl_pairs_run(&turns, &group, &pairs));
    *timed = strcmp(pairs.verdict, ffl_verdict_name(FFL_PASSED)) == 0;
    ffl_status status = FFL_OK;
    if (*timed)
        status = ffl_timing_score_add(&e->score, &pairs);
    else
        status = ffl_fail(FFL_INTERNAL, "%s %s, %s", variant->name, pairs.verdict, pairs.reason);
    ffl_pairs_free(&pairs);
    return status;
}

/* Round after round until the time is up; one case at least. */
static ffl_status run_rounds(experiment *e)
{
    ffl_status status = FFL_OK;
    bool any = true;
    for (uint64_t round = 0; status == FFL_OK && any && (time_left(e) || !e->score.twins); round++) {
        shuffle(e, round);
        any = false;
        for (size_t i = 0; i < VARIANTS * BATCHES && status == FFL_OK && (time_left(e) || !e->score.twins);
             i++) {
            bool timed;
            ffl_progress_show(e->progress, 1e-9 * (ffl_clock_ns() - e->start),
                              variants[e->order[i] / BATCHES]);
            status = compare_case(e, e->order[i], round, &timed);
            any = any || timed;
        }
    }
    return status;
}

static void tell_size(const ffl_timing_score *score, size_t size)
{
    if (score->twins < STORE_FROM)
        printf("\ntoo few comparisons to size anything by; a larger --budget has more\n");
    else if (size)
        printf(
            "\n`compare` will take %zu pairs per row on this processor, more where it compares many rows\n",
            size);
    else
        printf("\n%d pairs are not enough on this machine, as it is now\n", FFL_TIMING_PAIRS);
}

static void report(const ffl_options *options, const ffl_timing_score *score, size_t size)
{
    if (!ffl_option_given(options, FFL_OPT_JSON)) {
        ffl_timing_score_print(score);
        tell_size(score, size);
        return;
    }
    json_t *json = ffl_timing_score_to_json(score);
    json_dumpf(json, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(4));
    putchar('\n');
    json_decref(json);
}

ffl_status ffl_timing_run(const ffl_options *options, int *exit_code)
{
    experiment e = {.turns = {.options = options,
                              .side = {{.program = "/proc/self/exe", .kind = "slices", .name = "BASE"},
                                       {.program = "/proc/self/exe", .kind = "slices", .name = "TWIN"},
                                       {.program = "/proc/self/exe", .kind = "slowed", .name = "SLOWED"}},
                              .sides = 3,
                              .seats = FFL_SEATS,
                              .pairs = FFL_TIMING_PAIRS,
                              .fewest = FFL_TIMING_PAIRS,
                              .row_seconds = row_seconds,
                              .slice_seconds = FFL_SLICE_SECONDS},
                    .start = ffl_clock_ns(),
                    .score = ffl_timing_score_new()};
    FFL_TRY(ffl_option_duration(options, FFL_OPT_BUDGET, default_budget, &e.budget));
    FFL_TRY(ffl_option_duration(options, FFL_OPT_TIMEOUT, default_timeout, &e.turns.timeout_s));
    FFL_TRY(ffl_option_seed(options, 1, &e.turns.seed));
    e.progress = ffl_progress_new("timing", e.budget);
    const ffl_status status = run_rounds(&e);
    ffl_progress_clear(e.progress);
    ffl_progress_free(e.progress);
    FFL_TRY(status);
    const size_t size = ffl_timing_score_size(&e.score);
    if (size && e.score.twins >= STORE_FROM)
        ffl_sampling_store(size);
    report(options, &e.score, size);
    *exit_code = e.score.twins == 0                 ? FFL_EXIT_NOTHING_RAN
                 : ffl_timing_score_holds(&e.score) ? FFL_EXIT_GOOD
                                                    : FFL_EXIT_FAILED;
    return FFL_OK;
}
