#include "harness/check/suite.h"
#include "harness/device/storage.h"
#include "harness/workload/random.h"
#include "kernels/memory.h"
#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

/* Elements for the padding of a row and for an offset, after rounding to an alignment of up to 256 bytes. */
enum { ROW_ROOM = 160, ROOM = 256, NOBODY = -1 };

/* ---- The pool ---- */

static void choose_sizes(ffl_pool *pool)
{
    static const size_t sizes[] = {1, 2, 3, 7, 64};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i] <= pool->probes && sizes[i] < pool->batch)
            pool->sizes[pool->size_count++] = sizes[i];
    pool->sizes[pool->size_count++] = pool->batch;
}

/* Every second row at most, so that each probe has neighbours that are none. */
static void choose_probes(ffl_pool *pool)
{
    pool->probes = pool->batch < 2 * FFL_PROBES_MAX ? (pool->batch + 1) / 2 : FFL_PROBES_MAX;
    pool->step = pool->batch / pool->probes;
}

static void scale_probe(ffl_pool *pool, size_t probe, float factor)
{
    const size_t width = pool->fixture.weights.layer.width_in;
    for (size_t i = 0; probe < pool->probes && i < width; i++)
        pool->fixture.x[probe * pool->step * width + i] *= factor;
}

static void shuffle(size_t *order, size_t count, uint64_t seed)
{
    ffl_random random = ffl_random_new(seed, FFL_STREAM_PLAN);
    for (size_t i = 0; i < count; i++) {
        const size_t k = ffl_random_below(&random, i + 1);
        order[i] = order[k];
        order[k] = i;
    }
}

static ffl_status fill_pool(ffl_pool *pool, uint64_t seed)
{
    const size_t width = pool->fixture.weights.layer.width_in;
    choose_probes(pool);
    choose_sizes(pool);
    pool->shuffled = ffl_alloc_array(pool->batch, sizeof *pool->shuffled);
    pool->probe_x = ffl_alloc_array(pool->probes * width, sizeof *pool->probe_x);
    if (!pool->shuffled || !pool->probe_x)
        return FFL_NO_MEMORY;
    /* All denormal, and so small that products with weights are. */
    scale_probe(pool, 1, 0x1p-130f);
    scale_probe(pool, 4, 0x1p-123f);
    shuffle(pool->shuffled, pool->batch, seed);
    for (size_t p = 0; p < pool->probes; p++)
        memcpy(pool->probe_x + p * width, pool->fixture.x + p * pool->step * width, width * sizeof(float));
    return FFL_OK;
}

ffl_status ffl_pool_new(const ffl_check_case *item, ffl_pool *out)
{
    const ffl_fixture_request request = {.name = "random",
                                         .shape = item->shape,
                                         .bias = ffl_layout_from_seed(item->seed).bias,
                                         .tokens = item->batch,
                                         .seed = item->seed};
    *out = (ffl_pool){.batch = item->batch};
    ffl_status status = ffl_fixture_make(&request, &out->fixture);
    if (status == FFL_OK)
        status = fill_pool(out, item->seed);
    if (status != FFL_OK)
        ffl_pool_free(out);
    return status;
}

void ffl_pool_free(ffl_pool *pool)
{
    ffl_fixture_free(&pool->fixture);
    ffl_free(pool->shuffled);
    ffl_free(pool->probe_x);
    *pool = (ffl_pool){0};
}

/* ---- Lanes ---- */

ffl_status ffl_lane_new(const ffl_pool *pool, ffl_lane *out)
{
    const ffl_layer *l = &pool->fixture.weights.layer;
    *out = (ffl_lane){.pool = pool,
                      .x = ffl_alloc_rows(pool->batch * (l->width_in + ROW_ROOM) + ROOM, sizeof(float)),
                      .y = ffl_alloc_rows(pool->batch * (l->width_out + ROW_ROOM) + ROOM, sizeof(float)),
                      .got = ffl_alloc_array(pool->size_count * pool->probes * l->width_out, sizeof(float))};
    if (out->x && out->y && out->got)
        return FFL_OK;
    ffl_lane_free(out);
    return FFL_NO_MEMORY;
}

void ffl_lane_free(ffl_lane *lane)
{
    ffl_free(lane->x);
    ffl_free(lane->y);
    ffl_free(lane->got);
    *lane = (ffl_lane){0};
}

float *ffl_suite_rows(const ffl_lane *lane, size_t s)
{
    return lane->got + s * lane->pool->probes * lane->pool->fixture.weights.layer.width_out;
}

/* ---- The caller's mode ---- */

#if defined(__x86_64__)
enum { FLUSH_TO_ZERO = 0x8000, DENORMALS_ARE_ZERO = 0x0040 };

bool ffl_suite_flushes(void)
{
    return true;
}

