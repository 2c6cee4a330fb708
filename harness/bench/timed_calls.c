#include "harness/bench/timed_calls.h"
#include "harness/bench/clock.h"
#include "harness/bench/device_calls.h"
#include "harness/bench/device_stage.h"
#include "harness/bench/own_calls.h"
#include "harness/check/checks.h"
#include "harness/worker.h"
#include "kernels/device.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPETITIONS = 12, LONG_REPETITIONS = 3, CALLS_MIN = 5, CALLS_MAX = 4000000 };

static const double long_call = 1.0;  /* seconds: three of these must do */
static const double slow_call = 0.05; /* streams more than the caches hold: nothing to warm up */
static const double warm_seconds = 5e-3;
static const double device_turn = 3e-5; /* events and a wait for them */
static const double life_ns = 5e9;      /* between two signs of life */

void ffl_timed_rule_out(ffl_timed *row, ffl_verdict verdict, const char *reason)
{
    row->live = false;
    snprintf(row->record.verdict, sizeof row->record.verdict, "%s", ffl_verdict_name(verdict));
    snprintf(row->record.reason, sizeof row->record.reason, "%s", reason);
}

void ffl_timed_run_failed(ffl_timed *row)
{
    const char *why;
    ffl_timed_rule_out(row, FFL_FAILED, ffl_error());
    if (!ffl_group_on_device(row->group) || !ffl_device_lost(&why))
        return;
    fprintf(stderr, "fflab: %s: %s; the device is lost to this process\n", row->what->variant->name, why);
    abort();
}

void ffl_timed_lend_scratch(ffl_timed *row)
{
    if (!ffl_group_on_device(row->group))
        row->instance.exec.scratch = row->stage->scratch;
}

ffl_status ffl_timed_check_memory(ffl_timed *row)
{
    bool intact;
    if (ffl_group_on_device(row->group)) {
        const bool calling = row->repetition > 0 && row->repetition < row->repetitions;
        if (ffl_device_check(row, !calling) != FFL_OK)
            ffl_timed_run_failed(row);
        return FFL_OK;
    }
    FFL_TRY(ffl_stage_intact(row->stage, &intact));
    ffl_timed_lend_scratch(row);
    if (!intact)
        ffl_timed_rule_out(row, FFL_FAILED, "wrote outside its outputs and scratch");
    return FFL_OK;
}

void ffl_timed_poison(float *y, size_t count)
{
    for (size_t i = 0; i < count; i++)
        y[i] = NAN;
}

/* Seconds of a sample that are not timed. */
static double between_samples(const ffl_timed *row)
{
    if (ffl_group_on_device(row->group))
        return device_turn + row->stage->device->sweep_seconds;
    return row->exchange_seconds + (row->group->cache != FFL_HOT ? row->stage->eviction.seconds : 0);
}

/* Calls at the end whose outputs are judged where they lie: a power of two, so that few judges serve all rows
 * of a group. */
static size_t calls_judged(const ffl_timed *row)
{
    const size_t slots = row->ring.y_rows / row->tokens;
    size_t calls = slots;
    const size_t timed = row->calls * row->burst; /* since the outputs were poisoned */
    if (timed < slots)
        for (calls = 1; 2 * calls <= timed;)
            calls *= 2;
    return calls;
}

ffl_status ffl_timed_plan_calls(ffl_timed *row, size_t repetitions, size_t calls)
{
    row->repetitions = repetitions;
    row->calls = calls ? calls : 1;
    row->repetition = row->timed = 0;
    /* The last timed call ends where the ring ends: every variant is judged on the same inputs. */
    const size_t all = row->repetitions * row->calls * row->burst;
    const size_t advance = all % (row->ring.x_rows / row->tokens) * row->tokens;
    row->position = (row->ring.x_rows - advance) % row->ring.x_rows;
    row->warm_position = row->ring.x_rows / 2 / row->tokens * row->tokens;
    free(row->ns);
    free(row->wall_ns);
    row->ns = calloc(row->repetitions * row->calls, sizeof *row->ns);
    row->wall_ns = calloc(row->repetitions * row->calls, sizeof *row->wall_ns);
    if (!row->ns || !row->wall_ns)
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu samples", row->repetitions * row->calls);
    ffl_sample_free(&row->sample);
    /* By sample: none are drawn on a device, elsewhere a burst of calls is one. */
    const size_t before = ffl_group_on_device(row->group) ? 0 : (all - calls_judged(row)) / row->burst;
    return ffl_sample_new(&row->layer, before, row->burst * row->tokens, &row->sample);
}

