/* `fflab selftest`: does the verifier reject what is wrong, and only that? */
#include "harness/check/checks.h"
#include "harness/commands.h"
#include "harness/selftest/calibration.h"
#include "harness/selftest/score.h"
#include "harness/selftest/timing.h"
#include <fnmatch.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const double default_timeout = 120;

static double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- Which mutants ---- */

static bool wanted(const ffl_options *options, const ffl_mutant *mutant)
{
    bool any = options->word_count == 0;
    for (size_t i = 0; i < options->word_count && !any; i++)
        any = fnmatch(options->words[i], mutant->variant.name, 0) == 0 ||
              strcmp(options->words[i], mutant->family) == 0;
    return any;
}

static size_t count_mutants(void)
{
    size_t count = 0;
    for (size_t f = 0; ffl_mutant_families[f]; f++)
        for (const ffl_mutant *m = ffl_mutant_families[f]; m->family; m++)
            count++;
    return count;
}

static ffl_status select_mutants(const ffl_options *options, ffl_drive *drive)
{
    drive->findings = calloc(count_mutants() + 1, sizeof *drive->findings);
    drive->count = 0;
    if (!drive->findings)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the self-test");
    for (size_t f = 0; ffl_mutant_families[f]; f++)
        for (const ffl_mutant *m = ffl_mutant_families[f]; m->family; m++)
            if (wanted(options, m))
                drive->findings[drive->count++].mutant = m;
    if (drive->count)
        return FFL_OK;
    free(drive->findings);
    drive->findings = NULL;
    return ffl_fail(FFL_BAD_INPUT, "selftest %s: no mutant and no family of that name", options->words[0]);
}

/* ---- Lines ---- */

static void print_finding(const ffl_finding *f)
{
    const ffl_mutant *m = f->mutant;
    const char *verdict = ffl_verdict_name(f->verdict);
    if (f->skipped)
        printf("  SKIPPED %s: %s\n", m->variant.name, f->reason);
    else if (ffl_mutant_honest(m) && !f->right)
        printf("  FALSE ALARM %s (%s): %s %s; %s\n", m->variant.name, m->variant.summary, verdict, f->reason,
               f->where);
    else if (!f->right && f->verdict == FFL_PASSED)
        printf("  SURVIVED %s (%s): passed %zu cases; repeat: ./fflab selftest %s\n", m->variant.name,
               m->variant.summary, f->cases, m->variant.name);
    else if (!f->right)
        printf("  WRONG REASON %s (%s): %s %s; expected %s; %s\n", m->variant.name, m->variant.summary,
               verdict, f->reason, m->expect[0], f->where);
}

static void print_details(const ffl_drive *d)
{
    for (size_t i = 0; i < d->count; i++) {
        const ffl_finding *f = &d->findings[i];
        if (f->right && !f->skipped)
            printf("  %-28s %s, %zu cases%s%s%s%s\n", f->mutant->variant.name, ffl_verdict_name(f->verdict),
                   f->cases, *f->reason ? ": " : "", f->reason, *f->where ? "; " : "", f->where);
    }
}

static void print_families(const ffl_drive *d)
{
    for (size_t f = 0; ffl_mutant_families[f]; f++) {
        const char *family = ffl_mutant_families[f]->family;
        size_t all = 0, right = 0, skipped = 0;
        if (f > 0 && strcmp(ffl_mutant_families[f - 1]->family, family) == 0)
            continue; /* the honest ones stand in two files */
        for (size_t i = 0; i < d->count; i++) {
            const ffl_finding *finding = &d->findings[i];
            if (strcmp(finding->mutant->family, family) != 0)
                continue;
            all += !finding->skipped;
            skipped += finding->skipped;
            right += !finding->skipped && finding->right;
        }
        if (all + skipped)
            printf("%-14s %3zu of %zu %s", family, right, all,
                   strcmp(family, "honest") == 0 ? "accepted" : "caught");
        if (skipped)
            printf(", %zu skipped", skipped);
        if (all + skipped)
            putchar('\n');
    }
}