static unsigned enter(const ffl_setting *s)
{
    const unsigned before = _mm_getcsr();
    if (s->flush)
        _mm_setcsr(before | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
    return before;
}

static void leave(unsigned before)
{
    _mm_setcsr(before);
}
#else
bool ffl_suite_flushes(void)
{
    return false;
}

static unsigned enter(const ffl_setting *s)
{
    (void)s;
    return 0;
}

static void leave(unsigned before)
{
    (void)before;
}
#endif

/* ---- Calls ---- */

static ffl_status run_at(const ffl_instance *instance, const ffl_setting *s, const float *x, size_t ldx,
                         float *y, size_t ldy, size_t tokens)
{
    const ffl_device_place place = {.offset_x = s->offset_x, .offset_y = s->offset_y};
    if (ffl_variant_on_device(instance->plan.variant))
        return ffl_instance_run_placed(instance, &place, x, ldx, y, ldy, tokens);
    const unsigned mode = enter(s);
    const ffl_status status = ffl_instance_run(instance, x, ldx, y, ldy, tokens);
    leave(mode);
    return status;
}

/* One call, or two, on rows of the pool (NOBODY: NaN); the outputs of those in `to` are copied there. */
static ffl_status call(const ffl_lane *lane, const ffl_instance *instance, const ffl_setting *s,
                       const long *rows, float *const *to, size_t count)
{
    const ffl_layer *l = &lane->pool->fixture.weights.layer;
    const ffl_contract *c = &instance->plan.variant->contract;
    const size_t ldx = ffl_storage_stride(l->width_in, s->padding_x, c);
    const size_t ldy = ffl_storage_stride(l->width_out, s->padding_y, c);
    const size_t unit = c->alignment > sizeof(float) ? c->alignment / sizeof(float) : 1;
    float *x = lane->x + s->offset_x * unit, *y = lane->y + s->offset_y * unit;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; rows[i] == NOBODY && j < l->width_in; j++)
            x[i * ldx + j] = NAN;
        if (rows[i] != NOBODY)
            memcpy(x + i * ldx, lane->pool->fixture.x + (size_t)rows[i] * l->width_in,
                   l->width_in * sizeof *x);
        for (size_t j = 0; j < l->width_out; j++)
            y[i * ldy + j] = NAN;
    }
    /* Not halves: the two calls take other ways through a blocked kernel. */
    const size_t cut = s->split && count > 1 ? (count + 2) / 3 : count;
    FFL_TRY(run_at(instance, s, x, ldx, y, ldy, cut));
    if (cut < count)
        FFL_TRY(run_at(instance, s, x + cut * ldx, ldx, y + cut * ldy, ldy, count - cut));
    for (size_t i = 0; i < count; i++)
        if (to[i])
            memcpy(to[i], y + i * ldy, l->width_out * sizeof *y);
    return FFL_OK;
}

/* All probes in calls of `size` of them; the last one goes back for what it lacks. */
static ffl_status run_chunks(const ffl_lane *lane, const ffl_instance *instance, const ffl_setting *s,
                             size_t size, float *got)
{
    const size_t probes = lane->pool->probes, width = lane->pool->fixture.weights.layer.width_out;
    long rows[FFL_PROBES_MAX];
    float *to[FFL_PROBES_MAX];
    for (size_t first = 0; first < probes; first += size) {
        const size_t from = first + size > probes ? probes - size : first;
        for (size_t i = 0; i < size; i++) {
            const size_t probe = from + (s->shuffled ? size - 1 - i : i);
            const bool absent = s->lonely && probe % 7;
            rows[i] = absent ? NOBODY : (long)(probe * lane->pool->step);
            to[i] = absent ? NULL : got + probe * width;
        }
        FFL_TRY(call(lane, instance, s, rows, to, size));
    }
    return FFL_OK;
}

static ffl_status run_full(const ffl_lane *lane, const ffl_instance *instance, const ffl_setting *s,
                           float *got)
{
    const ffl_pool *pool = lane->pool;
    const size_t width = pool->fixture.weights.layer.width_out;
    long *rows = ffl_alloc_array(pool->batch, sizeof *rows);
    float **to = ffl_alloc_array(pool->batch, sizeof *to);
    ffl_status status = rows && to ? FFL_OK : FFL_NO_MEMORY;
    for (size_t i = 0; status == FFL_OK && i < pool->batch; i++) {
        const size_t row = s->shuffled ? pool->shuffled[i] : i;
        const bool probe = row % pool->step == 0 && row / pool->step < pool->probes;
        rows[i] = s->lonely && !probe ? NOBODY : (long)row;
        to[i] = probe ? got + row / pool->step * width : NULL;
    }
    if (status == FFL_OK)
        status = call(lane, instance, s, rows, to, pool->batch);
    ffl_free(rows);
    ffl_free(to);
    return status;
}

ffl_status ffl_suite_run(const ffl_lane *lane, const ffl_instance *instance, const ffl_setting *setting)
{
    const ffl_pool *pool = lane->pool;
    for (size_t s = 0; s + 1 < pool->size_count; s++)
        FFL_TRY(run_chunks(lane, instance, setting, pool->sizes[s], ffl_suite_rows(lane, s)));
    return run_full(lane, instance, setting, ffl_suite_rows(lane, pool->size_count - 1));
}
