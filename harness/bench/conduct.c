#include "harness/bench/conduct.h"
#include "harness/bench/clock.h"
#include "harness/bench/device_stage.h"
#include "harness/check/judge.h"
#include "harness/progress.h"
#include "harness/results.h"
#include "harness/roofs/roofs.h"
#include "harness/worker.h"
#include "reports/format.h"
#include "reports/speedup.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Timed calls of a row, without a budget; and its limits with one. */
static const double row_seconds = 0.25, row_seconds_min = 0.005, row_seconds_max = 5;
/* Share of a budget that goes to timed calls; the rest is preparation, probes, sweeps and judging. */
static const double timed_share = 0.5;

typedef struct pending {
    size_t group; /* index into the groups */
    json_t *request;
    size_t at;        /* row at work, or the number of rows before the first one */
    ffl_record *rows; /* of the group; a row has a verdict once it is over */
} pending;

typedef struct state {
    const ffl_conduct *conduct;
    ffl_group_list *groups;
    ffl_outcome *out;
    pending *jobs;
    size_t count;
    ffl_progress *progress;
    ffl_roofs roofs;           /* of this machine; none when it was not calibrated */
    bool roofs_written;        /* to the journal, as they are now */
    double start, done, total; /* rows */
    size_t verdicts[FFL_VERDICT_COUNT];
    double best; /* speed-up over the fastest dense row of its group */
} state;

static void free_rows(ffl_record *rows, size_t count)
{
    for (size_t i = 0; rows && i < count; i++)
        ffl_record_free(&rows[i]);
    free(rows);
}

/* ---- While a group runs ---- */

/* The time left is shared by the rows left. */
static void start(void *user, size_t index)
{
    state *s = user;
    const double asked = s->conduct->row_seconds;
    double seconds = asked > 0 ? asked : row_seconds;
    if (s->conduct->budget > 0) {
        const double left = s->conduct->budget - 1e-9 * (ffl_clock_ns() - s->start);
        const double most = asked > 0 ? asked : row_seconds_max;
        seconds = timed_share * left / (s->total - s->done > 1 ? s->total - s->done : 1);
        seconds = seconds < row_seconds_min ? row_seconds_min : seconds;
        seconds = seconds > most ? most : seconds;
    }
    json_object_set_new(s->jobs[index].request, "row_seconds", json_real(seconds));
}

static ffl_status take_record(state *s, pending *job, const json_t *line)
{
    const ffl_group *group = &s->groups->value[job->group];
    const json_int_t row = json_integer_value(json_object_get(line, "row"));
    if (row < 0 || (size_t)row >= group->row_count)
        return ffl_fail(FFL_INTERNAL, "a worker answered for a row that is not there");
    ffl_record_free(&job->rows[row]);
    ffl_record_init(&job->rows[row]);
    return ffl_record_from_json(json_object_get(line, "record"), &job->rows[row]);
}

static ffl_status answer(void *user, size_t index, const json_t *line)
{
    state *s = user;
    pending *job = &s->jobs[index];
    const ffl_group *group = &s->groups->value[job->group];
    if (json_object_get(line, "record"))
        return take_record(s, job, line);
    const json_int_t at = json_integer_value(json_object_get(line, "at"));
    if (at < 0 || (size_t)at >= group->row_count)
        return ffl_fail(FFL_INTERNAL, "a worker answered for a row that is not there");
    job->at = (size_t)at;
    char label[768];
    ffl_group_row_name(group, &group->rows[at], label, sizeof label);
    const double part = json_number_value(json_object_get(line, "part"));
    ffl_progress_show(s->progress, s->done + part * (double)group->row_count, label);
    return FFL_OK;
}

/* ---- When a group is over ---- */

static void count_row(ffl_outcome *out, const ffl_record *r)
{
    static const ffl_verdict bad[] = {FFL_SUSPECT, FFL_FAILED, FFL_CRASHED, FFL_TIMEOUT};
    out->rows++;
    out->timed += r->calls > 0;
    bool failed = r->implausible;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        failed = failed || strcmp(r->verdict, ffl_verdict_name(bad[i])) == 0;
    out->failed += failed;
    out->questionable += r->weak || r->handicapped;
}

/* ---- What the view of a terminal says beside the row at work ---- */

static void count_verdict(state *s, const ffl_record *r)
{
    char note[128];
    for (int v = 0; v < FFL_VERDICT_COUNT; v++)
        s->verdicts[v] += strcmp(r->verdict, ffl_verdict_name((ffl_verdict)v)) == 0;
    ffl_verdict_counts(s->verdicts, note, sizeof note);
    ffl_progress_note(s->progress, 0, note);
}

