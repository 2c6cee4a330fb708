#include "harness/bench/device_stage.h"
#include "harness/bench/clock.h"
#include "harness/device/storage.h"
#include "kernels/device.h"
#include <stdlib.h>
#include <string.h>

enum { UNKNOWN_CACHE = 64 << 20 };

static const double wake_ns = 0.33e9;

bool ffl_device_timing(const char **why)
{
    const char *asked = getenv("FFL_EMULATED_BENCH");
    if (!ffl_device_available(why))
        return false;
    *why = "emulated device: times mean nothing";
    return !ffl_device_emulated() || (asked && strcmp(asked, "1") == 0);
}

/* Rows of one call in the widest type: what a copy of them needs. */
static size_t call_bytes(const ffl_group *group)
{
    const ffl_layer *l = &group->tree;
    return group->batch * (l->width_in > l->width_out ? l->width_in : l->width_out) * sizeof(float);
}

static ffl_status make_cold(const ffl_group *group, ffl_device_stage *out)
{
    const size_t cache = ffl_device_describe()->l2_bytes;
    double ns;
    out->sweep_bytes = 2 * (cache ? cache : UNKNOWN_CACHE);
    FFL_TRY(ffl_device_alloc(out->sweep_bytes, &out->sweep));
    FFL_TRY(ffl_device_alloc(call_bytes(group), &out->touched));
    FFL_TRY(ffl_device_fill(out->sweep, 1, out->sweep_bytes)); /* the first one is slower */
    FFL_TRY(ffl_device_event_record(out->start, out->stream));
    FFL_TRY(ffl_device_fill_on(out->stream, out->sweep, 1, out->sweep_bytes));
    FFL_TRY(ffl_device_event_record(out->end, out->stream));
    FFL_TRY(ffl_device_elapsed(out->start, out->end, &ns));
    out->sweep_seconds = 1e-9 * ns;
    return FFL_OK;
}

ffl_status ffl_device_stage_new(const ffl_stage *stage, const ffl_group *group, ffl_device_stage *out)
{
    *out = (ffl_device_stage){.y_rows = stage->y_rows};
    ffl_status status = ffl_device_stream_new(&out->stream);
    if (status == FFL_OK)
        status = ffl_device_event_new(&out->start);
    if (status == FFL_OK)
        status = ffl_device_event_new(&out->end);
    if (status == FFL_OK && group->cache != FFL_HOT)
        status = make_cold(group, out);
    if (status != FFL_OK)
        ffl_device_stage_free(out);
    return status;
}

ffl_status ffl_device_stage_ring(ffl_device_stage *device, const ffl_stage *stage, ffl_type storage,
                                 ffl_device_ring **out)
{
    const size_t width_in = stage->made.tree.width_in, width_out = stage->made.tree.width_out;
    ffl_device_ring *ring = *out = &device->ring[storage];
    if (ring->x.tokens)
        return FFL_OK;
    ffl_status status = ffl_device_rows_new("x", storage, stage->x_rows, width_in, width_in, 0, &ring->x);
    if (status == FFL_OK)
        status = ffl_device_rows_new("y", storage, stage->y_rows, width_out, width_out, 0, &ring->y);
    if (status == FFL_OK)
        status = ffl_device_rows_upload(&ring->x, stage->x, width_in);
    if (status != FFL_OK) {
        ffl_device_rows_free(&ring->x);
        ffl_device_rows_free(&ring->y);
    }
    return status;
}

ffl_status ffl_device_stage_wake(const ffl_device_stage *device)
{
    enum { BYTES = 64 << 20, FILLS = 64 };
    void *buffer;
    FFL_TRY(ffl_device_alloc(BYTES, &buffer));
    const double until = ffl_clock_ns() + (ffl_device_emulated() ? 0 : wake_ns);
    ffl_status status = FFL_OK;
    while (status == FFL_OK && ffl_clock_ns() < until) {
        for (int i = 0; i < FILLS && status == FFL_OK; i++)
            status = ffl_device_fill_on(device->stream, buffer, i, BYTES);
        if (status == FFL_OK)
            status = ffl_device_stream_wait(device->stream);
    }
    ffl_device_free(buffer);
    return status;
}

ffl_status ffl_device_stage_cool(const ffl_device_stage *device)
{
    return device->sweep ? ffl_device_fill_on(device->stream, device->sweep, 1, device->sweep_bytes) : FFL_OK;
}

ffl_status ffl_device_stage_touch(const ffl_device_stage *device, const void *x, size_t x_bytes,
                                  const void *y, size_t y_bytes)
{
    FFL_TRY(ffl_device_copy_on(device->stream, device->touched, x, x_bytes));
    return ffl_device_copy_on(device->stream, device->touched, y, y_bytes);
}

void ffl_device_stage_free(ffl_device_stage *device)
{
    for (size_t i = 0; i < FFL_TYPE_COUNT; i++) {
        ffl_device_rows_free(&device->ring[i].x);
        ffl_device_rows_free(&device->ring[i].y);
    }
    ffl_device_free(device->sweep);
    ffl_device_free(device->touched);
    ffl_device_event_free(device->start);
    ffl_device_event_free(device->end);
    ffl_device_stream_free(device->stream);
    *device = (ffl_device_stage){0};
}
