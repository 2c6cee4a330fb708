#include "harness/bench/device_calls.h"
#include "harness/bench/clock.h"
#include "harness/device/nvml.h"
#include "kernels/device.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BURST_MAX = 128, GRAPH_TOKENS_MAX = 256, AROUND = 15, ENQUEUED_MAX = 16 };

static const double burst_seconds = 5e-4; /* two events and a wait are lost in it */

static void *stream_of(const ffl_timed *row)
{
    return row->stage->device->stream;
}

static const void *x_at(const ffl_timed *row, size_t position)
{
    const ffl_device_rows *x = &row->device.ring->x;
    return x->memory.data + position % row->ring.x_rows * x->ld * x->element;
}

static void *y_at(const ffl_timed *row, size_t position)
{
    const ffl_device_rows *y = &row->device.ring->y;
    return y->memory.data + position % row->ring.y_rows * y->ld * y->element;
}

static ffl_status enqueue(const ffl_timed *row, const void *x, void *y, size_t tokens)
{
    const ffl_instance *i = &row->instance;
    return i->plan.variant->run(&i->plan, &i->exec, x, row->layer.width_in, y, row->layer.width_out, tokens);
}

static ffl_status enqueue_burst(const ffl_timed *row, size_t position, size_t calls)
{
    for (size_t c = 0; c < calls; c++, position += row->tokens)
        FFL_TRY(enqueue(row, x_at(row, position), y_at(row, position), row->tokens));
    return FFL_OK;
}

ffl_status ffl_device_calls_open(ffl_timed *row)
{
    row->instance.exec.stream = stream_of(row);
    return ffl_device_stage_ring(row->stage->device, row->stage, row->what->variant->contract.storage,
                                 &row->device.ring);
}

ffl_status ffl_device_call_once(ffl_timed *row, size_t tokens, double *seconds)
{
    const ffl_device_stage *d = row->stage->device;
    const ffl_device_ring *ring = row->device.ring;
    double ns;
    FFL_TRY(ffl_device_fill(ring->y.memory.data, 0xFF, tokens * ring->y.width * ring->y.element));
    FFL_TRY(ffl_device_event_record(d->start, d->stream));
    FFL_TRY(enqueue(row, ring->x.memory.data, ring->y.memory.data, tokens));
    FFL_TRY(ffl_device_event_record(d->end, d->stream));
    FFL_TRY(ffl_device_elapsed(d->start, d->end, &ns));
    FFL_TRY(ffl_device_synchronize()); /* what went to another stream counts as well, for right or wrong */
    *seconds = 1e-9 * ns;
    return ffl_device_rows_download(&ring->y, 0, tokens, row->stage->y_warm, ring->y.width);
}

/* ---- Plan ---- */

/* The most calls that divide a round of the inputs: every burst then starts where some graph starts. */
static size_t burst_of(const ffl_timed *row)
{
    const size_t round = row->ring.x_rows / row->tokens;
    const double wanted = row->call_seconds > 0 ? burst_seconds / row->call_seconds : BURST_MAX;
    size_t burst = wanted < 1 ? 1 : wanted > BURST_MAX ? BURST_MAX : (size_t)wanted;
    if (row->group->cache != FFL_HOT)
        return 1;
    while (round % burst != 0)
        burst--;
    return burst;
}

static ffl_status capture(ffl_timed *row, size_t position, void **graph)
{
    void *stream = stream_of(row);
    FFL_TRY(ffl_device_capture_begin(stream));
    const ffl_status kept = enqueue_burst(row, position, row->burst);
    char why[sizeof row->device.not_captured];
    if (kept != FFL_OK)
        snprintf(why, sizeof why, "%s", ffl_error());
    const ffl_status ended = ffl_device_capture_end(stream, graph);
    if (kept == FFL_OK)
        return ended;
    ffl_device_graph_free(*graph);
    *graph = NULL;
    return ffl_fail(FFL_DEVICE, "%s", why);
}

static void drop_graphs(ffl_device_calls *d)
{
    for (size_t i = 0; i < d->graph_count; i++)
        ffl_device_graph_free(d->graphs[i]);
    free(d->graphs);
    d->graphs = NULL;
    d->graph_count = 0;
}

/* As many graphs as bursts in a round of the inputs: replays see as many different tokens as plain calls. */
static ffl_status capture_all(ffl_timed *row)
{
    ffl_device_calls *d = &row->device;
    const size_t rows = row->burst * row->tokens, count = row->ring.x_rows / rows;
    d->graphs = calloc(count + 1, sizeof *d->graphs);
    if (!d->graphs)
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu graphs", count);
    for (size_t i = 0; i < count; i++) {
        const ffl_status status = capture(row, i * rows, &d->graphs[i]);
        if (status != FFL_OK) {
            snprintf(d->not_captured, sizeof d->not_captured, "%s", ffl_error());
            drop_graphs(d);
            return FFL_OK; /* its calls are timed as they are */
        }
        d->graph_count++;
    }
    /* A graph's first launch brings it to the device: not a matter of the timed ones. */
    for (size_t i = 0; i < count; i++)
        FFL_TRY(ffl_device_graph_launch(d->graphs[i], stream_of(row)));
    return ffl_device_stream_wait(stream_of(row));
}

ffl_status ffl_device_plan(ffl_timed *row)
{
    row->burst = burst_of(row);
    if (row->group->cache != FFL_HOT)
        return FFL_OK;
    FFL_TRY(capture_all(row));
    row->device.graph_ranks = row->device.graph_count > 0 && row->tokens <= GRAPH_TOKENS_MAX;
    return FFL_OK;
}

/* ---- Timed calls ---- */