static json_t *finding_to_json(const ffl_finding *f)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:s, s:s%, s:s, s:I}", "name", f->mutant->variant.name,
                     "family", f->mutant->family, "summary", f->mutant->variant.summary, "by",
                     f->mutant->by == FFL_BY_BENCH ? "bench" : "check", "skipped", f->skipped, "right",
                     f->right, "verdict", ffl_verdict_name(f->verdict), "reason", f->reason,
                     strlen(f->reason), "where", f->where, "cases", (json_int_t)f->cases);
}

static json_t *score_to_json(const ffl_score *s)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "mutants", (json_int_t)s->mutants, "caught",
                     (json_int_t)s->caught, "honest", (json_int_t)s->honest, "false_alarms",
                     (json_int_t)s->false_alarms, "skipped", (json_int_t)s->skipped);
}

/* ---- The checks that are left out, one after the other ---- */

typedef struct plan {
    ffl_word_list words;
    const char *names[FFL_CHECK_COUNT]; /* of checks to leave out */
    size_t count;
} plan;

static ffl_status make_plan(const ffl_options *options, plan *out)
{
    *out = (plan){0};
    if (!ffl_option_given(options, FFL_OPT_WITHOUT))
        return FFL_OK;
    FFL_TRY(ffl_option_words(options, FFL_OPT_WITHOUT, "", &out->words));
    for (size_t i = 0; i < out->words.count; i++) {
        if (strcmp(out->words.value[i], "each") == 0) {
            out->count = 0;
            for (int check = 0; check < FFL_CHECK_COUNT; check++)
                out->names[out->count++] = ffl_check_name((ffl_check)check);
            return FFL_OK;
        }
        const ffl_status status = ffl_check_leave_out(out->words.value[i]);
        ffl_check_restore_all();
        FFL_TRY(status);
        if (out->count == FFL_CHECK_COUNT)
            return ffl_fail(FFL_BAD_INPUT, "--without: more names than there are checks");
        out->names[out->count++] = out->words.value[i];
    }
    return FFL_OK;
}

/* What got away: the names, or "nothing". */
static void escaped(const ffl_drive *d, char *out, size_t size)
{
    snprintf(out, size, "%s", "");
    for (size_t i = 0; i < d->count; i++) {
        const ffl_finding *f = &d->findings[i];
        const char *name = strchr(f->mutant->variant.name, '_') + 1;
        if (!f->skipped && !f->right)
            snprintf(out + strlen(out), size - strlen(out), "%s%s", *out ? ", " : "",
                     strncmp(name, "mutant_", 7) == 0 ? name + 7 : name);
    }
}

/* One run; the document's object for it. */
static ffl_status run_once(ffl_drive *drive, const char *without, bool json, json_t *document,
                           ffl_score *score)
{
    char words[128], names[1024];
    drive->without = without;
    const double start = now_seconds();
    const size_t count = drive->count;
    for (size_t i = 0; i < count; i++)
        drive->findings[i] = (ffl_finding){.mutant = drive->findings[i].mutant};
    FFL_TRY(ffl_drive_run(drive));
    *score = ffl_drive_score(drive);
    ffl_score_words(score, words, sizeof words);
    escaped(drive, names, sizeof names);
    if (without && !json)
        printf("without %-16s %s%s%s; %.1f s\n", without, words, *names ? ": " : "", names,
               now_seconds() - start);
    if (without)
        json_array_append_new(
            json_object_get(document, "without"),
            json_pack("{s:s, s:o, s:s}", "check", without, "score", score_to_json(score), "escaped", names));
    fflush(stdout);
    return FFL_OK;
}

static void report(const ffl_drive *d, const ffl_score *score, bool json, json_t *document, double seconds)
{
    char words[128];
    json_object_set_new(document, "score", score_to_json(score));
    for (size_t i = 0; i < d->count; i++)
        json_array_append_new(json_object_get(document, "mutants"), finding_to_json(&d->findings[i]));
    if (json)
        return;
    if (d->options->word_count)
        print_details(d);
    for (size_t i = 0; i < d->count; i++)
        print_finding(&d->findings[i]);
    print_families(d);
    ffl_score_words(score, words, sizeof words);
    printf("verifier: %s", words);
    if (score->skipped)
        printf(", %zu skipped", score->skipped);
    printf("; %.1f s\n", seconds);
}