ffl_status ffl_timed_plan(ffl_timed *row)
{
    const ffl_group *g = row->group;
    const double call = row->call_seconds > 1e-9 ? row->call_seconds : 1e-9;
    row->ring = ffl_stage_ring(row->stage, row->tokens);
    if (ffl_group_on_device(g))
        FFL_TRY(ffl_device_plan(row));
    else if (ffl_own_clock(row))
        ffl_own_plan(row);
    const double turn = call * (double)row->burst + between_samples(row);
    double total = g->row_seconds / turn;
    total = total < CALLS_MIN ? CALLS_MIN : total;
    row->repetitions = g->repetitions        ? g->repetitions
                       : call > long_call    ? LONG_REPETITIONS
                       : total < REPETITIONS ? (size_t)total
                                             : REPETITIONS;
    double calls = g->min_time > 0 ? ceil(g->min_time / turn) : total / (double)row->repetitions;
    if (call > long_call && !(g->min_time > 0))
        calls = 1;
    const double most = (double)CALLS_MAX / (double)row->repetitions;
    return ffl_timed_plan_calls(row, row->repetitions, (size_t)(calls > most ? most : calls));
}

/* ---- Judging ---- */

/* True when every element of every row is finite whose inputs are. */
static bool all_finite(ffl_timed *row, const float *y, size_t first, size_t count)
{
    const ffl_layer *l = &row->layer;
    for (size_t t = 0; t < count; t++) {
        const float *x = row->stage->x + (first + t) * l->width_in;
        bool expected = true;
        for (size_t i = 0; i < l->width_in; i++)
            expected = expected && isfinite(x[i]);
        for (size_t j = 0; expected && j < l->width_out; j++) {
            if (!isfinite(y[t * l->width_out + j])) {
                char reason[128];
                snprintf(reason, sizeof reason, "row %zu, element %zu: %s, from finite inputs", t, j,
                         isnan(y[t * l->width_out + j]) ? "NaN or not written" : "infinite");
                ffl_timed_rule_out(row, FFL_FAILED, reason);
                return false;
            }
        }
    }
    return true;
}

static void keep_judgement(ffl_record *record, const ffl_judgement *j)
{
    /* What the first few tokens left in doubt, later ones do not clear. */
    const bool doubt =
        strcmp(record->verdict, ffl_verdict_name(FFL_SUSPECT)) == 0 && j->verdict == FFL_PASSED;
    if (!doubt) {
        snprintf(record->verdict, sizeof record->verdict, "%s", ffl_verdict_name(j->verdict));
        if (*j->reason) /* otherwise it goes on saying why the row is HANDICAPPED */
            snprintf(record->reason, sizeof record->reason, "%s", j->reason);
    }
    record->weak = j->weak;
    record->rows = (int64_t)j->rows;
    record->flips = (int64_t)j->flips;
    record->flip_margin = j->flip_margin;
    record->error_statistical = j->error_statistical;
    record->error_worst = j->error_worst;
}

/* The nodes that the variant visits, where the judge may need them; NULL where not. */
static ffl_status trace_of(ffl_timed *row, size_t first, size_t count, int32_t **out)
{
    const ffl_layer *l = &row->layer;
    *out = NULL;
    if (l->operation != FFL_FFF || l->trees == 1 || !row->what->variant->trace)
        return FFL_OK;
    const size_t visited = l->trees * l->levels;
    *out = ffl_alloc_array(count * visited, sizeof **out);
    float *logits = *out ? ffl_alloc_array(count * visited, sizeof *logits) : NULL;
    ffl_status status = logits ? FFL_OK : FFL_NO_MEMORY;
    /* At most max_tokens at a time, as run. */
    for (size_t done = 0, some; done < count && status == FFL_OK; done += some) {
        some = count - done < row->tokens ? count - done : row->tokens;
        status = ffl_instance_trace(&row->instance, row->stage->x + (first + done) * l->width_in, l->width_in,
                                    some, *out + done * visited, logits);
    }
    ffl_free(logits);
    if (status != FFL_OK) {
        ffl_free(*out);
        *out = NULL;
    }
    return status;
}

ffl_status ffl_timed_judge(ffl_timed *row, const float *y, size_t first, size_t count)
{
    const ffl_judge *judge;
    ffl_judgement judgement;
    int32_t *trace = NULL;
    if (!all_finite(row, y, first, count))
        return FFL_OK;
    FFL_TRY(ffl_stage_judge_of(row->stage, &row->layer, &row->what->variant->contract, first, count, &judge));
    FFL_TRY(trace_of(row, first, count, &trace));
    const ffl_status status = ffl_judge_rows(judge, y, row->layer.width_out, trace, &judgement);
    ffl_free(trace);
    if (status == FFL_OK)
        keep_judgement(&row->record, &judgement);
    return status;
}

/* What the last timed calls wrote. */
static ffl_status judge_timed(ffl_timed *row)
{
    const size_t count = calls_judged(row) * row->tokens;
    const float *y = row->stage->y + (row->ring.y_rows - count) * row->layer.width_out;
    return ffl_timed_judge(row, y, row->ring.x_rows - count, count);
}

/* The calls drawn at random may only make the verdict worse: their rows are few. */
static ffl_status judge_sample(ffl_timed *row)
{
    ffl_judgement found;
    FFL_TRY(ffl_sample_judge(&row->sample, &row->what->variant->contract, &found));
    row->record.rows += (int64_t)found.rows;
    if (found.verdict == FFL_FAILED)
        ffl_timed_rule_out(row, FFL_FAILED, found.reason);
    else if (found.verdict == FFL_SUSPECT && strcmp(row->record.verdict, ffl_verdict_name(FFL_PASSED)) == 0)
        keep_judgement(&row->record, &found);
    return FFL_OK;
}

