#include "harness/selftest/drive.h"
#include "harness/bench/groups.h"
#include "harness/check/cases.h"
#include "harness/check/checks.h"
#include "harness/check/job.h"
#include "harness/progress.h"
#include "harness/worker.h"
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HONEST_SLICES = 8, HANGS_AFTER_S = 6 };

bool ffl_mutant_expects(const ffl_mutant *mutant, ffl_verdict verdict, const char *reason)
{
    char text[640];
    snprintf(text, sizeof text, "%s %s", ffl_verdict_name(verdict), reason);
    for (size_t i = 0; i < sizeof mutant->expect / sizeof *mutant->expect && mutant->expect[i]; i++)
        if (fnmatch(mutant->expect[i], text, 0) == 0)
            return true;
    return false;
}

/* ---- Jobs ---- */

/* One mutant on all cases or on one group of bench; or all honest ones on a slice of the cases. */
typedef struct work_item {
    ffl_finding *finding; /* NULL: honest ones, found by name */
    json_t *request;
    const ffl_check_case *cases; /* NULL: bench */
    size_t at;
    char fault[192];
    ffl_finding *current; /* of the last "at" */
} work_item;

typedef struct work {
    ffl_drive *drive;
    ffl_case_list cases[FFL_OPERATION_COUNT];    /* of each, cheap ones first */
    ffl_check_case *sliced[FFL_OPERATION_COUNT]; /* the same, in the order of the honest ones' slices */
    work_item *items;
    size_t count, capacity, done;
    ffl_progress *progress;
} work;

static ffl_finding *finding_of(work *w, const char *name)
{
    for (size_t i = 0; name && i < w->drive->count; i++)
        if (strcmp(w->drive->findings[i].mutant->variant.name, name) == 0)
            return &w->drive->findings[i];
    return NULL;
}

static ffl_status add_item(work *w, ffl_finding *finding, json_t *request, const ffl_check_case *cases)
{
    if (w->count == w->capacity) {
        work_item *grown = realloc(w->items, (2 * w->capacity + 64) * sizeof *grown);
        if (!grown)
            return ffl_fail(FFL_NO_MEMORY, "no memory for the self-test's jobs");
        w->items = grown;
        w->capacity = 2 * w->capacity + 64;
    }
    if (!request)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the self-test's jobs");
    if (w->drive->without)
        json_object_set_new(request, "without", json_string(w->drive->without));
    w->items[w->count++] = (work_item){.finding = finding, .request = request, .cases = cases};
    return FFL_OK;
}

static json_t *cases_to_json(const ffl_check_case *cases, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, ffl_case_to_json(&cases[i]));
    return list;
}

/* ---- The design ---- */

static double cost_of(const ffl_check_case *c)
{
    const ffl_layer *s = &c->shape;
    const size_t gates = s->operation == FFL_MOE ? s->gates : s->levels;
    const double visited = s->operation == FFL_FFF  ? (double)(s->trees * s->levels)
                           : s->operation == FFL_FF ? (double)s->neurons
                                                    : (double)(gates + s->chosen * s->expert_width);
    return (double)ffl_layer_bytes(s) / 8 + (double)c->batch * visited * (double)(s->width_in + s->width_out);
}

static int cheaper(const void *a, const void *b)
{
    const double x = cost_of(a), y = cost_of(b);
    return (x > y) - (x < y);
}

static bool left_out(const char *without, ffl_check check)
{
    return without && strcmp(without, ffl_check_name(check)) == 0;
}

static ffl_status make_cases(ffl_drive *d, ffl_operation operation, ffl_case_list *out)
{
    *out = (ffl_case_list){0};
    ffl_check_restore_all();
    FFL_TRY(ffl_cases_default(operation, d->seed, out));
    if (!left_out(d->without, FFL_CHECK_FRESH_SEED))
        FFL_TRY(ffl_cases_fresh(operation, out));
    size_t kept = 0;
    for (size_t i = 0; i < out->count; i++) {
        ffl_check_case item = out->items[i];
        const ffl_check fixture = ffl_check_of_fixture(item.fixture);
        if (fixture < FFL_CHECK_COUNT && left_out(d->without, fixture))
            continue;
        if (item.batch == FFL_MANY_TOKENS && left_out(d->without, FFL_CHECK_MANY_TOKENS))
            continue;
        if (left_out(d->without, FFL_CHECK_THREADS))
            item.threads = 1;
        out->items[kept++] = item;
    }
    out->count = kept;
    qsort(out->items, out->count, sizeof *out->items, cheaper);
    return FFL_OK;
}

static ffl_status add_check(work *w, ffl_finding *f)
{
    const ffl_case_list *cases = &w->cases[f->mutant->variant.operation];
    return add_item(w, f,
                    json_pack("{s:[s], s:o}", "mutants", f->mutant->variant.name, "cases",
                              cases_to_json(cases->items, cases->count)),
                    cases->items);
}