static ffl_status time_burst(const ffl_timed *row, bool graph, size_t position, double *ns)
{
    const ffl_device_stage *d = row->stage->device;
    const ffl_device_ring *ring = row->device.ring;
    const void *x = x_at(row, position), *y = y_at(row, position);
    FFL_TRY(ffl_device_stage_cool(d));
    if (row->group->cache == FFL_WEIGHTS_COLD)
        FFL_TRY(ffl_device_stage_touch(d, x, row->tokens * ring->x.width * ring->x.element, y,
                                       row->tokens * ring->y.width * ring->y.element));
    FFL_TRY(ffl_device_event_record(d->start, d->stream));
    if (graph)
        FFL_TRY(ffl_device_graph_launch(
            row->device.graphs[position % row->ring.x_rows / (row->burst * row->tokens)], d->stream));
    else
        FFL_TRY(enqueue_burst(row, position, row->burst));
    FFL_TRY(ffl_device_event_record(d->end, d->stream));
    FFL_TRY(ffl_device_elapsed(d->start, d->end, ns));
    *ns /= (double)row->burst;
    return FFL_OK;
}

ffl_status ffl_device_sample(ffl_timed *row, double *ns)
{
    return time_burst(row, row->device.graph_ranks, row->position, ns);
}

ffl_status ffl_device_warm_up(ffl_timed *row, double seconds, bool poison)
{
    const ffl_device_rows *y = &row->device.ring->y;
    const double until = ffl_clock_ns() + 1e9 * seconds;
    double ns;
    do
        FFL_TRY(time_burst(row, row->device.graph_ranks, row->position, &ns));
    while (row->group->cache == FFL_HOT && ffl_clock_ns() < until);
    return poison ? ffl_device_fill(y->memory.data, 0xFF, y->memory.bytes) : FFL_OK;
}

static ffl_status find_damage(const ffl_timed *row, bool whole)
{
    const ffl_device_ring *ring = row->device.ring;
    FFL_TRY(ffl_device_rows_intact(&ring->y));
    if (row->instance.scratch.base)
        FFL_TRY(ffl_fenced_intact(&row->instance.scratch));
    if (!whole)
        return FFL_OK;
    FFL_TRY(ffl_device_rows_unchanged(&ring->x));
    return ffl_instance_intact(&row->instance);
}

ffl_status ffl_device_check(ffl_timed *row, bool whole)
{
    const ffl_device_ring *ring = row->device.ring;
    char why[256];
    FFL_TRY(ffl_device_synchronize());
    if (find_damage(row, whole) == FFL_OK)
        return FFL_OK;
    snprintf(why, sizeof why, "%s", ffl_error());
    FFL_TRY(ffl_fenced_restore(&ring->x.memory));
    FFL_TRY(ffl_fenced_restore(&ring->y.memory));
    FFL_TRY(ffl_device_upload(ring->x.memory.data, ring->x.image, ring->x.memory.bytes));
    return ffl_fail(FFL_DEVICE, "%s", why);
}

ffl_status ffl_device_fetch(ffl_timed *row)
{
    const ffl_device_ring *ring = row->device.ring;
    return ffl_device_rows_download(&ring->y, 0, row->ring.y_rows, row->stage->y, ring->y.width);
}

/* ---- Around them ---- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(double ns[AROUND])
{
    qsort(ns, AROUND, sizeof *ns, by_size);
    return ns[AROUND / 2];
}

static ffl_status time_form(const ffl_timed *row, bool graph, double *median)
{
    double ns[AROUND];
    size_t position = row->position;
    for (size_t i = 0; i < AROUND; i++, position += row->burst * row->tokens)
        FFL_TRY(time_burst(row, graph, position, &ns[i]));
    *median = median_of(ns);
    return FFL_OK;
}

static ffl_status time_host(const ffl_timed *row, double *wall, double *host)
{
    const size_t calls = row->burst < ENQUEUED_MAX ? row->burst : ENQUEUED_MAX;
    double alone[AROUND], enqueued[AROUND];
    size_t position = row->position;
    for (size_t i = 0; i < AROUND; i++, position += row->burst * row->tokens) {
        double start = ffl_clock_ns();
        FFL_TRY(enqueue_burst(row, position, 1));
        FFL_TRY(ffl_device_stream_wait(stream_of(row)));
        alone[i] = ffl_clock_ns() - start;
        start = ffl_clock_ns();
        FFL_TRY(enqueue_burst(row, position, calls));
        enqueued[i] = (ffl_clock_ns() - start) / (double)calls;
        FFL_TRY(ffl_device_stream_wait(stream_of(row)));
    }
    *wall = median_of(alone);
    *host = median_of(enqueued);
    return FFL_OK;
}

ffl_status ffl_device_around(ffl_timed *row)
{
    ffl_record *r = &row->record;
    ffl_nvml_clocks clocks;
    if (ffl_nvml_read(ffl_device_describe()->pci, &clocks)) { /* while it is still warm */
        r->sm_mhz = clocks.sm_mhz;
        r->memory_mhz = clocks.memory_mhz;
    }
    r->burst = (int64_t)row->burst;
    snprintf(r->form, sizeof r->form, "%s", row->device.graph_ranks ? "graph" : "plain");
    FFL_TRY(time_form(row, false, &r->plain_ns));
    if (row->device.graph_count)
        FFL_TRY(time_form(row, true, &r->graph_ns));
    else if (row->group->cache == FFL_HOT && row->device.not_captured[0])
        snprintf(r->reason, sizeof r->reason, "no graph: %s", row->device.not_captured);
    return time_host(row, &r->wall_ns, &r->enqueue_ns);
}

void ffl_device_calls_close(ffl_timed *row)
{
    drop_graphs(&row->device);
    row->device = (ffl_device_calls){0};
}
