#include "harness/check/passes.h"
#include "harness/check/checks.h"
#include "harness/check/guard.h"
#include "harness/check/leaks.h"
#include "harness/device/storage.h"
#include "harness/registry.h"
#include "harness/workload/random.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WEIGHT_ALIGNMENT = 64, AGAIN_TOKENS = 8 };

typedef struct call {
    ffl_order order;
    bool nan;             /* y holds NaN before, otherwise plausible numbers */
    bool twice;           /* and once more with the same buffers, in the order FFL_AGAIN */
    bool warm;            /* the call before was of the same size */
    size_t first, tokens; /* rows first … first + tokens - 1 in the order of the pass */
} call;

static size_t row_of(const ffl_passes *p, const call *c, size_t i)
{
    if (c->order == FFL_AGAIN)
        return i > 0 ? c->tokens - i : c->tokens == 1 && p->rows > 1;
    return c->order == FFL_BACKWARDS ? p->rows - 1 - (c->first + i) : c->first + i;
}

static ffl_fence fence_of(const call *c)
{
    return c->order == FFL_BACKWARDS ? FFL_FENCE_BEFORE : FFL_FENCE_AFTER;
}

static void fill_buffers(const ffl_passes *p, const call *c, const ffl_guarded_rows *x,
                         const ffl_guarded_rows *y)
{
    ffl_random random = ffl_random_new(p->seed, c->first);
    for (size_t i = 0; i < c->tokens; i++) {
        memcpy(x->data + i * x->ld, p->x + row_of(p, c, i) * x->width, x->width * sizeof *x->data);
        for (size_t j = 0; j < y->width; j++)
            y->data[i * y->ld + j] = c->nan ? NAN : (float)ffl_random_uniform(&random);
    }
}

static ffl_status run_once(const ffl_passes *p, const ffl_instance *instance, const call *c,
                           const ffl_guarded_rows *x, const ffl_guarded_rows *y)
{
    if (!ffl_variant_on_device(instance->plan.variant))
        return ffl_instance_run(instance, x->data, x->ld, y->data, y->ld, c->tokens);
    const ffl_device_place place = {.ends_flush = fence_of(c) == FFL_FENCE_AFTER,
                                    .offset_x = p->layout.offset_x,
                                    .offset_y = p->layout.offset_y};
    FFL_TRY(ffl_instance_run_placed(instance, &place, x->data, x->ld, y->data, y->ld, c->tokens));
    return ffl_instance_intact(instance);
}

/* Runs the variant; false, with the reason, when it misbehaved. */
static bool run_guarded(const ffl_passes *p, const ffl_instance *instance, const call *c, ffl_guarded_rows *x,
                        ffl_guarded_rows *y, char *why, size_t size)
{
    const size_t scratch_bytes = instance->plan.scratch_bytes;
    const bool host = !ffl_variant_on_device(instance->plan.variant);
    const bool own = ffl_leaks_own(instance->plan.variant);
    ffl_leaks before;
    ffl_status status = FFL_OK;
    if (ffl_check_on(FFL_CHECK_SCRATCH_POISON))
        status = ffl_instance_poison_scratch(instance); /* NaN: its contents are unspecified */
    ffl_leaks_before(&before);
    /* Messages come and go: malloc counts what it keeps for the next one. */
    if (instance->plan.variant->library == FFL_PROCESS)
        before.heap = SIZE_MAX;
    if (status == FFL_OK)
        status = run_once(p, instance, c, x, y);
    const bool clean = ffl_leaks_after(&before, own, c->warm, why, size) || !host;
    if (status != FFL_OK) {
        snprintf(why, size, "run failed: %s", ffl_error());
        return false;
    }
    if (!clean)
        return false;
    if (!ffl_guarded_rows_intact(y, why, size) || !ffl_guarded_rows_intact(x, why, size))
        return false;
    if (host && scratch_bytes && ffl_check_on(FFL_CHECK_SCRATCH_GUARD) &&
        !ffl_memory_intact(instance->exec.scratch)) {
        snprintf(why, size, "wrote outside its scratch of %zu bytes", scratch_bytes);
        ffl_memory_restore(instance->exec.scratch);
        return false;
    }
    for (size_t i = 0; i < c->tokens; i++)
        memcpy(p->got + row_of(p, c, i) * y->width, y->data + i * y->ld, y->width * sizeof *y->data);
    return true;
}

/* Buffers for a call: x filled and read-only, y poisoned. */
static ffl_status make_buffers(const ffl_passes *p, const ffl_contract *contract, const call *c,
                               ffl_guarded_rows *x, ffl_guarded_rows *y)
{
    const ffl_layer *l = p->layer;
    const size_t alignment = contract->alignment > sizeof(float) ? contract->alignment : sizeof(float);
    const size_t ldx = ffl_storage_stride(l->width_in, p->layout.padding_x, contract);
    const size_t ldy = ffl_storage_stride(l->width_out, p->layout.padding_y, contract);
    ffl_placement place = {.fence = fence_of(c),
                           .before = 4 * p->layout.offset_x,
                           .after = contract->over_read_bytes,
                           .alignment = ffl_check_on(FFL_CHECK_MISALIGNMENT) ? alignment : WEIGHT_ALIGNMENT};
    FFL_TRY(ffl_guarded_rows_new("x", c->tokens, l->width_in, ldx, &place, x));
    place.before = 4 * p->layout.offset_y;
    FFL_TRY(ffl_guarded_rows_new("y", c->tokens, l->width_out, ldy, &place, y));
    fill_buffers(p, c, x, y);
    return ffl_guard_lock(&x->memory, true);
}

