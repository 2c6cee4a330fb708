#include "harness/compare/slices.h"
#include "harness/bench/pin.h"
#include "harness/bench/timed.h"
#include "harness/commit.h"
#include <stdlib.h>
#include <string.h>

/* Kept from job to job. */
static ffl_stage stage;
static ffl_group group;
static ffl_timed row;

static void silent(void *user, const ffl_timed *timed)
{
    (void)user, (void)timed;
}

static void close_row(void)
{
    if (row.group)
        ffl_timed_close(&row);
    ffl_group_free(&group);
}

static ffl_status open_row(const json_t *request, const ffl_dress *dress)
{
    close_row();
    FFL_TRY(ffl_group_from_json(request, &group));
    if (group.row_count != 1 || group.place != FFL_HOST)
        return ffl_fail(FFL_INTERNAL, "slices are of one row, on the host");
    if (dress)
        group.rows[0].variant = dress->variant(group.rows[0].variant);
    FFL_TRY(ffl_pin(group.cpus));
    ffl_pin_team(group.threads);
    FFL_TRY(ffl_stage_set(&stage, &group));
    FFL_TRY(ffl_timed_open(&row, &group, &group.rows[0], &stage));
    row.announce = silent;
    if (!row.live)
        return FFL_OK;
    FFL_TRY(ffl_stage_scratch(&stage, row.instance.plan.scratch_bytes));
    row.instance.exec.scratch = stage.scratch;
    return ffl_timed_try(&row);
}

/* A verdict once it is known: the row is over, or cannot be timed. */
static const char *verdict(void)
{
    return row.live && row.repetition < row.repetitions ? "" : row.record.verdict;
}

static const char *reason(void)
{
    return *verdict() ? row.record.reason : "";
}

static ffl_status plan(const json_t *request)
{
    const json_int_t slices = json_integer_value(json_object_get(request, "plan"));
    const json_int_t calls = json_integer_value(json_object_get(request, "calls"));
    const double seconds = json_number_value(json_object_get(request, "seconds"));
    if (!row.live || slices < 1 || calls < 1)
        return ffl_fail(FFL_INTERNAL, "a plan without a row");
    group.row_seconds = seconds * (double)slices; /* rules how long each slice warms up */
    return ffl_timed_plan_calls(&row, (size_t)slices, (size_t)calls);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/*
 * The lower quartile of the slice's calls, which are sorted where they are: of few calls the fastest. An
 * interrupt, or another process's turn, is in single calls only and must not decide.
 */
static double quartile_from(size_t first)
{
    const size_t count = row.timed - first;
    double *ns = row.ns + first;
    qsort(ns, count, sizeof *ns, ascending);
    return count ? ns[(count - 1) / 4] : 0;
}

static ffl_status slice(ffl_answer *answer, const ffl_dress *dress)
{
    if (!row.live || row.repetition >= row.repetitions)
        return ffl_fail(FFL_INTERNAL, "a slice that was not planned");
    const ffl_gbench_case calls = ffl_timed_case(&row, "slice");
    const size_t first = row.timed;
    bool going = calls.begin(&row);
    for (size_t i = 0; i < calls.calls_per_repetition && going; i++)
        going = !(calls.call(&row) < 0);
    if (going)
        calls.end(&row);
    json_t *line =
        json_pack("{s:f, s:s, s:s}", "ns", quartile_from(first), "verdict", verdict(), "reason", reason());
    if (dress)
        json_object_set_new(line, "planted", json_real(dress->planted()));
    return ffl_answer_send(answer, line);
}

static ffl_status answer_open(ffl_answer *answer)
{
    return ffl_answer_send(answer,
                           json_pack("{s:s, s:s, s:I, s:f}", "verdict", row.live ? "" : row.record.verdict,
                                     "reason", row.live ? "" : row.record.reason, "tokens",
                                     (json_int_t)row.tokens, "ns", 1e9 * row.call_seconds));
}

ffl_status ffl_slices_serve_dressed(const json_t *request, ffl_answer *answer, const ffl_dress *dress)
{
    if (json_object_get(request, "hello"))
        return ffl_answer_send(
            answer, json_pack("{s:i, s:s}", "protocol", FFL_SLICES_PROTOCOL, "commit", FFL_COMMIT));
    if (json_object_get(request, "open")) {
        FFL_TRY(open_row(json_object_get(request, "open"), dress));
        return answer_open(answer);
    }
    if (json_object_get(request, "plan")) {
        FFL_TRY(plan(request));
        return ffl_answer_send(answer, json_pack("{s:b}", "planned", 1));
    }
    return slice(answer, dress);
}

ffl_status ffl_slices_serve(const json_t *request, ffl_answer *answer)
{
    return ffl_slices_serve_dressed(request, answer, NULL);
}