static const ffl_row *fastest(const ffl_row *rows, size_t count, bool fff, const ffl_row *against)
{
    const ffl_row *best = NULL;
    for (size_t i = 0; i < count; i++)
        if (ffl_row_ranks(&rows[i]) && (fff ? ffl_row_is_fff(&rows[i]) : ffl_row_is_dense(&rows[i])) &&
            (!against || rows[i].record.neurons == against->record.neurons) &&
            (!best || ffl_row_token_ns(&rows[i]) < ffl_row_token_ns(best)))
            best = &rows[i];
    return best;
}

static void note_best(state *s, const ffl_group *group, const ffl_row *rows)
{
    const ffl_row *tree = fastest(rows, group->row_count, true, NULL);
    const ffl_row *dense = tree ? fastest(rows, group->row_count, false, tree) : NULL;
    const double ratio = dense ? ffl_row_token_ns(dense) / ffl_row_token_ns(tree) : 0;
    char note[1024], own[FFL_CELL], other[FFL_CELL], times[FFL_CELL];
    if (!(ratio > s->best))
        return;
    s->best = ratio;
    ffl_format_token(tree, own);
    ffl_format_token(dense, other);
    ffl_format_ratio(ratio, times);
    snprintf(note, sizeof note, "best so far: %s, B=%zu %s %s: %s %s, %s %s", times, group->batch,
             ffl_cache_state_names[group->cache], ffl_type_name(group->clazz), tree->record.variant, own,
             dense->record.variant, other);
    ffl_progress_note(s->progress, 1, note);
}

/* ---- The end of a group ---- */

/* Above a roof nothing is timed right, or the roof is too low: then all learn of the new one. */
static ffl_status hold_against_roofs(state *s, pending *job)
{
    const ffl_group *group = &s->groups->value[job->group];
    for (size_t i = 0; i < group->row_count; i++)
        if (ffl_roofs_confirm(&s->roofs, group->rows[i].variant, &job->rows[i])) {
            char path[FFL_PATH_MAX];
            (void)ffl_roofs_store(&s->roofs, path, sizeof path); /* the journal has it in any case */
            s->roofs_written = false;
        }
    if (!s->roofs_written)
        FFL_TRY(ffl_roofs_journal(&s->roofs, s->conduct->journal));
    s->roofs_written = true;
    return FFL_OK;
}

static ffl_status finish_group(state *s, pending *job)
{
    const ffl_group *group = &s->groups->value[job->group];
    ffl_rows *all = &s->out->all;
    ffl_row *grown = realloc(all->value, (all->count + group->row_count) * sizeof *grown);
    if (!grown)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the results");
    all->value = grown;
    FFL_TRY(hold_against_roofs(s, job));
    const size_t first = all->count;
    for (size_t i = 0; i < group->row_count; i++) {
        FFL_TRY(ffl_journal_write(s->conduct->journal, &job->rows[i]));
        count_row(s->out, &job->rows[i]);
        count_verdict(s, &job->rows[i]);
        all->value[all->count++] = (ffl_row){.record = job->rows[i], .machine = ""};
        ffl_record_init(&job->rows[i]); /* what it owned went along */
    }
    FFL_TRY(ffl_journal_flush(s->conduct->journal));
    s->done += (double)group->row_count;
    note_best(s, group, &all->value[first]);
    if (s->conduct->show) {
        ffl_progress_clear(s->progress);
        s->conduct->show(s->conduct->user, group, all, first, group->row_count);
    }
    return FFL_OK;
}

/* The row at work takes the blame and stays out; before the first row was at work, all rows share it. */
static void blame(ffl_group *group, pending *job, ffl_job_end end, const char *message)
{
    const ffl_verdict verdict = end == FFL_JOB_TIMEOUT ? FFL_TIMEOUT : FFL_CRASHED;
    const bool known = job->at < group->row_count;
    for (size_t i = 0; i < group->row_count; i++) {
        if (group->rows[i].left_out || (known && i != job->at))
            continue;
        ffl_record *r = &job->rows[i];
        ffl_record_free(r);
        ffl_group_record(group, &group->rows[i], r);
        snprintf(r->verdict, sizeof r->verdict, "%s", ffl_verdict_name(verdict));
        snprintf(r->reason, sizeof r->reason, "%s%s", message, known ? "" : " before any variant ran");
        group->rows[i].left_out = true;
    }
}

static bool anything_left(const ffl_group *group)
{
    for (size_t i = 0; i < group->row_count; i++)
        if (!group->rows[i].left_out)
            return true;
    return false;
}

