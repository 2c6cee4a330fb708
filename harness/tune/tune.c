/* `fflab tune`: measures what ff_auto and fff_auto choose by, and how well they choose. */
#define _GNU_SOURCE
#include "harness/auto/table.h"
#include "harness/bench/conduct.h"
#include "harness/commands.h"
#include "harness/results.h"
#include "harness/tune/derive.h"
#include "harness/tune/grid.h"
#include "harness/tune/regret.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const double default_timeout = 300, default_budget = 240, probe_row_seconds = 0.005;
/* More repeats what is known: groups are short enough for the disturbances to hit all rows alike. */
static const double row_seconds = 0.06, row_seconds_full = 0.25;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* What one invocation works with. */
typedef struct tuning {
    const ffl_options *options;
    char dir[FFL_PATH_MAX], probe_dir[FFL_PATH_MAX];
    double start, budget, timeout; /* seconds; budget 0: none */
    size_t failed;                 /* rows */
} tuning;

static ffl_status read_settings(const ffl_options *options, tuning *out)
{
    *out = (tuning){.options = options, .start = now_s()};
    FFL_TRY(ffl_option_duration(options, FFL_OPT_BUDGET,
                                ffl_option_given(options, FFL_OPT_FULL) ? 0 : default_budget, &out->budget));
    return ffl_option_duration(options, FFL_OPT_TIMEOUT, default_timeout, &out->timeout);
}

static ffl_status validate(const ffl_options *options)
{
    tuning t;
    ffl_group_list groups;
    FFL_TRY(read_settings(options, &t));
    FFL_TRY(ffl_grid_probe(options, &groups));
    ffl_groups_free(&groups);
    return FFL_OK;
}

/* The journal of a round; no rows when there is none yet. */
static ffl_status read_rows(const char *dir, ffl_rows *out)
{
    char path[FFL_PATH_MAX];
    const char *const paths[] = {path};
    *out = (ffl_rows){0};
    FFL_TRY(ffl_results_path(dir, FFL_JOURNAL_FILE, path));
    return access(path, F_OK) == 0 ? ffl_rows_read(paths, 1, out) : FFL_OK;
}

/* Times `groups` into the journal of `dir`, but for those that are there already under --resume. */
static ffl_status measure(tuning *t, const char *dir, const char *doing, double seconds, double budget,
                          ffl_group_list *groups)
{
    ffl_options options = *t->options;
    options.value[FFL_OPT_OUT] = dir;
    ffl_conduct conduct = {
        .options = &options, .budget = budget, .row_seconds = seconds, .timeout = t->timeout, .doing = doing};
    ffl_outcome outcome;
    if (ffl_option_given(&options, FFL_OPT_RESUME)) {
        ffl_rows before;
        FFL_TRY(read_rows(dir, &before));
        ffl_grid_drop(&before, groups);
        ffl_rows_free(&before);
    }
    FFL_TRY(ffl_journal_open(&options, &conduct.journal));
    const ffl_status status = ffl_conduct_run(&conduct, groups, &outcome);
    t->failed += outcome.failed;
    ffl_outcome_free(&outcome);
    const ffl_status closed = ffl_journal_close(conduct.journal);
    return status == FFL_OK ? closed : status;
}

static ffl_status probe(tuning *t, ffl_rows *out)
{
    ffl_group_list groups;
    FFL_TRY(ffl_grid_probe(t->options, &groups));
    const ffl_status status = measure(t, t->probe_dir, "probing", probe_row_seconds, 0, &groups);
    ffl_groups_free(&groups);
    return status == FFL_OK ? read_rows(t->probe_dir, out) : status;
}

/* Both rounds; `out` gets what the journal of the second holds. */
static ffl_status measure_grid(tuning *t, bool report, ffl_rows *out)
{
    ffl_rows probed;
    ffl_group_list groups;
    FFL_TRY(ffl_results_dir(t->options, t->dir));
    FFL_TRY(ffl_results_path(t->dir, "probe", t->probe_dir));
    FFL_TRY(probe(t, &probed));
    ffl_status status = ffl_grid_main(t->options, &probed, report, &groups);
    ffl_rows_free(&probed);
    if (status != FFL_OK)
        return status;
    double left = 0;
    if (t->budget > 0) {
        left = t->budget - (now_s() - t->start);
        left = left > 1 ? left : 1;
    }
    status =
        measure(t, t->dir, report ? "measuring regret" : "tuning",
                ffl_option_given(t->options, FFL_OPT_FULL) ? row_seconds_full : row_seconds, left, &groups);
    ffl_groups_free(&groups);
    return status == FFL_OK ? read_rows(t->dir, out) : status;
}

/* ---- fflab tune ---- */

