/*
 * Timed passes on the device. A pass is captured twice: as a bare graph, whose replay between two events is
 * the time of the pass, and with an event behind every stretch of work, whose replay says where the time
 * goes. Events between launches cost time of their own, so that the stretches are scaled to add up to the
 * bare pass. Where the variant cannot be captured the marked pass is enqueued piece by piece and is all there
 * is. Ids and masks are on the device before the clock starts.
 */
#include "harness/device/storage.h"
#include "harness/encoder/encoder_device.h"
#include "kernels/device.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROWS_ALIGNMENT = 256 };

static ffl_status enqueue_marked(ffl_encoder *e, bool logits)
{
    ffl_encoder_device *d = e->device;
    d->mark_count = 0;
    d->marking = true;
    ffl_status status = ffl_encoder_device_mark(e, FFL_PART_EMBEDDING); /* where the pass begins */
    if (status == FFL_OK)
        status = ffl_encoder_device_pass(e, logits);
    d->marking = false;
    return status;
}

static ffl_status enqueue_bare(ffl_encoder *e, bool logits)
{
    return ffl_encoder_device_pass(e, logits);
}

/* All feedforward layers, each on its own rows. */
static ffl_status enqueue_alone(ffl_encoder *e, bool logits)
{
    const ffl_encoder_device *d = e->device;
    const size_t layers = e->weights->config.layers, step = d->alone_rows.bytes / layers;
    (void)logits;
    for (size_t i = 0; i < layers; i++)
        FFL_TRY(ffl_encoder_device_feed(e, i, d->alone_rows.data + i * step, d->mixed.data));
    return FFL_OK;
}

typedef ffl_status enqueue_function(ffl_encoder *e, bool logits);

static ffl_status capture(ffl_encoder *e, enqueue_function *enqueue, bool logits, void **graph)
{
    char why[512];
    FFL_TRY(ffl_device_capture_begin(e->device->stream));
    const ffl_status kept = enqueue(e, logits);
    if (kept != FFL_OK)
        snprintf(why, sizeof why, "%s", ffl_error());
    const ffl_status ended = ffl_device_capture_end(e->device->stream, graph);
    if (kept == FFL_OK)
        return ended;
    ffl_device_graph_free(*graph);
    *graph = NULL;
    return ffl_fail(kept, "%s", why);
}

/* A graph's first launch brings it to the device: not a matter of the timed ones. */
static ffl_status launch_once(const ffl_encoder_device *d, void *graph)
{
    FFL_TRY(ffl_device_graph_launch(graph, d->stream));
    return ffl_device_stream_wait(d->stream);
}

void ffl_encoder_device_drop_graphs(ffl_encoder_device *d)
{
    ffl_device_graph_free(d->bare);
    ffl_device_graph_free(d->marked);
    d->bare = d->marked = NULL;
}

static ffl_status capture_pass(ffl_encoder *e, bool logits)
{
    ffl_encoder_device *d = e->device;
    ffl_pass_key key;
    memset(&key, 0, sizeof key); /* its padding is compared, too */
    key.batch = e->input->batch, key.sequence = e->input->sequence;
    key.masked = e->input->mask != NULL, key.logits = logits;
    if (d->plain || (d->bare && memcmp(&d->key, &key, sizeof key) == 0))
        return FFL_OK;
    ffl_encoder_device_drop_graphs(d);
    memcpy(&d->key, &key, sizeof key);
    if (capture(e, enqueue_bare, logits, &d->bare) != FFL_OK ||
        capture(e, enqueue_marked, logits, &d->marked) != FFL_OK) {
        ffl_encoder_device_drop_graphs(d);
        d->plain = true;
        return FFL_OK;
    }
    return launch_once(d, d->bare);
}

