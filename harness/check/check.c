/* `fflab check`: which variants are right, on which data, and how near their bounds they come. */
#include "harness/check/check_record.h"
#include "harness/check/external.h"
#include "harness/check/session.h"
#include "harness/check/shrink.h"
#include "harness/commands.h"
#include "harness/registry.h"
#include "harness/results.h"
#include "harness/selftest/score.h"
#include "harness/worker.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Programs have limits of their own, for interpreters that load their packages and for compilers. */
static const double default_timeout = 60, program_timeout = 600, default_shrink = 10;

typedef struct selection {
    const ffl_variant **variants; /* that can run here */
    const ffl_variant **absent;   /* and that cannot */
    size_t count, absent_count;
    bool operations[FFL_OPERATION_COUNT];
} selection;

static double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- What to check ---- */

static ffl_status read_classes(const ffl_options *options, ffl_word_list *out)
{
    FFL_TRY(ffl_option_words(options, FFL_OPT_CLASS, "f32,tf32,bf16,f16,int8", out));
    for (size_t i = 0; i < out->count; i++) {
        bool known = false;
        for (int type = 0; type < FFL_TYPE_COUNT && !known; type++)
            known = strcmp(out->value[i], ffl_type_name((ffl_type)type)) == 0;
        if (!known)
            return ffl_fail(FFL_BAD_INPUT, "--class %s: expected some of f32, tf32, bf16, f16, int8",
                            out->value[i]);
    }
    return FFL_OK;
}

static bool in_class(const ffl_variant *variant, const ffl_word_list *classes)
{
    for (size_t i = 0; i < classes->count; i++)
        if (strcmp(classes->value[i], ffl_type_name(variant->contract.weights)) == 0)
            return true;
    return false;
}

static void selection_free(selection *s)
{
    free(s->variants);
    free(s->absent);
}

static ffl_status select_variants(const ffl_options *options, selection *out)
{
    const size_t all = ffl_registry_count();
    ffl_word_list classes;
    *out = (selection){0};
    FFL_TRY(read_classes(options, &classes));
    out->variants = calloc(all + 1, sizeof(ffl_variant *));
    out->absent = calloc(all + 1, sizeof(ffl_variant *));
    if (!out->variants || !out->absent) {
        selection_free(out);
        return ffl_fail(FFL_NO_MEMORY, "no memory for the selection of variants");
    }
    /* The conditional ones first: they are quicker, and the first verdicts show early. */
    for (int operation = FFL_OPERATION_COUNT - 1; operation >= FFL_FF; operation--)
        for (size_t i = 0; i < all; i++) {
            const ffl_variant *v = ffl_registry_at(i);
            const char *why;
            if ((int)v->operation != operation || !ffl_option_selects(options, v) || !in_class(v, &classes))
                continue;
            if (ffl_variant_available(v, &why)) {
                out->variants[out->count++] = v;
                out->operations[operation] = true;
            } else {
                out->absent[out->absent_count++] = v;
            }
        }
    return FFL_OK;
}

/* A file without a tree still serves the dense variants: said, not fatal, unless nothing is left. */
static ffl_status list_cases(const ffl_options *options, const selection *selected, ffl_case_list *out)
{
    ffl_status first = FFL_OK;
    char message[1024] = "";
    *out = (ffl_case_list){0};
    for (int operation = FFL_OPERATION_COUNT - 1; operation >= FFL_FF; operation--) {
        if (!selected->operations[operation])
            continue;
        const ffl_status status = ffl_cases_from_options(options, (ffl_operation)operation, out);
        if (status != FFL_OK && (status != FFL_BAD_INPUT || first != FFL_OK))
            return status;
        if (status != FFL_OK) {
            first = status;
            snprintf(message, sizeof message, "%s", ffl_error());
        }
    }
    if (first != FFL_OK && out->count == 0)
        return ffl_fail(first, "%s", message);
    const char *fixture = options->value[FFL_OPT_FIXTURE];
    if (out->count == 0 && selected->count && fixture && strstr(fixture, "real:"))
        return ffl_fail(FFL_BAD_INPUT, "--fixture %s: no selected variant computes what the file holds",
                        fixture);
    if (first != FFL_OK)
        fprintf(stderr, "fflab: conditional variants are left out: %s\n", message);
    return FFL_OK;
}

