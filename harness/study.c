/* `fflab study`: check, bench, encoder and report in one go. */
#define _GNU_SOURCE
#include "harness/study.h"
#include "harness/bench/device_stage.h"
#include "harness/commands.h"
#include "harness/problems.h"
#include "harness/report.h"
#include "harness/results.h"
#include "harness/roofs/roofs.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const double roofs_last_s = 24 * 3600;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static ffl_status find_study(const ffl_options *options, const ffl_study **out)
{
    const char *name = options->word_count ? options->words[0] : ffl_studies[0].name;
    char all[256] = "";
    for (*out = ffl_studies; (*out)->name; ++*out) {
        if (strcmp((*out)->name, name) == 0)
            return FFL_OK;
        const size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "", (*out)->name);
    }
    return ffl_fail(FFL_BAD_INPUT, "study %s: no such study; there are: %s", name, all);
}

static const ffl_command *find_command(const char *name)
{
    for (const ffl_command *const *c = ffl_commands; *c; c++)
        if (strcmp((*c)->name, name) == 0)
            return *c;
    return NULL;
}

static bool is_calibration(const ffl_study_step *step)
{
    return strcmp(step->command, ffl_command_calibrate.name) == 0;
}

static bool runs_here(const ffl_study_step *step, const char **why)
{
    return !step->device || ffl_device_timing(why);
}

/* One step ready to run; its options point into `line` and `dir`. */
typedef struct job {
    ffl_options options;
    char line[1024];
} job;

/* The options of the study that the step's command knows, the results folder, then the step's own words. */
static ffl_status make_job(const ffl_options *given, const ffl_study_step *step, const char *dir,
                           double budget_s, job *out)
{
    ffl_options base = *given;
    base.command = find_command(step->command);
    if (!base.command)
        return ffl_fail(FFL_UNSUPPORTED, "this build has no `fflab %s`", step->command);
    base.word_count = 0; /* the name of the study */
    /* Roofs go into the cache folder, and from there with the first bench into the journal. */
    base.value[FFL_OPT_OUT] = is_calibration(step) ? NULL : dir;
    for (int o = 0; o < FFL_OPT_COUNT; o++)
        if (!ffl_command_takes(base.command, (ffl_option)o))
            base.value[o] = NULL;
    base.value[FFL_OPT_BUDGET] = NULL;
    if (budget_s > 0 && ffl_command_takes(base.command, FFL_OPT_BUDGET))
        snprintf(out->line, sizeof out->line, "%s --budget %.0fs", step->line, budget_s > 1 ? budget_s : 1);
    else
        snprintf(out->line, sizeof out->line, "%s", step->line);
    FFL_TRY(ffl_options_merge_line(&base, out->line, &out->options));
    const ffl_status status = base.command->validate ? base.command->validate(&out->options) : FFL_OK;
    if (status != FFL_OK)
        ffl_options_free(&out->options);
    return status;
}

/* 0: no limit. */
static ffl_status total_budget(const ffl_options *options, const ffl_study *study, double *out)
{
    return ffl_option_duration(options, FFL_OPT_BUDGET,
                               ffl_option_given(options, FFL_OPT_FULL) ? 0 : study->budget_s, out);
}

/* Everything that can be refused is refused before the first step runs. */
static ffl_status validate(const ffl_options *options)
{
    const ffl_study *study;
    double budget;
    size_t part, parts;
    FFL_TRY(find_study(options, &study));
    FFL_TRY(total_budget(options, study, &budget));
    FFL_TRY(ffl_option_shard(options, &part, &parts));
    for (const ffl_study_step *step = study->steps; step->command; step++) {
        job j;
        const char *why;
        if (is_calibration(step) || !runs_here(step, &why))
            continue; /* what cannot be measured is told, and rows go without that roof */
        FFL_TRY(make_job(options, step, ".", budget, &j));
        ffl_options_free(&j.options);
    }
    return FFL_OK;
}

static double shares_from(const ffl_study_step *step)
{
    double shares = 0;
    const char *why;
    for (; step->command; step++)
        shares += runs_here(step, &why) ? step->share : 0;
    return shares;
}

/* What is left of the budget, by parts: a step that took less leaves more to the later ones. One that took
 * more takes nothing from them: each has its own part of the whole at least. */
static double budget_of(const ffl_study *study, const ffl_study_step *step, double total, double spent)
{
    const double left = (total - spent) * step->share / shares_from(step);
    const double own = total * step->share / shares_from(study->steps);
    return left > own ? left : own;
}

/* Nothing that it measures is a result, and without it rows only lack their roofs: whatever happens here is
 * told, and the study goes on. */
static ffl_status calibrate(const ffl_options *options, const ffl_study_step *step, double budget_s)
{
    job j;
    int code;
    bool fresh = false;
    ffl_status status = make_job(options, step, ".", budget_s, &j);
    if (status == FFL_OK) {
        status = ffl_roofs_are_fresh(&j.options, roofs_last_s, &fresh);
        if (fresh)
            puts("the roofs of this machine were measured less than a day ago; fflab calibrate does it anew");
        else if (status == FFL_OK)
            status = j.options.command->run(&j.options, &code);
        ffl_options_free(&j.options);
    }
    if (status != FFL_OK && status != FFL_INTERRUPTED)
        fprintf(stderr, "fflab: calibrate: %s; rows of this study have no share of a roof\n", ffl_error());
    return status == FFL_INTERRUPTED ? status : FFL_OK;
}

