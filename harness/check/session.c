#include "harness/check/session.h"
#include "harness/check/check_record.h"
#include "harness/check/job.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One job: a case, and which of the session's variants are still to be tried on it. */
typedef struct task {
    const ffl_check_case *item;
    unsigned char *wanted; /* [variant_count] */
    json_t *request;
    long at;         /* variant being tried, -1 before the first */
    char fault[192]; /* what its last access broke, "" when nothing */
    bool alone;      /* a second try, with one variant */
    bool again;      /* a second try, of the whole: a worker died before it came to the first variant */
} task;

typedef struct work {
    const ffl_session *session;
    task *tasks;
    size_t count, capacity;
    unsigned char *hung; /* [variant_count]: not tried again */
    size_t done;         /* variants x cases */
    size_t verdicts[FFL_VERDICT_COUNT];
    double start_s;
    ffl_operation operation;
    int threads;
} work;

static double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool is_wanted(const ffl_session *s, const ffl_variant *variant, const ffl_check_case *item)
{
    char key[sizeof((ffl_record *)0)->key];
    if (variant->operation != item->shape.operation)
        return false;
    ffl_check_key(variant, item, key, sizeof key);
    return !s->journal || !ffl_journal_has(s->journal, key);
}

size_t ffl_session_cases(const ffl_session *session, const ffl_variant *variant)
{
    size_t count = 0;
    for (size_t c = 0; c < session->cases->count; c++)
        count += is_wanted(session, variant, &session->cases->items[c]);
    return count;
}

size_t ffl_session_finished(const ffl_session *session, const ffl_variant *variant)
{
    size_t count = 0;
    for (size_t c = 0; c < session->cases->count; c++)
        count += session->cases->items[c].shape.operation == variant->operation;
    return count - ffl_session_cases(session, variant);
}

/* ---- Tasks ---- */

static ffl_status add_task(work *w, const ffl_check_case *item, task **out)
{
    if (w->count == w->capacity) {
        task *grown = realloc(w->tasks, (2 * w->capacity + 64) * sizeof *grown);
        if (!grown)
            return ffl_fail(FFL_NO_MEMORY, "no memory for the check's jobs");
        w->tasks = grown;
        w->capacity = 2 * w->capacity + 64;
    }
    task *t = &w->tasks[w->count];
    *t = (task){.item = item, .at = -1, .wanted = calloc(w->session->variant_count, 1)};
    t->request = ffl_check_request(item, w->session->parallel > 0);
    if (!t->wanted || !t->request) {
        free(t->wanted);
        json_decref(t->request);
        return ffl_fail(FFL_NO_MEMORY, "no memory for the check's jobs");
    }
    w->count++;
    *out = t;
    return FFL_OK;
}

static void free_tasks(work *w)
{
    for (size_t i = 0; i < w->count; i++) {
        free(w->tasks[i].wanted);
        json_decref(w->tasks[i].request);
    }
    free(w->tasks);
    w->tasks = NULL;
    w->count = w->capacity = 0;
}

/* What runs at the same time: one operation (the cheap ones first), on one thread or on `threads`. */
static bool in_phase(const work *w, const ffl_variant *variant, const ffl_check_case *item)
{
    const int threads = variant->threaded ? item->threads : 1;
    return variant->operation == w->operation && threads == w->threads;
}

static ffl_status add_first_tasks(work *w)
{
    const ffl_session *s = w->session;
    for (size_t c = 0; c < s->cases->count; c++) {
        const ffl_check_case *item = &s->cases->items[c];
        task *t = NULL;
        for (size_t v = 0; v < s->variant_count; v++)
            if (in_phase(w, s->variants[v], item) && is_wanted(s, s->variants[v], item)) {
                if (!t)
                    FFL_TRY(add_task(w, item, &t));
                t->wanted[v] = 1;
            }
    }
    return FFL_OK;
}

/* ---- Findings ---- */