static json_t *honest_names(const ffl_drive *d, ffl_operation operation)
{
    json_t *names = json_array();
    for (size_t i = 0; i < d->count; i++) {
        const ffl_finding *f = &d->findings[i];
        if (ffl_mutant_honest(f->mutant) && !f->skipped && f->mutant->variant.operation == operation)
            json_array_append_new(names, json_string(f->mutant->variant.name));
    }
    return names;
}

/* Honest ones share data and references; a slice takes every n-th case, so that all take about as long. */
static ffl_status add_honest(work *w, ffl_operation operation)
{
    const ffl_case_list *all = &w->cases[operation];
    ffl_check_case *sliced = w->sliced[operation] = calloc(all->count + 1, sizeof *sliced);
    if (!sliced)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the self-test's jobs");
    json_t *names = honest_names(w->drive, operation);
    ffl_status status = FFL_OK;
    for (size_t slice = 0; status == FFL_OK && slice < HONEST_SLICES && json_array_size(names); slice++) {
        size_t count = 0;
        for (size_t i = slice; i < all->count; i += HONEST_SLICES)
            sliced[count++] = all->items[i];
        json_t *request = json_pack("{s:O, s:o}", "mutants", names, "cases", cases_to_json(sliced, count));
        status = add_item(w, NULL, request, sliced);
        sliced += count;
    }
    json_decref(names);
    return status;
}

/* ---- Bench ---- */

static ffl_status add_group(work *w, ffl_finding *f, size_t depth, size_t width, size_t batch)
{
    ffl_group group = {.batch = batch,
                       .routing = "uniform",
                       .threads = 1,
                       .seed = w->drive->seed,
                       .row_seconds = 0.03,
                       .rows = &(ffl_group_row){.variant = &f->mutant->variant},
                       .row_count = 1};
    FFL_TRY(ffl_layer_fff(width, width, 1, ffl_levels_from_depth(depth), &group.tree));
    group.rows->shape = group.tree;
    if (f->mutant->variant.operation == FFL_FF)
        FFL_TRY(ffl_layer_ff(width, width, group.tree.neurons, &group.rows->shape));
    json_t *json = ffl_group_to_json(&group);
    return add_item(w, f, json ? json_pack("{s:o}", "group", json) : NULL, NULL);
}

static ffl_status add_bench(work *w, ffl_finding *f)
{
    FFL_TRY(add_group(w, f, 5, 64, 1));
    FFL_TRY(add_group(w, f, 5, 64, 16));
    return add_group(w, f, 4, 32, 4096);
}

static ffl_status add_items(work *w)
{
    for (int operation = FFL_FF; operation < FFL_OPERATION_COUNT; operation++) {
        FFL_TRY(make_cases(w->drive, (ffl_operation)operation, &w->cases[operation]));
        FFL_TRY(add_honest(w, (ffl_operation)operation));
    }
    for (size_t i = 0; i < w->drive->count; i++) {
        ffl_finding *f = &w->drive->findings[i];
        if (f->skipped || ffl_mutant_honest(f->mutant))
            continue;
        FFL_TRY(f->mutant->by == FFL_BY_BENCH ? add_bench(w, f) : add_check(w, f));
    }
    return FFL_OK;
}

/* ---- Answers ---- */

/* The first rejection counts, until one comes that is for the right reason. */
static void found(ffl_finding *f, ffl_verdict verdict, const char *reason, const char *where)
{
    if (verdict == FFL_UNSUPPORTED_HERE || verdict == FFL_SKIPPED)
        return;
    f->cases++;
    if (verdict == FFL_PASSED)
        return;
    const bool right = !ffl_mutant_honest(f->mutant) && ffl_mutant_expects(f->mutant, verdict, reason);
    if (f->verdict != FFL_PASSED && (!right || f->right))
        return;
    f->verdict = verdict;
    f->right = right;
    snprintf(f->reason, sizeof f->reason, "%s", reason);
    snprintf(f->where, sizeof f->where, "%s", where);
}

static void words_of(const work_item *item, size_t index, const ffl_finding *f, char *out, size_t size)
{
    const ffl_check_case *c = &item->cases[index];
    ffl_case_words(c, f->mutant->variant.threaded ? c->threads : 1, out, size);
}

static ffl_status on_record(work_item *item, const json_t *record)
{
    const char *verdict = json_string_value(json_object_get(record, "verdict"));
    const char *reason = json_string_value(json_object_get(record, "reason"));
    const json_t *batch = json_object_get(record, "batch");
    char where[64];
    snprintf(where, sizeof where, "bench, %lld tokens per call", (long long)json_integer_value(batch));
    for (int v = 0; verdict && v < FFL_VERDICT_COUNT; v++)
        if (strcmp(verdict, ffl_verdict_name((ffl_verdict)v)) == 0)
            found(item->finding, (ffl_verdict)v, reason ? reason : "", where);
    return FFL_OK;
}