static ffl_status keep_shard(const ffl_options *options, ffl_case_list *cases)
{
    size_t index, parts, kept = 0;
    FFL_TRY(ffl_option_shard(options, &index, &parts));
    for (size_t i = 0; i < cases->count; i++)
        if (i % parts == index - 1)
            cases->items[kept++] = cases->items[i];
    cases->count = kept;
    return FFL_OK;
}

/* --in-process serves debuggers: nothing is tried again there unless asked for. */
static ffl_status read_shrink(const ffl_options *options, double *seconds)
{
    const char *text = options->value[FFL_OPT_SHRINK];
    *seconds = 0;
    if (text && strcmp(text, "0") == 0)
        return FFL_OK;
    return ffl_option_duration(options, FFL_OPT_SHRINK,
                               ffl_option_given(options, FFL_OPT_IN_PROCESS) ? 0 : default_shrink, seconds);
}

static ffl_status validate(const ffl_options *options)
{
    double seconds;
    ffl_case_list cases;
    selection selected;
    FFL_TRY(ffl_external_validate(options));
    FFL_TRY(ffl_option_duration(options, FFL_OPT_TIMEOUT, default_timeout, &seconds));
    FFL_TRY(ffl_option_duration(options, FFL_OPT_BUDGET, 0, &seconds));
    FFL_TRY(read_shrink(options, &seconds));
    if (ffl_option_given(options, FFL_OPT_RESULT))
        return FFL_OK;
    FFL_TRY(select_variants(options, &selected));
    ffl_status status = list_cases(options, &selected, &cases);
    if (status == FFL_OK)
        status = keep_shard(options, &cases);
    ffl_cases_free(&cases);
    selection_free(&selected);
    return status;
}

/* ---- Running ---- */

static ffl_status expect_all(const ffl_session *session, const selection *selected, size_t *total,
                             size_t *finished)
{
    *total = *finished = 0;
    for (size_t i = 0; i < selected->absent_count; i++) {
        /* A device may be there next time: SKIPPED rows are tried again by --resume. */
        const bool device = selected->absent[i]->place == FFL_CUDA;
        ffl_judgement absent = {.verdict = device ? FFL_SKIPPED : FFL_UNSUPPORTED_HERE,
                                .flip_margin = NAN,
                                .error_statistical = NAN,
                                .error_worst = NAN};
        const char *why = "";
        ffl_variant_available(selected->absent[i], &why);
        snprintf(absent.reason, sizeof absent.reason, "%s", why);
        char key[sizeof((ffl_record *)0)->key];
        ffl_check_key(selected->absent[i], NULL, key, sizeof key);
        if (session->journal && ffl_journal_has(session->journal, key))
            continue;
        FFL_TRY(ffl_tally_expect(session->tally, selected->absent[i], 1));
        FFL_TRY(ffl_tally_add(session->tally, selected->absent[i], NULL, &absent));
    }
    for (size_t i = 0; i < selected->count; i++) {
        const size_t cases = ffl_session_cases(session, selected->variants[i]);
        FFL_TRY(ffl_tally_expect(session->tally, selected->variants[i], cases));
        *total += cases;
        *finished += ffl_session_finished(session, selected->variants[i]);
    }
    return FFL_OK;
}