/* whole: of the bare pass, or NAN where there is none. */
static ffl_status file_times(ffl_encoder *e, double whole, double start)
{
    const ffl_encoder_device *d = e->device;
    double sum, ns;
    FFL_TRY(ffl_device_elapsed(d->mark[0].event, d->mark[d->mark_count - 1].event, &sum));
    const double scale = isfinite(whole) && sum > 0 ? whole / sum : 1;
    for (size_t i = 1; i < d->mark_count; i++) {
        FFL_TRY(ffl_device_elapsed(d->mark[i - 1].event, d->mark[i].event, &ns));
        e->clock.layer = d->mark[i].layer;
        ffl_pass_clock_file(&e->clock, d->mark[i].part, start, scale * ns);
        start += scale * ns;
    }
    e->clock.layer = SIZE_MAX;
    return FFL_OK;
}

static ffl_status time_bare(const ffl_encoder_device *d, double *ns)
{
    /* What a replay that does nothing would leave must not look like its result. */
    FFL_TRY(ffl_device_fill_on(d->stream, d->state.data, 0xFF, d->state.bytes));
    FFL_TRY(ffl_device_event_record(d->start, d->stream));
    FFL_TRY(ffl_device_graph_launch(d->bare, d->stream));
    FFL_TRY(ffl_device_event_record(d->end, d->stream));
    return ffl_device_elapsed(d->start, d->end, ns);
}

ffl_status ffl_encoder_device_run(ffl_encoder *e, const ffl_encoder_input *input, bool logits)
{
    ffl_encoder_device *d = e->device;
    double whole = NAN;
    FFL_TRY(ffl_encoder_device_take(e, input));
    FFL_TRY(capture_pass(e, logits));
    const double start = ffl_pass_clock_ns();
    if (d->plain)
        FFL_TRY(enqueue_marked(e, logits));
    else
        FFL_TRY(ffl_device_graph_launch(d->marked, d->stream));
    FFL_TRY(ffl_device_stream_wait(d->stream));
    if (!d->plain)
        FFL_TRY(time_bare(d, &whole));
    e->pending = false;
    return file_times(e, whole, start);
}

/* ---- The feedforward layers alone ---- */

static void drop_alone(ffl_encoder_device *d)
{
    ffl_device_graph_free(d->alone);
    d->alone = NULL;
    ffl_fenced_free(&d->alone_rows);
    d->alone_tokens = 0;
}

static ffl_status prepare_alone(ffl_encoder *e, const float *x)
{
    ffl_encoder_device *d = e->device;
    const ffl_encoder_config *c = &e->weights->config;
    const size_t count = e->tokens * c->width, bytes = count * ffl_storage_size(d->storage);
    const size_t step = (bytes + ROWS_ALIGNMENT - 1) / ROWS_ALIGNMENT * ROWS_ALIGNMENT;
    drop_alone(d);
    FFL_TRY(ffl_fenced_new("feedforward rows", c->layers * step, 0, &d->alone_rows));
    for (size_t i = 0; i < c->layers; i++)
        FFL_TRY(ffl_encoder_device_put(e, d->alone_rows.data + i * step, x + i * count, count));
    if (!d->plain && capture(e, enqueue_alone, false, &d->alone) != FFL_OK)
        d->alone = NULL; /* enqueued one by one */
    if (d->alone)
        FFL_TRY(launch_once(d, d->alone));
    d->alone_tokens = e->tokens;
    return FFL_OK;
}

ffl_status ffl_encoder_device_alone(ffl_encoder *e, const float *x, double *ns)
{
    ffl_encoder_device *d = e->device;
    if (d->alone_tokens != e->tokens)
        FFL_TRY(prepare_alone(e, x));
    FFL_TRY(ffl_device_event_record(d->start, d->stream));
    if (d->alone)
        FFL_TRY(ffl_device_graph_launch(d->alone, d->stream));
    else
        FFL_TRY(enqueue_alone(e, false));
    FFL_TRY(ffl_device_event_record(d->end, d->stream));
    return ffl_device_elapsed(d->start, d->end, ns);
}
