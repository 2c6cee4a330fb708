#include "harness/bench/group.h"
#include "harness/bench/device_stage.h"
#include "harness/bench/pin.h"
#include "harness/bench/stolen.h"
#include "harness/bench/timed.h"
#include "harness/bench/timed_calls.h"
#include <stdlib.h>

enum { PRUNED_TO = 8 }; /* rows of one layer that are left of a group that is pruned */

typedef struct session {
    ffl_group group;
    ffl_answer *answer;
    ffl_timed *rows;    /* one per row of the group, left out ones unused */
    size_t repetitions; /* of all rows */
    ffl_status status;  /* of the answer pipe */
} session;

/* Kept from job to job: neighbouring groups need much the same. */
static ffl_stage stage;

static ffl_status say_at(session *s, size_t row)
{
    size_t done = 0;
    for (size_t i = 0; i < s->group.row_count; i++)
        done += s->rows[i].repetition;
    const double part = s->repetitions ? (double)done / (double)s->repetitions : 0;
    return ffl_answer_send(s->answer, json_pack("{s:I, s:f}", "at", (json_int_t)row, "part", part));
}

static void announce(void *user, const ffl_timed *row)
{
    session *s = user;
    const ffl_status status = say_at(s, (size_t)(row - s->rows));
    if (status != FFL_OK)
        s->status = status;
}

static bool taken(const session *s, size_t i)
{
    return !s->group.rows[i].left_out;
}

/* Weights, inputs and scratch that do not fit: the rows are skipped, the run goes on. */
static ffl_status skip_all(session *s, const char *reason)
{
    for (size_t i = 0; i < s->group.row_count; i++) {
        if (taken(s, i) && !s->rows[i].record.verdict[0]) {
            if (!s->rows[i].what) {
                s->rows[i].what = &s->group.rows[i];
                ffl_group_record(&s->group, s->rows[i].what, &s->rows[i].record);
            }
            ffl_timed_rule_out(&s->rows[i], FFL_SKIPPED, reason);
        }
        s->rows[i].live = false;
    }
    return FFL_OK;
}

static ffl_status open_rows(session *s)
{
    size_t scratch = 0;
    for (size_t i = 0; i < s->group.row_count; i++) {
        if (!taken(s, i))
            continue;
        FFL_TRY(say_at(s, i));
        FFL_TRY(ffl_timed_open(&s->rows[i], &s->group, &s->group.rows[i], &stage));
        s->rows[i].announce = announce;
        s->rows[i].user = s;
        if (s->rows[i].live && s->rows[i].instance.plan.scratch_bytes > scratch)
            scratch = s->rows[i].instance.plan.scratch_bytes;
    }
    return !ffl_group_on_device(&s->group) ? ffl_stage_scratch(&stage, scratch) : FFL_OK;
}

static bool competes(const session *s, size_t i)
{
    return s->rows[i].live && s->rows[i].what->variant->family != FFL_AUTO;
}

/* Rows on the same layer that are faster by a factor. */
static size_t ahead_of(const session *s, size_t i, const double *seconds, double factor)
{
    size_t count = 0;
    for (size_t k = 0; k < s->group.row_count; k++)
        count += competes(s, k) && s->rows[k].layer.neurons == s->rows[i].layer.neurons &&
                 s->rows[k].layer.operation == s->rows[i].layer.operation && seconds[i] > factor * seconds[k];
    return count;
}

/* A dispatcher runs one of the others and stays. */
static ffl_status prune_rows(session *s)
{
    double *seconds = calloc(s->group.row_count + 1, sizeof *seconds);
    bool *drop = calloc(s->group.row_count + 1, sizeof *drop);
    for (size_t i = 0; seconds && drop && i < s->group.row_count; i++)
        if (competes(s, i))
            seconds[i] = s->rows[i].call_seconds / (double)s->rows[i].tokens;
    for (size_t i = 0; seconds && drop && i < s->group.row_count; i++)
        drop[i] = competes(s, i) &&
                  (ahead_of(s, i, seconds, s->group.prune) > 0 || ahead_of(s, i, seconds, 1) >= PRUNED_TO);
    for (size_t i = 0; seconds && drop && i < s->group.row_count; i++)
        if (drop[i]) {
            s->repetitions -= s->rows[i].repetitions;
            ffl_timed_rule_out(&s->rows[i], FFL_SKIPPED, "its first calls were slower than others'");
        }
    const bool done = seconds && drop;
    free(seconds);
    free(drop);
    return done ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory for the rows of a group");
}

