#include "harness/compare/paired_slices.h"
#include "harness/check/judge.h"
#include "harness/compare/slices.h"
#include "harness/worker.h"
#include "harness/workload/random.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS_LEAST = 4, CALLS_MOST = 1 << 20 };

static const double slow_call_ns = 5e7; /* four of them would make a slice too long */

typedef struct seat {
    const ffl_turns *turns;
    ffl_pairs *out;
    ffl_process process[FFL_SIDES_MAX];
    ffl_random random;
    double *slice_ns[FFL_SIDES_MAX]; /* [pairs] */
    size_t tokens, pairs;            /* in all seats */
} seat;

/* The row is over; the others are not. */
static ffl_status fail_row(seat *s, size_t side, const char *verdict, const char *reason)
{
    ffl_pairs *out = s->out;
    snprintf(out->verdict, sizeof out->verdict, "%.11s", verdict);
    snprintf(out->reason, sizeof out->reason, "%s: %.480s", s->turns->side[side].name, reason);
    return FFL_OK;
}

static bool going(const seat *s)
{
    return !*s->out->verdict;
}

/* Takes the request. *answer stays NULL when the row is over. */
static ffl_status ask(seat *s, size_t side, json_t *request, json_t **answer)
{
    const ffl_status status = ffl_process_ask(&s->process[side], request, s->turns->timeout_s, answer);
    json_decref(request);
    if (status == FFL_OK) {
        const char *verdict = json_string_value(json_object_get(*answer, "verdict"));
        if (verdict && *verdict && strcmp(verdict, ffl_verdict_name(FFL_PASSED)) != 0) {
            fail_row(s, side, verdict, json_string_value(json_object_get(*answer, "reason")));
            json_decref(*answer);
            *answer = NULL;
        }
        return FFL_OK;
    }
    if (status == FFL_INTERRUPTED || status == FFL_NO_MEMORY)
        return status;
    const bool died = status == FFL_IO;
    return fail_row(s, side, ffl_verdict_name(died ? FFL_CRASHED : FFL_SKIPPED), ffl_error());
}

static void end_process(ffl_process *process)
{
    char message[128];
    if (process->pid)
        ffl_process_end(process, message, sizeof message);
}

static ffl_status start_process(seat *s, size_t side)
{
    const ffl_side *what = &s->turns->side[side];
    return ffl_process_start(what->program, what->kind, s->turns->options, &s->process[side]);
}

/* ---- A seat ---- */

static ffl_status open_side(seat *s, size_t side, const ffl_group *group, double *call_ns)
{
    json_t *answer;
    FFL_TRY(start_process(s, side));
    FFL_TRY(ask(s, side, json_pack("{s:o}", "open", ffl_group_to_json(group)), &answer));
    if (!answer)
        return FFL_OK;
    *call_ns = json_number_value(json_object_get(answer, "ns"));
    const size_t tokens = (size_t)json_integer_value(json_object_get(answer, "tokens"));
    json_decref(answer);
    if (s->tokens && tokens != s->tokens)
        fail_row(s, side, ffl_verdict_name(FFL_SKIPPED), "its calls would take another number of tokens");
    s->tokens = tokens;
    return FFL_OK;
}

/* As many calls on all sides, since the inputs go with them. */
static size_t calls_of(const ffl_turns *turns, const double call_ns[FFL_SIDES_MAX])
{
    double shortest = call_ns[FFL_BASE];
    for (size_t side = 1; side < turns->sides; side++)
        shortest = call_ns[side] < shortest ? call_ns[side] : shortest;
    const double calls = 1e9 * turns->slice_seconds / (shortest > 1 ? shortest : 1);
    if (calls < CALLS_LEAST)
        return shortest > slow_call_ns ? 1 : CALLS_LEAST;
    return calls > CALLS_MOST ? CALLS_MOST : (size_t)calls;
}

/* Fewer pairs where a single slice is long. */
static size_t pairs_of(const ffl_turns *turns, double slice_seconds)
{
    const double most = turns->row_seconds / ((double)turns->sides * slice_seconds);
    if (most >= (double)turns->pairs)
        return turns->pairs;
    return most > (double)turns->fewest ? (size_t)most : turns->fewest;
}

static ffl_status plan_side(seat *s, size_t side, size_t pairs)
{
    json_t *answer;
    FFL_TRY(ask(s, side,
                json_pack("{s:I, s:I, s:f}", "plan", (json_int_t)pairs, "calls", (json_int_t)s->out->calls,
                          "seconds", s->turns->slice_seconds),
                &answer));
    json_decref(answer);
    return FFL_OK;
}

static ffl_status take_slice(seat *s, size_t side, double *ns)
{
    json_t *answer;
    FFL_TRY(ask(s, side, json_pack("{s:b}", "slice", 1), &answer));
    *ns = json_number_value(json_object_get(answer, "ns"));
    if (json_object_get(answer, "planted"))
        s->out->planted = json_number_value(json_object_get(answer, "planted"));
    json_decref(answer);
    return FFL_OK;
}

/* A random order of all sides. */
static void draw_turns(seat *s, size_t order[FFL_SIDES_MAX])
{
    for (size_t i = 0; i < s->turns->sides; i++) {
        const size_t at = ffl_random_below(&s->random, i + 1);
        order[i] = order[at];
        order[at] = i;
    }
}