static ffl_status store(const tuning *t, const ffl_rows *rows)
{
    ffl_tuned_table table;
    char path[FFL_PATH_MAX];
    ffl_tuned_path(true, path, sizeof path);
    if (!*path)
        return ffl_fail(FFL_IO, "there is no cache folder for the table: say --table FILE");
    FFL_TRY(ffl_derive_table(rows, &table));
    ffl_status status = ffl_tuned_write(path, &table);
    if (status == FFL_OK && ffl_option_given(t->options, FFL_OPT_JSON)) {
        json_t *json = json_pack("{s:s, s:I, s:s, s:f}", "table", path, "cells", (json_int_t)table.count,
                                 "journal", t->dir, "seconds", now_s() - t->start);
        json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(4));
        putchar('\n');
        json_decref(json);
    } else if (status == FFL_OK) {
        printf("%zu cells in %.0f s\njournal: %s/%s\ntable: %s\n", table.count, now_s() - t->start, t->dir,
               FFL_JOURNAL_FILE, path);
    }
    ffl_tuned_free(&table);
    return status;
}

/* ---- fflab tune --report ---- */

static ffl_status report(const tuning *t, const ffl_rows *rows, int *exit_code)
{
    ffl_regret *cells;
    size_t count;
    char note[1024];
    ffl_tuned_note(note, sizeof note);
    if (*note)
        fprintf(stderr, "fflab: %s\n", note);
    FFL_TRY(ffl_regret_cells(rows, &cells, &count));
    if (count == 0)
        *exit_code = FFL_EXIT_NOTHING_RAN;
    if (ffl_option_given(t->options, FFL_OPT_JSON)) {
        ffl_regret_print_json(cells, count);
    } else {
        ffl_regret_print(cells, count);
        printf("journal: %s/%s\n", t->dir, FFL_JOURNAL_FILE);
    }
    free(cells);
    return FFL_OK;
}

/* Before the first worker starts: it inherits which table to use. */
static ffl_status use_table(const ffl_options *options)
{
    const char *table = options->value[FFL_OPT_TABLE];
    char path[FFL_PATH_MAX] = "";
    if (!table)
        return FFL_OK;
    if (*table != '/' && (!getcwd(path, sizeof path - 1) || strlen(path) + strlen(table) + 2 > sizeof path))
        return ffl_fail(FFL_BAD_INPUT, "--table %.64s: the path is too long", table);
    if (*table != '/')
        strcat(path, "/");
    strncat(path, table, sizeof path - strlen(path) - 1);
    return setenv("FFLAB_TUNING", path, 1) == 0 ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory");
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    tuning t;
    ffl_rows rows;
    const bool regret = ffl_option_given(options, FFL_OPT_REPORT);
    FFL_TRY(use_table(options));
    FFL_TRY(read_settings(options, &t));
    FFL_TRY(measure_grid(&t, regret, &rows));
    *exit_code = t.failed ? FFL_EXIT_FAILED : FFL_EXIT_GOOD;
    const ffl_status status = regret ? report(&t, &rows, exit_code) : store(&t, &rows);
    ffl_rows_free(&rows);
    return status;
}

static const ffl_option tune_options[] = {
    FFL_OPTIONS_OF_ROWS, FFL_OPTIONS_OF_JOBS, FFL_OPT_ROUTING, FFL_OPT_CPUS,
    FFL_OPT_FULL,        FFL_OPT_TABLE,       FFL_OPT_REPORT,  FFL_OPT_KEEP_BLAS_ENVIRONMENT,
    FFL_OPT_COUNT};

const ffl_command ffl_command_tune = {
    .name = "tune",
    .summary = "measure what ff_auto and fff_auto choose by",
    .usage = "[OPTIONS]",
    .help =
        "Times the variants of every class over a grid of layers, batches, threads and routings on this "
        "machine, and\n"
        "stores a table that ff_auto and fff_auto choose by, until the kernels or the machine change. "
        "First all\n"
        "variants are probed in a few cells; those near the front are measured over the grid.\n\n"
        "--report measures the grid again with the dispatchers among the rows and prints their regret: how "
        "much\n"
        "longer they take than the fastest variant of each cell. FFLAB_TUNING=FILE makes any command use "
        "another\n"
        "table, FFLAB_TUNING=none the built-in rules. How it decides: harness/tune/README.md.\n\n"
        "Examples:\n"
        "  fflab tune                                       about 5 minutes\n"
        "  fflab tune --full --out results/tuning           the whole grid, an hour; --resume goes on\n"
        "  fflab tune --tree 16x7 --batch 1,128 --class f32 --table mine.json\n"
        "  fflab tune --report\n",
    .options = tune_options,
    .validate = validate,
    .run = run,
};