static ffl_status on_answer(void *user, size_t index, const json_t *line)
{
    work *w = user;
    work_item *item = &w->items[index];
    const json_t *fault = json_object_get(line, "fault"), *record = json_object_get(line, "record");
    if (record)
        return on_record(item, record);
    if (!item->cases)
        return FFL_OK; /* bench at work */
    if (fault) {
        snprintf(item->fault, sizeof item->fault, "%s", json_string_value(fault));
        return FFL_OK;
    }
    if (json_object_get(line, "at")) {
        item->at = (size_t)json_integer_value(json_object_get(line, "at"));
        item->current = finding_of(w, json_string_value(json_object_get(line, "mutant")));
        return FFL_OK;
    }
    ffl_judgement judgement;
    char where[384];
    ffl_finding *f = finding_of(w, json_string_value(json_object_get(line, "result")));
    if (!f)
        return ffl_fail(FFL_INTERNAL, "a result of an unknown mutant");
    FFL_TRY(ffl_judgement_from_json(line, &judgement));
    words_of(item, item->at, f, where, sizeof where);
    found(f, judgement.verdict, judgement.reason, where);
    return FFL_OK;
}

static ffl_status on_end(void *user, size_t index, ffl_job_end end, const char *message)
{
    work *w = user;
    work_item *item = &w->items[index];
    ffl_finding *f = item->finding ? item->finding : item->current;
    ffl_progress_show(w->progress, (double)++w->done, f ? f->mutant->variant.name : "");
    if (end == FFL_JOB_DONE || !f)
        return end == FFL_JOB_DONE ? FFL_OK : ffl_fail(FFL_INTERNAL, "a self-test's worker %s", message);
    char reason[384], where[384] = "bench";
    snprintf(reason, sizeof reason, "%s%s%s", item->fault, *item->fault ? "; " : "", message);
    if (item->cases)
        words_of(item, item->at, f, where, sizeof where);
    found(f, end == FFL_JOB_TIMEOUT ? FFL_TIMEOUT : FFL_CRASHED, reason, where);
    return FFL_OK;
}

/* ---- All of it ---- */

static ffl_status run_items(work *w)
{
    const ffl_job_listener listener = {.user = w, .answer = on_answer, .end = on_end};
    ffl_job *jobs = calloc(w->count + 1, sizeof *jobs);
    if (!jobs)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the self-test's jobs");
    for (size_t i = 0; i < w->count; i++) {
        const ffl_finding *f = w->items[i].finding;
        const bool hangs = f && strncmp(f->mutant->expect[0], "TIMEOUT", 7) == 0;
        jobs[i] = (ffl_job){.request = w->items[i].request,
                            .timeout_s = hangs ? HANGS_AFTER_S : w->drive->timeout_s};
    }
    const ffl_status status = ffl_jobs_run("selftest", w->drive->options, jobs, w->count,
                                           (size_t)ffl_machine_host()->cpus, &listener);
    free(jobs);
    return status;
}

ffl_status ffl_drive_run(ffl_drive *drive)
{
    work w = {.drive = drive};
    for (size_t i = 0; i < drive->count; i++) {
        ffl_finding *f = &drive->findings[i];
        const char *why;
        f->skipped = !ffl_mutant_runs(f->mutant, &why);
        f->right = ffl_mutant_honest(f->mutant);
        snprintf(f->reason, sizeof f->reason, "%s", f->skipped ? why : "");
    }
    ffl_status status = add_items(&w);
    w.progress = ffl_progress_new("trying mutants", (double)w.count);
    if (status == FFL_OK)
        status = run_items(&w);
    ffl_progress_clear(w.progress);
    ffl_progress_free(w.progress);
    for (size_t i = 0; i < w.count; i++)
        json_decref(w.items[i].request);
    free(w.items);
    for (int operation = FFL_FF; operation < FFL_OPERATION_COUNT; operation++) {
        ffl_cases_free(&w.cases[operation]);
        free(w.sliced[operation]);
    }
    return status;
}

ffl_score ffl_drive_score(const ffl_drive *drive)
{
    ffl_score score = {0};
    for (size_t i = 0; i < drive->count; i++) {
        const ffl_finding *f = &drive->findings[i];
        if (f->skipped) {
            score.skipped++;
        } else if (ffl_mutant_honest(f->mutant)) {
            score.honest++;
            score.false_alarms += !f->right || f->cases == 0;
        } else {
            score.mutants++;
            score.caught += f->right;
        }
    }
    return score;
}