/* One case of every variant that failed; each gets an equal part of the time that is left. */
static ffl_status shrink_all(const ffl_session *session)
{
    const double start = now_seconds();
    double budget;
    char dir[FFL_PATH_MAX], folder[FFL_PATH_MAX];
    const ffl_variant *variant;
    ffl_check_case item;
    ffl_judgement found;
    size_t left = 0;
    for (size_t i = 0; i < ffl_tally_variants(session->tally); i++)
        left += ffl_tally_bad(session->tally, i, &variant, &item, &found);
    FFL_TRY(read_shrink(session->options, &budget));
    if (left == 0 || budget == 0)
        return FFL_OK;
    FFL_TRY(ffl_results_dir(session->options, dir));
    FFL_TRY(ffl_results_path(session->journal ? ffl_journal_dir(session->journal) : dir, "capsules", folder));
    FFL_TRY(ffl_results_create(folder));
    for (size_t i = 0; i < ffl_tally_variants(session->tally); i++) {
        ffl_shrunk shrunk;
        const double remaining = budget - (now_seconds() - start);
        if (!ffl_tally_bad(session->tally, i, &variant, &item, &found))
            continue;
        const ffl_shrink_request request = {.options = session->options,
                                            .dir = folder,
                                            .budget_s = remaining > 0 ? remaining / (double)left : 0,
                                            .timeout_s = session->timeout_s,
                                            .in_process = session->parallel == 0};
        left--;
        ffl_progress_show(session->progress, 0, variant->name);
        FFL_TRY(ffl_shrink_case(&request, variant, &item, &found, &shrunk));
        FFL_TRY(ffl_tally_add_capsule(session->tally, variant, &shrunk));
    }
    return FFL_OK;
}

static ffl_status run_session(const ffl_options *options, ffl_session *session, const selection *selected,
                              int *exit_code)
{
    const double start = now_seconds();
    size_t total, finished;
    FFL_TRY(ffl_tally_new(options, session->journal, &session->tally));
    char verifier[256];
    ffl_score_line(verifier, sizeof verifier);
    if (!ffl_option_given(options, FFL_OPT_JSON))
        printf("%s\n", verifier);
    ffl_status status = expect_all(session, selected, &total, &finished);
    session->progress = ffl_progress_new("checking", (double)total);
    ffl_tally_watch(session->tally, session->progress);
    if (status == FFL_OK)
        status = ffl_session_run(session);
    if (status == FFL_OK)
        status = shrink_all(session);
    if (status == FFL_OK || status == FFL_INTERRUPTED)
        ffl_tally_finish(session->tally, now_seconds() - start);
    *exit_code = ffl_tally_exit_code(session->tally);
    if (finished)
        fprintf(stderr, "fflab: %zu cases were in the journal already\n", finished);
    if (finished && *exit_code == FFL_EXIT_NOTHING_RAN)
        *exit_code = FFL_EXIT_GOOD;
    ffl_progress_free(session->progress);
    ffl_tally_free(session->tally);
    return status;
}

static ffl_status run_cases(const ffl_options *options, const selection *selected, const ffl_case_list *cases,
                            int *exit_code)
{
    ffl_session session = {.options = options,
                           .variants = selected->variants,
                           .variant_count = selected->count,
                           .cases = cases,
                           .parallel = (size_t)ffl_machine_host()->cpus};
    if (ffl_option_given(options, FFL_OPT_IN_PROCESS))
        session.parallel = 0;
    bool programs = false;
    for (size_t i = 0; i < selected->count; i++)
        programs = programs || selected->variants[i]->library == FFL_PROCESS;
    FFL_TRY(ffl_option_duration(options, FFL_OPT_TIMEOUT, programs ? program_timeout : default_timeout,
                                &session.timeout_s));
    FFL_TRY(ffl_option_duration(options, FFL_OPT_BUDGET, 0, &session.budget_s));
    if (ffl_option_given(options, FFL_OPT_OUT) || ffl_option_given(options, FFL_OPT_RESUME))
        FFL_TRY(ffl_journal_open(options, &session.journal));
    ffl_status status = run_session(options, &session, selected, exit_code);
    const ffl_status closed = session.journal ? ffl_journal_close(session.journal) : FFL_OK;
    return status == FFL_OK ? closed : status;
}

static ffl_status run(const ffl_options *options, int *exit_code)
{
    selection selected;
    ffl_case_list cases = {0};
    if (ffl_option_given(options, FFL_OPT_RESULT))
        return ffl_external_check(options, exit_code);
    FFL_TRY(select_variants(options, &selected));
    ffl_status status = list_cases(options, &selected, &cases);
    if (status == FFL_OK)
        status = keep_shard(options, &cases);
    if (status == FFL_OK)
        status = run_cases(options, &selected, &cases, exit_code);
    ffl_cases_free(&cases);
    selection_free(&selected);
    return status;
}

