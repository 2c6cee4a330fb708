#include "harness/bench/own_calls.h"
#include "harness/bench/clock.h"
#include "harness/peers/peers.h"
#include <stdio.h>
#include <stdlib.h>

enum { BURST_MAX = 32 };

static const double burst_seconds = 2e-3, lone_seconds = 1e-3;

bool ffl_own_clock(const ffl_timed *row)
{
    return row->what->variant->library == FFL_PROCESS;
}

static ffl_status exchange(ffl_timed *row, const float *x, float *y, size_t tokens, size_t calls, double *ns,
                           double *wall_ns)
{
    const ffl_instance *i = &row->instance;
    const ffl_layer *l = &row->layer;
    const double start = ffl_clock_ns();
    FFL_TRY(row->what->variant->run_calls(&i->plan, &i->exec, x, l->width_in, y, l->width_out, tokens, calls,
                                          ns));
    *wall_ns = ffl_clock_ns() - start;
    return FFL_OK;
}

ffl_status ffl_own_call_once(ffl_timed *row, size_t tokens, double *seconds)
{
    double ns, wall_ns;
    FFL_TRY(exchange(row, row->stage->x, row->stage->y_warm, tokens, 1, &ns, &wall_ns));
    *seconds = 1e-9 * ns;
    row->exchange_seconds = 1e-9 * (wall_ns - ns);
    return FFL_OK;
}

/* A power of two that divides the outputs' ring: no burst reaches over its end. */
void ffl_own_plan(ffl_timed *row)
{
    const size_t slots = row->ring.y_rows / row->tokens;
    row->burst = 1;
    if (row->group->cache != FFL_HOT || row->call_seconds >= lone_seconds)
        return;
    while (row->burst < BURST_MAX && slots % (2 * row->burst) == 0 &&
           (double)row->burst * row->call_seconds < burst_seconds)
        row->burst *= 2;
}

ffl_status ffl_own_sample(ffl_timed *row, const float *x, float *y, double *ns)
{
    double each[BURST_MAX], wall_ns, sum = 0;
    FFL_TRY(exchange(row, x, y, row->tokens, row->burst, each, &wall_ns));
    row->wall_ns[row->timed] = wall_ns / (double)row->burst;
    const size_t first = row->burst > 1;
    for (size_t i = first; i < row->burst; i++)
        sum += each[i];
    *ns = sum / (double)(row->burst - first);
    return FFL_OK;
}

void ffl_own_describe(ffl_timed *row)
{
    ffl_record *r = &row->record;
    snprintf(r->library_version, sizeof r->library_version, "%s", ffl_peers_version(&row->instance.plan));
    snprintf(r->kernel_family, sizeof r->kernel_family, "%.*s", (int)sizeof r->kernel_family - 1,
             ffl_peers_notes(&row->instance.plan));
}

ffl_status ffl_own_finish(ffl_timed *row)
{
    ffl_samples walls;
    double low, high;
    FFL_TRY(ffl_samples_from(row->wall_ns, row->timed, &walls));
    ffl_samples_median(&walls, &row->record.wall_ns, &low, &high);
    ffl_samples_free(&walls);
    row->record.burst = (int64_t)row->burst;
    return FFL_OK;
}