static int exit_code_of(const ffl_score *score)
{
    if (score->mutants + score->honest == 0)
        return FFL_EXIT_NOTHING_RAN;
    return score->caught < score->mutants || score->false_alarms ? FFL_EXIT_FAILED : FFL_EXIT_GOOD;
}

static ffl_status run_all(const ffl_options *options, ffl_drive *drive, const plan *p, int *exit_code)
{
    const bool json = ffl_option_given(options, FFL_OPT_JSON);
    const double start = now_seconds();
    json_t *document = json_pack("{s:[], s:[]}", "mutants", "without");
    ffl_score score, without;
    ffl_status status = run_once(drive, NULL, json, document, &score);
    if (status == FFL_OK) {
        report(drive, &score, json, document, now_seconds() - start);
        *exit_code = exit_code_of(&score);
        if (options->word_count == 0)
            ffl_score_store(&score);
    }
    for (size_t i = 0; i < p->count && status == FFL_OK; i++)
        status = run_once(drive, p->names[i], json, document, &without);
    if (json && status == FFL_OK) {
        json_dumpf(document, stdout, JSON_INDENT(1));
        putchar('\n');
    }
    json_decref(document);
    return status;
}

/* ---- Calibration ---- */

static ffl_status read_calibration(const ffl_options *options, ffl_calibration_request *out)
{
    enum { THREADS_MAX = 64 };
    const int cpus = ffl_machine_host()->cpus;
    size_t threads;
    FFL_TRY(ffl_option_size(options, FFL_OPT_CALIBRATE, 1, (size_t)1 << 40, 0, &out->logits));
    FFL_TRY(ffl_option_size(options, FFL_OPT_THREADS, 1, THREADS_MAX,
                            (size_t)(cpus < THREADS_MAX ? cpus : THREADS_MAX), &threads));
    FFL_TRY(ffl_option_seed(options, 1, &out->seed));
    out->threads = (int)threads;
    if (options->word_count || ffl_option_given(options, FFL_OPT_WITHOUT))
        return ffl_fail(FFL_BAD_INPUT, "--calibrate %s tries no mutants: leave out %s",
                        options->value[FFL_OPT_CALIBRATE],
                        options->word_count ? options->words[0] : "--without");
    return FFL_OK;
}

static ffl_status calibrate(const ffl_options *options, int *exit_code)
{
    ffl_calibration_request request;
    FFL_TRY(read_calibration(options, &request));
    const double start = now_seconds();
    ffl_calibration *calibration = calloc(1, sizeof *calibration);
    if (!calibration)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the calibration");
    const ffl_status status = ffl_calibration_run(&request, calibration);
    if (status == FFL_OK)
        *exit_code = ffl_calibration_report(calibration, now_seconds() - start,
                                            ffl_option_given(options, FFL_OPT_JSON));
    free(calibration);
    return status;
}

