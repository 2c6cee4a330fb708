/* The roofs of a GPU: matrix products of the library, loads by all multiprocessors, the driver's copy. */
#include "cuda/gemm.h"
#include "harness/bench/clock.h"
#include "harness/bench/device_stage.h"
#include "harness/roofs/roofs.h"
#include "kernels/device.h"
#include "reports/date.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS_MIN = 5, ROUNDS_MAX = 200, FILL = 0x3c /* small numbers in every type */ };
static const double seconds_each = 1.0;

/* One roof: what is enqueued between two events, and how much work that is, in 1e9ths of the unit. */
typedef struct gauge {
    const char *name, *unit;
    ffl_status (*enqueue)(const struct gauge *gauge, void *stream);
    double work, bytes;
    int passes;
    const ffl_gemm *gemm;
    char *from, *to, *extra, *workspace;
    size_t size;
} gauge;

static ffl_status enqueue_read(const gauge *g, void *stream)
{
    return ffl_device_read_on(stream, g->from, g->size, g->passes, g->to);
}

static ffl_status enqueue_copy(const gauge *g, void *stream)
{
    return ffl_device_copy_on(stream, g->to, g->from, g->size);
}

static ffl_status enqueue_product(const gauge *g, void *stream)
{
    return ffl_gemm_run(g->gemm, g->size, g->from, g->to, NULL, g->extra, g->workspace, stream);
}

static ffl_status run_round(const gauge *g, void *stream, void *const events[2], double *rate)
{
    double ns;
    FFL_TRY(ffl_device_event_record(events[0], stream));
    FFL_TRY(g->enqueue(g, stream));
    FFL_TRY(ffl_device_event_record(events[1], stream));
    FFL_TRY(ffl_device_elapsed(events[0], events[1], &ns));
    *rate = g->work / (ns > 1 ? ns : 1);
    return FFL_OK;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* As on the host: the second best of all rounds. The first ones warm up and are not kept. */
static ffl_status measure(const gauge *g, void *stream, void *const events[2], ffl_roofs *out)
{
    double rates[ROUNDS_MAX], unused;
    size_t count = 0;
    const double start = ffl_clock_ns();
    FFL_TRY(run_round(g, stream, events, &unused));
    while (count < ROUNDS_MIN || (count < ROUNDS_MAX && 1e-9 * (ffl_clock_ns() - start) < seconds_each))
        FFL_TRY(run_round(g, stream, events, &rates[count++]));
    qsort(rates, count, sizeof *rates, ascending);
    ffl_roof roof = {.place = "cuda", .threads = 1, .rounds = (int64_t)count, .bytes = g->bytes};
    snprintf(roof.name, sizeof roof.name, "%s", g->name);
    snprintf(roof.unit, sizeof roof.unit, "%s", g->unit);
    snprintf(roof.device, sizeof roof.device, "%s", ffl_device_name());
    ffl_date_write(time(NULL), roof.date);
    roof.value = rates[count - 2];
    roof.median = rates[count / 2];
    return ffl_roofs_put(out, &roof);
}

/* Of memory eight times the level-2 cache, and of a set a quarter of it gone over again and again. */
static ffl_status measure_memory(void *stream, void *const events[2], ffl_roofs *out)
{
    const bool emulated = ffl_device_emulated();
    const size_t l2 = ffl_device_describe()->l2_bytes;
    const size_t all = emulated ? 1 << 16 : 8 * (l2 < 32 << 20 ? 32 << 20 : l2),
                 quarter = emulated ? 1 << 12 : l2 / 4;
    void *from = NULL, *to = NULL;
    ffl_status status = ffl_device_alloc(all, &from);
    if (status == FFL_OK)
        status = ffl_device_alloc(all, &to);
    if (status == FFL_OK)
        status = ffl_device_fill(from, FILL, all);
    gauge g = {.unit = "GB/s", .enqueue = enqueue_read, .from = from, .to = to};
    if (status == FFL_OK && quarter) {
        g.name = "read_l2";
        g.size = quarter / 16 * 16;
        g.passes = emulated ? 2 : 64;
        g.bytes = (double)g.size;
        g.work = g.passes * g.bytes;
        status = measure(&g, stream, events, out);
    }
    if (status == FFL_OK) {
        g.name = "read_dram";
        g.size = all;
        g.passes = 1;
        g.work = g.bytes = (double)all;
        status = measure(&g, stream, events, out);
    }
    if (status == FFL_OK) {
        g.name = "copy_dram";
        g.enqueue = enqueue_copy;
        g.work = 2 * (double)all;
        status = measure(&g, stream, events, out);
    }
    ffl_device_free(from);
    ffl_device_free(to);
    return status;
}

/* One type; a library that has no kernel for it has no such roof. */
static ffl_status measure_product(ffl_type type, void *stream, void *const events[2], ffl_roofs *out)
{
    const size_t n = ffl_device_emulated() ? 32 : 8192, bytes = n * n * sizeof(float);
    const ffl_gemm_shape shape = {.m = n,
                                  .n = n,
                                  .k = n,
                                  .transposed_b = true,
                                  .lda = n,
                                  .ldb = n,
                                  .ldd = n,
                                  .type = type,
                                  .output = FFL_F32};
    ffl_gemm *gemm = NULL;
    void *buffers[4] = {NULL};
    char name[40];
    double us;
    ffl_status status = ffl_gemm_new(&shape, &gemm);
    if (status == FFL_UNSUPPORTED)
        return FFL_OK;
    for (int i = 0; i < 3 && status == FFL_OK; i++) {
        status = ffl_device_alloc(bytes, &buffers[i]);
        if (status == FFL_OK)
            status = ffl_device_fill(buffers[i], FILL, bytes);
    }
    if (status == FFL_OK)
        status = ffl_device_alloc(ffl_gemm_workspace(gemm) + 16, &buffers[3]);
    if (status == FFL_OK)
        status = ffl_gemm_tune(gemm, n, buffers[0], buffers[1], NULL, buffers[2], buffers[3], &us);
    snprintf(name, sizeof name, "matmul_%s", ffl_type_name(type));
    const gauge g = {.name = name,
                     .unit = "GFLOP/s",
                     .enqueue = enqueue_product,
                     .work = 2.0 * (double)n * (double)n * (double)n,
                     .bytes = NAN,
                     .gemm = gemm,
                     .from = buffers[0],
                     .to = buffers[1],
                     .extra = buffers[2],
                     .workspace = buffers[3],
                     .size = n};
    if (status == FFL_OK)
        status = measure(&g, stream, events, out);
    ffl_gemm_free(gemm);
    for (int i = 0; i < 4; i++)
        ffl_device_free(buffers[i]);
    return status;
}

static ffl_status measure_all(void *stream, void *const events[2], ffl_roofs *out)
{
    static const ffl_type types[] = {FFL_F32, FFL_TF32, FFL_BF16, FFL_F16};
    FFL_TRY(measure_memory(stream, events, out));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        FFL_TRY(measure_product(types[i], stream, events, out));
    return FFL_OK;
}

ffl_status ffl_roofs_measure_device(ffl_roofs *out, const char **why)
{
    void *stream = NULL, *events[2] = {NULL};
    if (!ffl_device_timing(why))
        return FFL_OK;
    *why = NULL;
    ffl_status status = ffl_device_stream_new(&stream);
    for (int i = 0; i < 2 && status == FFL_OK; i++)
        status = ffl_device_event_new(&events[i]);
    if (status == FFL_OK)
        status = measure_all(stream, events, out);
    for (int i = 0; i < 2; i++)
        ffl_device_event_free(events[i]);
    ffl_device_stream_free(stream);
    return status;
}