static ffl_status take_pair(seat *s)
{
    size_t order[FFL_SIDES_MAX];
    double ns[FFL_SIDES_MAX] = {0};
    ffl_pairs *out = s->out;
    draw_turns(s, order);
    for (size_t turn = 0; turn < s->turns->sides && going(s); turn++)
        FFL_TRY(take_slice(s, order[turn], &ns[order[turn]]));
    for (size_t side = 0; side < s->turns->sides && going(s); side++) {
        s->slice_ns[side][out->count] = ns[side];
        out->log_ratio[side][out->count] = log(ns[side] / ns[FFL_BASE]);
    }
    out->count++;
    return FFL_OK;
}

static ffl_status run_seat(seat *s, const ffl_group *group, size_t index)
{
    size_t order[FFL_SIDES_MAX];
    double call_ns[FFL_SIDES_MAX] = {0};
    draw_turns(s, order);
    for (size_t turn = 0; turn < s->turns->sides && going(s); turn++)
        FFL_TRY(open_side(s, order[turn], group, &call_ns[order[turn]]));
    if (going(s) && index == 0) {
        s->out->calls = calls_of(s->turns, call_ns);
        s->pairs = pairs_of(s->turns, 1e-9 * (double)s->out->calls * call_ns[FFL_BASE]);
    }
    const size_t seats = s->turns->seats, pairs = s->pairs * (index + 1) / seats - s->pairs * index / seats;
    for (size_t side = 0; side < s->turns->sides && going(s) && pairs; side++)
        FFL_TRY(plan_side(s, side, pairs));
    for (size_t pair = 0; pair < pairs && going(s); pair++)
        FFL_TRY(take_pair(s));
    return FFL_OK;
}

/* ---- All seats ---- */

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, ascending);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

static ffl_status run_seats(seat *s, const ffl_group *group)
{
    const ffl_turns *t = s->turns;
    ffl_status status = FFL_OK;
    for (size_t i = 0; i < t->seats && status == FFL_OK && going(s); i++) {
        status = run_seat(s, group, i);
        for (size_t side = 0; side < t->sides; side++)
            end_process(&s->process[side]);
    }
    return status;
}

static ffl_status run(seat *s, const ffl_group *group)
{
    ffl_pairs *out = s->out;
    for (size_t side = 0; side < s->turns->sides; side++) {
        out->log_ratio[side] = calloc(s->turns->pairs, sizeof *out->log_ratio[side]);
        s->slice_ns[side] = calloc(s->turns->pairs, sizeof *s->slice_ns[side]);
        if (!out->log_ratio[side] || !s->slice_ns[side])
            return ffl_fail(FFL_NO_MEMORY, "no memory for pairs of slices");
    }
    FFL_TRY(run_seats(s, group));
    if (!going(s)) {
        out->count = 0;
        return FFL_OK;
    }
    strcpy(out->verdict, ffl_verdict_name(FFL_PASSED));
    for (size_t side = 0; side < s->turns->sides; side++)
        out->token_ns[side] = median(s->slice_ns[side], out->count) / (double)s->tokens;
    return FFL_OK;
}

ffl_status ffl_pairs_run(const ffl_turns *turns, const ffl_group *group, ffl_pairs *out)
{
    *out = (ffl_pairs){0};
    seat *s = calloc(1, sizeof *s);
    if (!s)
        return ffl_fail(FFL_NO_MEMORY, "no memory for pairs of slices");
    *s = (seat){.turns = turns, .out = out, .random = ffl_random_new(turns->seed, 0)};
    const ffl_status status = run(s, group);
    for (size_t side = 0; side < turns->sides; side++)
        free(s->slice_ns[side]);
    free(s);
    if (status != FFL_OK)
        ffl_pairs_free(out);
    return status;
}

void ffl_pairs_free(ffl_pairs *pairs)
{
    for (size_t side = 0; side < FFL_SIDES_MAX; side++)
        free(pairs->log_ratio[side]);
    *pairs = (ffl_pairs){0};
}

ffl_status ffl_turns_check(const ffl_turns *turns, char commits[FFL_SIDES_MAX][64])
{
    for (size_t side = 0; side < turns->sides; side++) {
        const ffl_side *what = &turns->side[side];
        ffl_process process = {0};
        json_t *answer = NULL, *hello = json_pack("{s:b}", "hello", 1);
        ffl_status status = ffl_process_start(what->program, what->kind, turns->options, &process);
        if (status == FFL_OK)
            status = ffl_process_ask(&process, hello, turns->timeout_s, &answer);
        json_decref(hello);
        end_process(&process);
        if (status == FFL_INTERRUPTED)
            return status;
        const char *commit = json_string_value(json_object_get(answer, "commit"));
        const bool speaks =
            commit && json_integer_value(json_object_get(answer, "protocol")) == FFL_SLICES_PROTOCOL;
        snprintf(commits[side], 64, "%s", commit ? commit : "");
        json_decref(answer);
        if (!speaks)
            return ffl_fail(FFL_BAD_INPUT,
                            "%s cannot take turns with this program: another version of fflab?",
                            what->program);
    }
    return FFL_OK;
}