static ffl_status found(work *w, task *t, size_t v, const ffl_judgement *judgement)
{
    char note[128];
    t->wanted[v] = 0;
    w->done++;
    w->verdicts[judgement->verdict]++;
    ffl_verdict_counts(w->verdicts, note, sizeof note);
    ffl_progress_note(w->session->progress, 0, note);
    ffl_progress_show(w->session->progress, (double)w->done, w->session->variants[v]->name);
    return ffl_tally_add(w->session->tally, w->session->variants[v], t->item, judgement);
}

static ffl_status found_verdict(work *w, task *t, size_t v, ffl_verdict verdict, const char *first,
                                const char *second)
{
    ffl_judgement j = {.verdict = verdict, .flip_margin = NAN, .error_statistical = NAN, .error_worst = NAN};
    snprintf(j.reason, sizeof j.reason, "%s%s%s", first, *first && *second ? "; " : "", second);
    return found(w, t, v, &j);
}

static ffl_status skip_all(work *w, task *t, const char *why)
{
    for (size_t v = 0; v < w->session->variant_count; v++)
        if (t->wanted[v])
            FFL_TRY(found_verdict(w, t, v, FFL_SKIPPED, why, ""));
    return FFL_OK;
}

static long find_variant(const ffl_session *s, const json_t *name)
{
    for (size_t v = 0; name && v < s->variant_count; v++)
        if (strcmp(s->variants[v]->name, json_string_value(name)) == 0)
            return (long)v;
    return -1;
}

static ffl_status on_answer(void *user, size_t index, const json_t *line)
{
    work *w = user;
    task *t = &w->tasks[index];
    const json_t *declined = json_object_get(line, "declined"), *fault = json_object_get(line, "fault");
    if (declined)
        return skip_all(w, t, json_string_value(declined));
    if (fault) {
        snprintf(t->fault, sizeof t->fault, "%s", json_string_value(fault));
        return FFL_OK;
    }
    if (json_object_get(line, "at")) {
        t->at = find_variant(w->session, json_object_get(line, "at"));
        return FFL_OK;
    }
    const long v = find_variant(w->session, json_object_get(line, "result"));
    ffl_judgement judgement;
    if (v < 0)
        return ffl_fail(FFL_INTERNAL, "a check result of an unknown variant");
    FFL_TRY(ffl_judgement_from_json(line, &judgement));
    if (t->fault[0] == '\0' && t->alone && judgement.verdict == FFL_PASSED) {
        judgement.verdict = FFL_SUSPECT;
        snprintf(judgement.reason, sizeof judgement.reason,
                 "crashed when tried after other variants in one process; passed in a process of its own");
    }
    return found(w, t, (size_t)v, &judgement);
}

/* Decides late what a job holds: a variant that hung meanwhile is not tried again. */
static void on_start(void *user, size_t index)
{
    work *w = user;
    const ffl_session *s = w->session;
    task *t = &w->tasks[index];
    const bool late = s->budget_s > 0 && now_seconds() - w->start_s > s->budget_s;
    for (size_t v = 0; v < s->variant_count; v++)
        if (t->wanted[v] && !w->hung[v] && !late)
            ffl_check_request_add(t->request, s->variants[v]->name);
}

static ffl_status on_end(void *user, size_t index, ffl_job_end end, const char *message)
{
    work *w = user;
    const ffl_session *s = w->session;
    task *t = &w->tasks[index];
    const bool late = s->budget_s > 0 && now_seconds() - w->start_s > s->budget_s;
    if (end == FFL_JOB_TIMEOUT && t->at < 0)
        return skip_all(w, t, "making the data took longer than --timeout");
    if (end == FFL_JOB_CRASHED && t->at < 0 && !t->again) {
        /* Its data is the same in every process: what ran in this one before left something behind. */
        t->again = true;
        return ffl_tally_add_loss(s->tally, message);
    }
    if (end != FFL_JOB_DONE && t->at < 0)
        return ffl_fail(FFL_INTERNAL, "the check itself failed while making fixture %s: %s", t->item->fixture,
                        message);
    if (end == FFL_JOB_TIMEOUT && t->wanted[t->at]) {
        w->hung[t->at] = 1;
        FFL_TRY(found_verdict(w, t, (size_t)t->at, FFL_TIMEOUT, "hung", message));
    } else if (end == FFL_JOB_CRASHED && t->wanted[t->at] && (t->fault[0] || t->alone)) {
        FFL_TRY(found_verdict(w, t, (size_t)t->at, FFL_CRASHED, t->fault, message));
    }
    if (end == FFL_JOB_DONE) {
        for (size_t v = 0; v < s->variant_count; v++)
            if (t->wanted[v] && w->hung[v])
                FFL_TRY(found_verdict(w, t, v, FFL_SKIPPED, "hung in an earlier case", ""));
        if (late)
            FFL_TRY(skip_all(w, t, "the time of --budget is spent"));
    }
    return s->journal ? ffl_journal_flush(s->journal) : FFL_OK;
}