/* A step that fails is told and the next one runs, unless nothing could be written any more. */
static ffl_status run_step(const ffl_options *options, const ffl_study *study, const ffl_study_step *step,
                           const char *dir, double budget_s, int *exit_code)
{
    job j;
    int code = FFL_EXIT_GOOD;
    const char *why;
    if (!runs_here(step, &why)) {
        printf("left out: %s\n", why);
        return FFL_OK;
    }
    if (is_calibration(step))
        return calibrate(options, step, budget_s);
    FFL_TRY(make_job(options, step, dir, budget_s, &j));
    const ffl_status status = j.options.command->run(&j.options, &code);
    ffl_options_free(&j.options);
    if (status != FFL_OK) {
        code = FFL_EXIT_USAGE;
        if (status != FFL_INTERRUPTED)
            fprintf(stderr, "fflab: study %s, step %zu: %s\n", study->name, (size_t)(step - study->steps) + 1,
                    ffl_error());
    }
    *exit_code = ffl_exit_graver(*exit_code, code);
    return status == FFL_INTERRUPTED || status == FFL_IO || status == FFL_NO_MEMORY ? status : FFL_OK;
}

static ffl_status run_steps(const ffl_options *options, const ffl_study *study, const char *dir,
                            int *exit_code)
{
    double total;
    const double start = now_s();
    size_t count = 0;
    FFL_TRY(total_budget(options, study, &total));
    while (study->steps[count].command)
        count++;
    for (const ffl_study_step *step = study->steps; step->command; step++) {
        const size_t number = (size_t)(step - study->steps);
        printf("%sstudy %s, step %zu of %zu: fflab %s %s\n", number ? "\n" : "", study->name, number + 1,
               count, step->command, step->line);
        fflush(stdout);
        FFL_TRY(
            run_step(options, study, step, dir, budget_of(study, step, total, now_s() - start), exit_code));
    }
    return FFL_OK;
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    const ffl_study *study;
    char dir[FFL_PATH_MAX], journal[FFL_PATH_MAX];
    const char *const runs[] = {dir};
    FFL_TRY(find_study(options, &study));
    FFL_TRY(ffl_results_dir(options, dir));
    FFL_TRY(ffl_results_path(dir, FFL_JOURNAL_FILE, journal));
    *exit_code = FFL_EXIT_NOTHING_RAN;
    const ffl_status status = run_steps(options, study, dir, exit_code);
    if (access(journal, F_OK) != 0) {
        if (status == FFL_OK)
            puts("nothing ran: there is nothing to report");
        return status;
    }
    char why[1024];
    snprintf(why, sizeof why, "%s", ffl_error());
    putchar('\n');
    const ffl_status reported = ffl_report_make(runs, 1, dir);
    if (status != FFL_OK)
        return ffl_fail(status, "%s", why); /* the first failure is the one to tell */
    return reported;
}

static const ffl_option study_options[] = {
    FFL_OPT_VARIANT, FFL_OPT_EXCLUDE, FFL_OPT_PLUGIN,       FFL_OPT_PROCESS,
    FFL_OPT_THREADS, FFL_OPT_CPUS,    FFL_OPT_SEED,         FFL_OPT_BUDGET,
    FFL_OPT_OUT,     FFL_OPT_RESUME,  FFL_OPT_SHARD,        FFL_OPT_FULL,
    FFL_OPT_STRICT,  FFL_OPT_TIMEOUT, FFL_OPT_BLAS_LIBRARY, FFL_OPT_KEEP_BLAS_ENVIRONMENT,
    FFL_OPT_COUNT};

const ffl_command ffl_command_study = {
    .name = "study",
    .summary = "check, bench, encoder and report in one go",
    .usage = "[NAME] [--out DIR]",
    .help =
        "Studies:\n"
        "  paper   H=768, 1x11 against 4095 and 3072 dense neurons, batches 1 to 16384 (default); 12 to "
        "14 minutes\n"
        "  trees   the trained family 3072x0, 1536x1 … 1x11, our kernels and the libraries' best; 10 "
        "minutes\n"
        "  depth   one tree of depth 3 to 15, likewise; 5 minutes\n"
        "  peers   leaf trees, mixtures of experts and PyTorch beside 1x11, also on a device; 12 minutes\n"
        "  threads one thread against two, likewise; 5 minutes\n"
        "  encoder whole passes of UltraFastBERT, 1 x 32 to 64 x 512 tokens, against their ceilings; half an "
        "hour\n"
        "  smoke   a layer of 15 neurons, in seconds: does everything work here?\n\n"
        "Verifies every variant, times what passed, and writes report.html and report.md into one folder; a "
        "case "
        "whose\n"
        "single call would take too long runs a smaller batch and is marked. All but smoke calibrate first, "
        "a "
        "dozen\n"
        "seconds, unless this build did so on this machine within a day: rows then name their roof. Ctrl-C "
        "keeps\n"
        "what is finished and reports it; --resume goes on. The exit code is the gravest of the steps.\n\n"
        "Examples:\n"
        "  fflab study\n"
        "  fflab study --full --out full                    every case at full size\n"
        "  fflab study --shard 2/4 --out part2              on four machines; then fflab report part* "
        "--out all\n"
        "  fflab study --plugin ./mine.so                   with a kernel of your own\n"
        "  fflab study --process mine.json                  with a program of your own "
        "(harness/peers/README.md)\n"
        "  fflab study --resume                             the newest one, where it stopped\n",
    .options = study_options,
    .words_max = 1,
    .validate = validate,
    .run = run,
};