static const ffl_option check_options[] = {
    FFL_OPTIONS_OF_ROWS, FFL_OPTIONS_OF_JOBS, FFL_OPT_PLUGIN,       FFL_OPT_PROCESS,
    FFL_OPT_LEAF,        FFL_OPT_MOE,         FFL_OPT_PRESET,       FFL_OPT_FIXTURE,
    FFL_OPT_WEIGHTS,     FFL_OPT_INPUT,       FFL_OPT_RESULT,       FFL_OPT_CONTRACT,
    FFL_OPT_INVARIANCE,  FFL_OPT_PROPERTIES,  FFL_OPT_SHARD,        FFL_OPT_STRICT,
    FFL_OPT_SHRINK,      FFL_OPT_PROBLEMS,    FFL_OPT_BLAS_LIBRARY, FFL_OPT_KEEP_BLAS_ENVIRONMENT,
    FFL_OPT_COUNT};

const ffl_command ffl_command_check = {
    .name = "check",
    .summary = "verify variants against the double reference",
    .usage =
        "[-v GLOB] [--fixture NAME,… | --invariance | --properties] [--tree TxD] [--batch B,…] | --weights W "
        "--input X --result Y.npy",
    .help =
        "Every selected variant runs on made data (fixtures) in guarded memory, in a process that may crash, "
        "and\n"
        "each output row is compared with the double-precision reference within bounds that follow from the\n"
        "variant's numerics contract. Without a shape option: a design in which all pairs of fixture, "
        "shape,\n"
        "widths, batch, activation, threads, padding and alignment meet, and the paper's layer. With one: "
        "every\n"
        "combination of what is given. The seed also decides whether biases are zero, the padding of rows "
        "and\n"
        "the alignment, so the command at the end of a line repeats that line exactly.\n\n"
        "Fixtures: random, exact (no rounding anywhere: bits must match), ties (logits of exactly zero), "
        "margin\n"
        "(logits just inside and outside their bound), special (denormal, huge, NaN, Inf rows), collapsed "
        "(one\n"
        "path), thrash (every leaf or expert in turn), real:FILE.safetensors (a trained layer).\n\n"
        "Verdicts: PASSED; SUSPECT: right only within the worst-case bound; FAILED; CRASHED; TIMEOUT; "
        "UNSUPPORTED\n"
        "and SKIPPED say why and fail nothing. A flip is a token on another path than the reference's that\n"
        "rounding explains. WEAK: passed, but the data proves little. --result judges rows that another "
        "program\n"
        "computed. --out DIR keeps a journal.\n\n"
        "A failing case of each variant is then reduced while it fails (--shrink TIME) and saved as a "
        "capsule, a\n"
        "small file under capsules/ of the results folder, which `fflab replay` repeats and explains.\n\n"
        "--invariance varies what should not matter (calls, threads, batch, neighbours, order, addresses, "
        "strides,\n"
        "another instance, the caller's denormal mode) and says where a variant's bits stay the same, "
        "change\n"
        "within their bound, or break; a promise of its contract that is not kept is FAILED. --properties "
        "checks\n"
        "equations that need no reference: output weights that name the visited nodes, mirrored, scaled, "
        "shortened\n"
        "and relabelled trees. For --invariance --batch is the largest batch and --threads the most "
        "threads.\n\n"
        "Examples:\n"
        "  fflab check\n"
        "  fflab check -v 'fff_*' --tree 1x11 --batch 1,128\n"
        "  fflab check -v fff_naive --fixture real:layer.safetensors\n"
        "  fflab check -v 'moe_*' --moe 512x8:1,64x16:2 --width 256 --batch 1,33\n"
        "  fflab check --invariance --properties\n"
        "  fflab check --invariance -v 'fff_buckets_*' --tree 1x11 --threads 4\n"
        "  fflab check --process mine.json -v fff_mine      what a program of its own computes "
        "(harness/peers)\n"
        "  fflab check --plugin ./mine.so -v fff_mine --fixture ties,margin --in-process\n"
        "  fflab check --weights layer.safetensors --input x.npy --result y.npy --contract bf16\n",
    .options = check_options,
    .validate = validate,
    .run = run,
};