static ffl_status end(void *user, size_t index, ffl_job_end how, const char *message)
{
    state *s = user;
    pending *job = &s->jobs[index];
    ffl_group *group = &s->groups->value[job->group];
    if (how != FFL_JOB_DONE) {
        blame(group, job, how, message);
        if (anything_left(group))
            return FFL_OK; /* its turn comes again in the next round */
    }
    const ffl_status status = finish_group(s, job);
    free_rows(job->rows, group->row_count);
    job->rows = NULL;
    return status;
}

/* ---- Rounds ---- */

static ffl_status run_round(state *s)
{
    ffl_job *jobs = calloc(s->count + 1, sizeof *jobs);
    ffl_status status = jobs ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory for the jobs");
    for (size_t i = 0; i < s->count && status == FFL_OK; i++) {
        const ffl_group *group = &s->groups->value[s->jobs[i].group];
        s->jobs[i].at = group->row_count;
        s->jobs[i].request = ffl_group_to_json(group);
        jobs[i] = (ffl_job){.request = s->jobs[i].request, .timeout_s = s->conduct->timeout};
        if (!s->jobs[i].request)
            status = ffl_fail(FFL_NO_MEMORY, "no memory for the jobs");
    }
    /* One at a time: a second worker would be measured too. */
    const size_t parallel = ffl_option_given(s->conduct->options, FFL_OPT_IN_PROCESS) ? 0 : 1;
    const ffl_job_listener listener = {.user = s, .answer = answer, .end = end, .start = start};
    if (status == FFL_OK)
        status = ffl_jobs_run("bench", s->conduct->options, jobs, s->count, parallel, &listener);
    for (size_t i = 0; i < s->count; i++) {
        json_decref(s->jobs[i].request);
        s->jobs[i].request = NULL;
    }
    free(jobs);
    return status;
}

static ffl_status make_jobs(state *s)
{
    s->jobs = calloc(s->groups->count + 1, sizeof *s->jobs);
    if (!s->jobs)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the jobs");
    for (size_t g = 0; g < s->groups->count; g++) {
        const ffl_group *group = &s->groups->value[g];
        pending *job = &s->jobs[s->count++];
        *job = (pending){.group = g, .rows = calloc(group->row_count, sizeof *job->rows)};
        if (!job->rows)
            return ffl_fail(FFL_NO_MEMORY, "no memory for the records");
        for (size_t i = 0; i < group->row_count; i++)
            ffl_record_init(&job->rows[i]);
        s->total += (double)group->row_count;
    }
    return FFL_OK;
}

/* Rows of a device that is not there, or cannot be timed, are over before anything is made for them. */
static ffl_status skip_device_groups(state *s)
{
    const char *why;
    size_t left = 0;
    for (size_t i = 0; i < s->count; i++) {
        pending *job = &s->jobs[i];
        const ffl_group *group = &s->groups->value[job->group];
        if (!ffl_group_on_device(group) || ffl_device_timing(&why)) {
            s->jobs[left++] = *job;
            continue;
        }
        for (size_t k = 0; k < group->row_count; k++) {
            ffl_group_record(group, &group->rows[k], &job->rows[k]);
            snprintf(job->rows[k].verdict, sizeof job->rows[k].verdict, "%s", ffl_verdict_name(FFL_SKIPPED));
            snprintf(job->rows[k].reason, sizeof job->rows[k].reason, "%s", why);
        }
        FFL_TRY(finish_group(s, job));
        free_rows(job->rows, group->row_count);
        job->rows = NULL;
    }
    s->count = left;
    return FFL_OK;
}

ffl_status ffl_conduct_run(const ffl_conduct *conduct, ffl_group_list *groups, ffl_outcome *out)
{
    *out = (ffl_outcome){0};
    state s = {.conduct = conduct, .groups = groups, .out = out, .start = ffl_clock_ns()};
    ffl_status status = make_jobs(&s);
    if (status == FFL_OK)
        status = ffl_roofs_load(&s.roofs);
    s.progress = ffl_progress_new(conduct->doing ? conduct->doing : "timing", s.total);
    if (status == FFL_OK)
        status = skip_device_groups(&s);
    while (status == FFL_OK && s.count > 0) {
        status = run_round(&s);
        size_t left = 0;
        for (size_t i = 0; i < s.count && status == FFL_OK; i++)
            if (s.jobs[i].rows)
                s.jobs[left++] = s.jobs[i];
        if (status == FFL_OK)
            s.count = left;
    }
    for (size_t i = 0; i < s.count; i++)
        free_rows(s.jobs[i].rows, groups->value[s.jobs[i].group].row_count);
    free(s.jobs);
    ffl_roofs_free(&s.roofs);
    ffl_progress_clear(s.progress);
    ffl_progress_free(s.progress);
    return status;
}

void ffl_outcome_free(ffl_outcome *outcome)
{
    ffl_rows_free(&outcome->all);
    *outcome = (ffl_outcome){0};
}