/* One more try of what is wanted of this task, in the variants `from` … `to` - 1. */
static ffl_status add_again(work *rest, const task *t, size_t from, size_t to)
{
    task *again;
    FFL_TRY(add_task(rest, t->item, &again));
    memcpy(again->wanted + from, t->wanted + from, to - from);
    again->alone = t->at == (long)from;
    again->again = t->again;
    return FFL_OK;
}

/* What a crash or a hang left untried: each variant alone, so that only the guilty one is lost. */
static ffl_status collect_rest(work *w, work *rest)
{
    const ffl_session *s = w->session;
    *rest = *w;
    rest->tasks = NULL;
    rest->count = rest->capacity = 0;
    for (size_t i = 0; i < w->count; i++) {
        const task *t = &w->tasks[i];
        if (t->at < 0 && memchr(t->wanted, 1, s->variant_count))
            FFL_TRY(add_again(rest, t, 0, s->variant_count));
        for (size_t v = 0; t->at >= 0 && v < s->variant_count; v++)
            if (t->wanted[v])
                FFL_TRY(add_again(rest, t, v, v + 1));
    }
    return FFL_OK;
}

static ffl_status run_tasks(work *w)
{
    const ffl_session *s = w->session;
    const ffl_job_listener listener = {.user = w, .answer = on_answer, .end = on_end, .start = on_start};
    size_t parallel = s->parallel / (size_t)w->threads;
    if (s->parallel > 0 && parallel == 0)
        parallel = 1;
    ffl_job *jobs = calloc(w->count + 1, sizeof *jobs);
    if (!jobs)
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu jobs", w->count);
    for (size_t i = 0; i < w->count; i++)
        jobs[i] = (ffl_job){.request = w->tasks[i].request,
                            .timeout_s = s->timeout_s,
                            .fresh = w->tasks[i].alone || w->tasks[i].again};
    const ffl_status status = ffl_jobs_run("check", s->options, jobs, w->count, parallel, &listener);
    free(jobs);
    return status;
}

/* Until nothing is left: what crashed or hung is taken up again. */
static ffl_status run_phase(work *w)
{
    ffl_status status = add_first_tasks(w);
    while (status == FFL_OK && w->count) {
        work rest = *w;
        status = run_tasks(w);
        if (status == FFL_OK)
            status = collect_rest(w, &rest);
        if (rest.tasks == w->tasks)
            break;
        free_tasks(w);
        *w = rest;
    }
    free_tasks(w);
    return status;
}

static int most_threads(const ffl_case_list *cases)
{
    int most = 1;
    for (size_t c = 0; c < cases->count; c++)
        most = cases->items[c].threads > most ? cases->items[c].threads : most;
    return most;
}

ffl_status ffl_session_run(const ffl_session *session)
{
    work w = {.session = session, .start_s = now_seconds(), .hung = calloc(session->variant_count + 1, 1)};
    const int most = most_threads(session->cases);
    ffl_status status = w.hung ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory for the check");
    for (int operation = FFL_OPERATION_COUNT - 1; operation >= FFL_FF && status == FFL_OK; operation--)
        for (int threads = 1; threads <= most && status == FFL_OK; threads++) {
            w.operation = (ffl_operation)operation;
            w.threads = threads;
            status = run_phase(&w);
        }
    free(w.hung);
    return status;
}