static ffl_status do_call(const ffl_passes *p, const ffl_instance *instance, const call *c, bool *fine,
                          char *why, size_t size)
{
    ffl_guarded_rows x = {0}, y = {0};
    ffl_status status = make_buffers(p, &instance->plan.variant->contract, c, &x, &y);
    if (status == FFL_OK)
        *fine = run_guarded(p, instance, c, &x, &y, why, size);
    if (status == FFL_OK && *fine && c->twice) {
        call again = *c;
        again.order = FFL_AGAIN;
        again.warm = true;
        status = ffl_guard_lock(&x.memory, false);
        fill_buffers(p, &again, &x, &y);
        if (status == FFL_OK)
            status = ffl_guard_lock(&x.memory, true);
        if (status == FFL_OK)
            *fine = run_guarded(p, instance, &again, &x, &y, why, size);
    }
    ffl_guarded_rows_free(&x);
    ffl_guarded_rows_free(&y);
    return status;
}

static size_t again_tokens(const ffl_passes *p)
{
    return p->batch < AGAIN_TOKENS ? p->batch : AGAIN_TOKENS;
}

/* The first rows, then others at the same addresses: whoever remembers by address or by a sample is wrong. */
static ffl_status do_again(const ffl_passes *p, const ffl_instance *instance, bool *fine, char *why,
                           size_t size)
{
    const call c = {.order = FFL_FORWARDS,
                    .nan = !ffl_check_on(FFL_CHECK_OLD_VALUES),
                    .twice = true,
                    .tokens = again_tokens(p)};
    return do_call(p, instance, &c, fine, why, size);
}

/* Sizes the pass's next call; false when its rows are done. Backwards, a partial batch comes first. */
static bool next_call(const ffl_passes *p, call *c)
{
    const bool part = c->order == FFL_BACKWARDS && c->first == 0 && ffl_check_on(FFL_CHECK_PART_BATCH);
    if (c->first >= p->rows)
        return false;
    c->tokens = part ? (p->batch + 1) / 2 : p->batch;
    if (c->tokens > p->rows - c->first)
        c->tokens = p->rows - c->first;
    return true;
}

ffl_status ffl_passes_run(const ffl_passes *p, const ffl_instance *instance, ffl_order pass, bool *fine,
                          char *why, size_t size)
{
    const bool backwards = pass == FFL_BACKWARDS, poisoned = ffl_check_on(FFL_CHECK_NAN_POISON);
    call c = {.order = pass, .nan = backwards ? poisoned : !ffl_check_on(FFL_CHECK_OLD_VALUES)};
    *fine = true;
    if (pass == FFL_AGAIN)
        return do_again(p, instance, fine, why, size);
    for (; *fine && next_call(p, &c); c.first += c.tokens)
        FFL_TRY(do_call(p, instance, &c, fine, why, size));
    return FFL_OK;
}

/* The nodes that the variant says it visits in one call, to the rows' places in `nodes`. */
static bool trace_call(const ffl_passes *p, const ffl_instance *instance, const call *c, int32_t *nodes)
{
    const ffl_layer *l = p->layer;
    const size_t visited = l->trees * l->levels, width = l->width_in;
    float *x = ffl_alloc_array(c->tokens * width, sizeof *x);
    float *logits = ffl_alloc_array(c->tokens * visited, sizeof *logits);
    int32_t *told = ffl_alloc_array(c->tokens * visited, sizeof *told);
    bool traced = x && logits && told;
    for (size_t i = 0; traced && i < c->tokens; i++)
        memcpy(x + i * width, p->x + row_of(p, c, i) * width, width * sizeof *x);
    traced = traced && ffl_instance_trace(instance, x, width, c->tokens, told, logits) == FFL_OK;
    for (size_t i = 0; traced && i < c->tokens; i++)
        memcpy(nodes + row_of(p, c, i) * visited, told + i * visited, visited * sizeof *nodes);
    ffl_free(x);
    ffl_free(logits);
    ffl_free(told);
    return traced;
}

bool ffl_passes_trace(const ffl_passes *p, const ffl_instance *instance, ffl_order pass, int32_t *nodes)
{
    call c = {.order = pass};
    if (pass == FFL_AGAIN) {
        call before = {.order = FFL_FORWARDS, .tokens = again_tokens(p)};
        c.tokens = before.tokens;
        return trace_call(p, instance, &before, nodes) && trace_call(p, instance, &c, nodes);
    }
    bool traced = true;
    for (; traced && next_call(p, &c); c.first += c.tokens)
        traced = trace_call(p, instance, &c, nodes);
    return traced;
}