/* ---- Callbacks of Google Benchmark ---- */

static bool warm_up(ffl_timed *row, double seconds)
{
    const ffl_layer *l = &row->layer;
    const double until = 1e9 * seconds + ffl_clock_ns();
    if (row->call_seconds > slow_call)
        return true;
    do {
        const float *x = row->stage->x + row->warm_position * l->width_in;
        if (ffl_instance_run(&row->instance, x, l->width_in, row->stage->y_warm, l->width_out, row->tokens) !=
            FFL_OK) {
            ffl_timed_run_failed(row);
            return false;
        }
        row->warm_position = (row->warm_position + row->tokens) % row->ring.x_rows;
    } while (row->group->cache == FFL_HOT && ffl_clock_ns() < until);
    return true;
}

static bool begin(void *user)
{
    ffl_timed *row = user;
    if (!row->live || ffl_interrupted())
        return false;
    row->announced_ns = ffl_clock_ns();
    row->announce(row->user, row);
    ffl_timed_lend_scratch(row);
    row->repetition++;
    const bool last = row->repetition == row->repetitions;
    const double share = 0.25 * row->group->row_seconds / (double)row->repetitions;
    const double warm = share < warm_seconds ? share : warm_seconds;
    if (ffl_group_on_device(row->group)) {
        const bool warmed = ffl_device_warm_up(row, warm, last) == FFL_OK;
        if (!warmed)
            ffl_timed_run_failed(row);
        return warmed;
    }
    /* The outputs are shared by all rows, and each is judged before another one runs. */
    if (last)
        ffl_timed_poison(row->stage->y, row->ring.y_rows * row->layer.width_out);
    return warm_up(row, warm);
}

/* A long repetition is not a hanging one. */
static void show_life(ffl_timed *row, double now)
{
    if (now - row->announced_ns > life_ns) {
        row->announced_ns = now;
        row->announce(row->user, row);
    }
}

/* Nanoseconds, negative when the variant gave up. */
static double call_on_host(ffl_timed *row)
{
    const ffl_layer *l = &row->layer;
    float *x = row->stage->x + row->position * l->width_in;
    float *y = row->stage->y + row->position % row->ring.y_rows * l->width_out;
    const bool drawn = ffl_sample_begin(&row->sample, row->timed, row->stage->x, row->ring.x_rows, x, y,
                                        row->burst * row->tokens);
    if (row->group->cache != FFL_HOT)
        ffl_eviction_sweep(&row->stage->eviction);
    if (row->group->cache == FFL_WEIGHTS_COLD) {
        ffl_touch(x, row->tokens * l->width_in * sizeof *x);
        ffl_touch(y, row->tokens * l->width_out * sizeof *y);
    }
    double took;
    ffl_status status;
    if (ffl_own_clock(row)) {
        status = ffl_own_sample(row, x, y, &took);
    } else {
        const double start = ffl_clock_ns();
        status = ffl_instance_run(&row->instance, x, l->width_in, y, l->width_out, row->tokens);
        took = ffl_clock_ns() - start;
    }
    if (drawn)
        ffl_sample_end(&row->sample, x, y);
    return status == FFL_OK ? took : -1;
}

static double call_on_device(ffl_timed *row)
{
    double ns;
    return ffl_device_sample(row, &ns) == FFL_OK ? ns : -1;
}

static double call(void *user)
{
    ffl_timed *row = user;
    if (row->group->cache != FFL_HOT && ffl_interrupted())
        return -1;
    const double took = ffl_group_on_device(row->group) ? call_on_device(row) : call_on_host(row);
    if (took < 0) {
        ffl_timed_run_failed(row);
        return -1;
    }
    row->ns[row->timed++] = took;
    show_life(row, ffl_clock_ns());
    row->position = (row->position + row->burst * row->tokens) % row->ring.x_rows;
    return 1e-9 * took;
}

static bool end(void *user)
{
    ffl_timed *row = user;
    const bool last = row->repetition == row->repetitions, device = ffl_group_on_device(row->group);
    ffl_status status = ffl_timed_check_memory(row);
    if (status == FFL_OK && row->live && last && device)
        status = ffl_device_fetch(row);
    if (status == FFL_OK && row->live && last && ffl_check_on(FFL_CHECK_TIMED_LAST))
        status = judge_timed(row);
    if (status == FFL_OK && row->live && last)
        status = judge_sample(row);
    if (status == FFL_OK && row->live && last && device)
        status = ffl_device_around(row);
    if (status != FFL_OK)
        ffl_timed_rule_out(row, status == FFL_NO_MEMORY ? FFL_SKIPPED : FFL_FAILED, ffl_error());
    return row->live;
}

ffl_gbench_case ffl_timed_case(ffl_timed *row, const char *name)
{
    return (ffl_gbench_case){.name = name,
                             .repetitions = row->repetitions,
                             .calls_per_repetition = row->calls,
                             .user = row,
                             .begin = begin,
                             .end = end,
                             .call = call};
}