static ffl_status try_rows(session *s)
{
    for (size_t i = 0; i < s->group.row_count; i++) {
        if (!s->rows[i].live)
            continue;
        if (ffl_interrupted())
            return ffl_fail(FFL_INTERRUPTED, "interrupted");
        FFL_TRY(say_at(s, i));
        ffl_timed_lend_scratch(&s->rows[i]);
        FFL_TRY(ffl_timed_try(&s->rows[i]));
        if (s->rows[i].live)
            s->repetitions += s->rows[i].repetitions;
    }
    return s->group.prune > 0 ? prune_rows(s) : FFL_OK;
}

static ffl_status time_rows(session *s)
{
    enum { NAME = 768 };
    ffl_gbench_case *cases = calloc(s->group.row_count + 1, sizeof *cases);
    char(*names)[NAME] = calloc(s->group.row_count + 1, sizeof *names);
    size_t count = 0;
    ffl_status status =
        cases && names ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory for the cases of a group");
    for (size_t i = 0; i < s->group.row_count && status == FFL_OK; i++) {
        if (!s->rows[i].live)
            continue;
        ffl_group_row_name(&s->group, s->rows[i].what, names[count], NAME);
        cases[count] = ffl_timed_case(&s->rows[i], names[count]);
        count++;
    }
    const ffl_ticks before = ffl_ticks_read(FFL_TICKS_FILE);
    if (status == FFL_OK)
        status = ffl_gbench_run(cases, count, s->group.interleave);
    const double stolen = ffl_stolen_share(before, ffl_ticks_read(FFL_TICKS_FILE));
    for (size_t i = 0; i < s->group.row_count; i++)
        if (s->rows[i].live)
            s->rows[i].record.stolen = stolen;
    free(cases);
    free(names);
    if (status == FFL_OK && ffl_interrupted())
        status = ffl_fail(FFL_INTERRUPTED, "interrupted");
    return status == FFL_OK ? s->status : status;
}

static ffl_status send_rows(session *s)
{
    for (size_t i = 0; i < s->group.row_count; i++) {
        if (!taken(s, i))
            continue;
        FFL_TRY(ffl_timed_finish(&s->rows[i]));
        FFL_TRY(ffl_answer_send(s->answer, json_pack("{s:I, s:o}", "row", (json_int_t)i, "record",
                                                     ffl_record_to_json(&s->rows[i].record))));
    }
    return FFL_OK;
}

/* On the device nothing is kept from group to group: what a group needs is uploaded in milliseconds. */
static ffl_status set_device(session *s, ffl_device_stage *device)
{
    if (!ffl_group_on_device(&s->group))
        return FFL_OK;
    FFL_TRY(ffl_device_stage_new(&stage, &s->group, device));
    stage.device = device;
    return ffl_device_stage_wake(device);
}

static ffl_status serve(session *s, ffl_device_stage *device)
{
    FFL_TRY(ffl_pin(s->group.cpus));
    ffl_pin_team(s->group.threads);
    ffl_status status = ffl_stage_set(&stage, &s->group);
    if (status == FFL_OK)
        status = set_device(s, device);
    if (status == FFL_OK)
        status = open_rows(s);
    if (status == FFL_OK)
        status = try_rows(s);
    if (status == FFL_NO_MEMORY)
        status = skip_all(s, ffl_error());
    if (status == FFL_OK)
        status = time_rows(s);
    return status == FFL_OK ? send_rows(s) : status;
}

ffl_status ffl_bench_serve(const json_t *request, ffl_answer *answer)
{
    session s = {.answer = answer};
    ffl_device_stage device = {0};
    FFL_TRY(ffl_group_from_json(request, &s.group));
    s.rows = calloc(s.group.row_count + 1, sizeof *s.rows);
    const ffl_status status =
        s.rows ? serve(&s, &device) : ffl_fail(FFL_NO_MEMORY, "no memory for the rows of a group");
    for (size_t i = 0; s.rows && i < s.group.row_count; i++)
        ffl_timed_close(&s.rows[i]);
    free(s.rows);
    ffl_device_stage_free(&device);
    stage.device = NULL;
    ffl_group_free(&s.group);
    return status;
}