/* The clock's experiment shares no other options. */
static ffl_status check_timing(const ffl_options *options)
{
    const bool timing = ffl_option_given(options, FFL_OPT_TIMING);
    static const ffl_option others[] = {FFL_OPT_WITHOUT, FFL_OPT_CALIBRATE, FFL_OPT_THREADS};
    double seconds;
    if (timing && options->word_count)
        return ffl_fail(FFL_BAD_INPUT, "--timing takes no mutants ('%s')", options->words[0]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (timing && ffl_option_given(options, others[i]))
            return ffl_fail(FFL_BAD_INPUT, "--timing and %s do not go together", ffl_option_name(others[i]));
    if (!timing && ffl_option_given(options, FFL_OPT_BUDGET))
        return ffl_fail(FFL_BAD_INPUT, "--budget: only with --timing");
    return ffl_option_duration(options, FFL_OPT_BUDGET, 0, &seconds);
}

static ffl_status validate(const ffl_options *options)
{
    plan p;
    double seconds;
    uint64_t seed;
    ffl_drive drive = {.options = options};
    ffl_calibration_request calibration;
    FFL_TRY(check_timing(options));
    if (ffl_option_given(options, FFL_OPT_CALIBRATE))
        return read_calibration(options, &calibration);
    if (ffl_option_given(options, FFL_OPT_THREADS))
        return ffl_fail(FFL_BAD_INPUT, "--threads %s belongs to --calibrate",
                        options->value[FFL_OPT_THREADS]);
    FFL_TRY(make_plan(options, &p));
    FFL_TRY(ffl_option_duration(options, FFL_OPT_TIMEOUT, default_timeout, &seconds));
    FFL_TRY(ffl_option_seed(options, 1, &seed));
    FFL_TRY(select_mutants(options, &drive));
    free(drive.findings);
    return FFL_OK;
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    plan p;
    ffl_drive drive = {.options = options};
    if (ffl_option_given(options, FFL_OPT_CALIBRATE))
        return calibrate(options, exit_code);
    if (ffl_option_given(options, FFL_OPT_TIMING))
        return ffl_timing_run(options, exit_code);
    FFL_TRY(make_plan(options, &p));
    FFL_TRY(ffl_option_duration(options, FFL_OPT_TIMEOUT, default_timeout, &drive.timeout_s));
    FFL_TRY(ffl_option_seed(options, 1, &drive.seed));
    FFL_TRY(select_mutants(options, &drive));
    const ffl_status status = run_all(options, &drive, &p, exit_code);
    free(drive.findings);
    return status;
}

static const ffl_option selftest_options[] = {
    FFL_OPT_WITHOUT, FFL_OPT_CALIBRATE, FFL_OPT_THREADS,
    FFL_OPT_TIMING,  FFL_OPT_BUDGET,    FFL_OPT_SEED,
    FFL_OPT_TIMEOUT, FFL_OPT_JSON,      FFL_OPT_KEEP_BLAS_ENVIRONMENT,
    FFL_OPT_COUNT,
};

const ffl_command ffl_command_selftest = {
    .name = "selftest",
    .summary = "does the verifier catch planted bugs, and only those?",
    .usage = "[MUTANT|FAMILY]… [--without CHECK,…] | --calibrate LOGITS [--threads N] | --timing "
             "[--budget TIME]",
    .help =
        "Variants that are wrong on purpose (\"mutants\") go through the default design of `check`, and "
        "those "
        "that\n"
        "only the clock tempts through `bench`. Each must be rejected for the right reason, and some honest\n"
        "variants that look odd must pass. Exit code 2 when one got away or an honest one was rejected.\n\n"
        "--without leaves out one check at a time and shows what gets away then: what each is worth.\n"
        "`--without each` takes all in turn. Names and meanings: harness/check/README.md.\n\n"
        "--calibrate computes so many logits per kernel as honest kernels of each type do (f32 in several "
        "orders,\n"
        "tf32, bf16, f16, int8), on data that is hard to bound, and prints the largest error in units of "
        "the\n"
        "statistical bound that `check` uses. Exit code 2 when a single one is beyond it.\n\n"
        "--timing asks the same of the clock: a program timed against its twin must show no difference, and "
        "a\n"
        "planted slowdown of 5 % must be found, both in 95 of 100 comparisons; --budget says how long (4m). "
        "The\n"
        "number of pairs of slices that it takes is kept, and `fflab compare` takes so many. Exit code 2 "
        "when not.\n\n"
        "The score of a run over everything is kept; `check` and `report` show it.\n\n"
        "Examples:\n"
        "  fflab selftest\n"
        "  fflab selftest memory 'fff_mutant_ti*'\n"
        "  fflab selftest --without fence-after,ties\n"
        "  fflab selftest --calibrate 100000000\n"
        "  fflab selftest --timing\n",
    .options = selftest_options,
    .words_max = 64,
    .validate = validate,
    .run = run,
};
