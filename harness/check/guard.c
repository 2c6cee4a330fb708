#define _GNU_SOURCE
#include "harness/check/guard.h"
#include "harness/check/checks.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The live buffers, for ffl_guard_explain. A case has x, y and four weights; tests a few more. */
enum { LIVE_MAX = 32 };
static ffl_guarded live[LIVE_MAX];

static void remember(const ffl_guarded *g)
{
    for (size_t i = 0; i < LIVE_MAX; i++)
        if (!live[i].map) {
            live[i] = *g;
            return;
        }
}

static ffl_guarded *find(const ffl_guarded *g)
{
    for (size_t i = 0; i < LIVE_MAX; i++)
        if (live[i].map == g->map)
            return &live[i];
    return NULL;
}

/* A quiet NaN that arithmetic on ordinary numbers never makes, another for each name. */
static uint32_t canary_of(const char *name)
{
    uint32_t bits = 0;
    while (*name)
        bits = 31 * bits + (unsigned char)*name++;
    return UINT32_C(0x7FC50000) | (bits & 0xFFFF);
}

static void fill_canaries(void *from, size_t bytes, uint32_t canary)
{
    for (size_t i = 0; i + sizeof canary <= bytes; i += sizeof canary)
        memcpy((unsigned char *)from + i, &canary, sizeof canary);
}

/* Without the fence on that side (selftest alone) both pages beside the buffer can be touched. */
static bool open_fences(unsigned char *map, size_t bytes, ffl_fence fence)
{
    const ffl_check check = fence == FFL_FENCE_AFTER ? FFL_CHECK_FENCE_AFTER : FFL_CHECK_FENCE_BEFORE;
    return ffl_check_on(check) || mprotect(map, bytes, PROT_READ | PROT_WRITE) == 0;
}

ffl_status ffl_guard_new(const char *name, size_t bytes, const ffl_placement *placement, ffl_guarded *out)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), alignment = placement->alignment;
    *out = (ffl_guarded){.name = name, .canary = canary_of(name), .bytes = bytes};
    if (bytes > SIZE_MAX / 4)
        return ffl_fail(FFL_NO_MEMORY, "a guarded buffer of %zu bytes is larger than the address space",
                        bytes);
    out->pages_bytes = (bytes + placement->before + placement->after + alignment + page - 1) / page * page;
    out->map_bytes = out->pages_bytes + 2 * page;
    unsigned char *map = mmap(NULL, out->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + page, out->pages_bytes, PROT_READ | PROT_WRITE) != 0 ||
        !open_fences(map, out->map_bytes, placement->fence)) {
        const int error = errno;
        if (map != MAP_FAILED)
            munmap(map, out->map_bytes);
        *out = (ffl_guarded){0};
        return ffl_fail(FFL_NO_MEMORY, "a guarded buffer of %.1f MB: %s", (double)bytes / 1e6,
                        strerror(error));
    }
    out->map = map;
    out->pages = map + page;
    uintptr_t at = (uintptr_t)out->pages;
    if (placement->fence == FFL_FENCE_AFTER)
        at = (at + out->pages_bytes - placement->after - bytes) / alignment * alignment;
    else
        at = (at + placement->before + alignment - 1) / alignment * alignment;
    out->data = (float *)at;
    fill_canaries(out->pages, out->pages_bytes, out->canary);
    remember(out);
    return FFL_OK;
}

ffl_status ffl_guard_lock(ffl_guarded *guarded, bool locked)
{
    if (!ffl_check_on(FFL_CHECK_READ_ONLY))
        return FFL_OK;
    if (mprotect(guarded->pages, guarded->pages_bytes, locked ? PROT_READ : PROT_READ | PROT_WRITE) != 0)
        return ffl_fail(FFL_IO, "page protection of %s: %s", guarded->name, strerror(errno));
    guarded->locked = locked;
    ffl_guarded *known = find(guarded);
    if (known)
        known->locked = locked;
    return FFL_OK;
}

bool ffl_guard_intact(const ffl_guarded *g, ptrdiff_t *offset)
{
    const uint32_t canary = g->canary;
    const unsigned char *expected = (const unsigned char *)&canary;
    const unsigned char *start = (const unsigned char *)g->data, *end = start + g->bytes;
    if (!ffl_check_on(FFL_CHECK_CANARIES))
        return true;
    for (const unsigned char *p = g->pages; p < g->pages + g->pages_bytes; p++) {
        if (p == start)
            p = end;
        if (p < g->pages + g->pages_bytes && *p != expected[(uintptr_t)p % sizeof canary]) {
            *offset = p < start ? p - start : p - end;
            return false;
        }
    }
    return true;
}

void ffl_guard_free(ffl_guarded *guarded)
{
    if (!guarded->map)
        return;
    ffl_guarded *known = find(guarded);
    if (known)
        *known = (ffl_guarded){0};
    munmap(guarded->map, guarded->map_bytes);
    *guarded = (ffl_guarded){0};
}

bool ffl_guard_explain(const void *address, char *out, size_t size)
{
    const unsigned char *at = address;
    for (size_t i = 0; i < LIVE_MAX; i++) {
        const ffl_guarded *g = &live[i];
        const unsigned char *start = (const unsigned char *)g->data;
        if (!g->map || at < g->map || at >= g->map + g->map_bytes)
            continue;
        if (at < start)
            snprintf(out, size, "%td bytes before %s", start - at, g->name);
        else if (at >= start + g->bytes)
            snprintf(out, size, "%td bytes past the end of %s", at - (start + g->bytes), g->name);
        else
            snprintf(out, size, "at byte %td of %s%s", at - start, g->name,
                     g->locked ? ", which is read-only" : "");
        return true;
    }
    return false;
}

/* ---- Layers ---- */

static ffl_status guard_weights(ffl_guarded *guarded, const char *name, const float *from, size_t count,
                                const float **out)
{
    static const ffl_placement placement = {.fence = FFL_FENCE_AFTER, .alignment = 64};
    *out = NULL;
    if (!from)
        return FFL_OK;
    FFL_TRY(ffl_guard_new(name, count * sizeof *from, &placement, guarded));
    memcpy(guarded->data, from, count * sizeof *from);
    *out = guarded->data;
    return ffl_guard_lock(guarded, true);
}

ffl_status ffl_guarded_layer_new(const ffl_layer *l, ffl_guarded_layer *out)
{
    *out = (ffl_guarded_layer){.layer = *l};
    ffl_layer *own = &out->layer;
    const struct {
        const char *name;
        const float *from;
        size_t count;
        const float **to;
    } weights[FFL_GUARDED_WEIGHTS] = {
        {"w_in", l->w_in, l->neurons * l->width_in, &own->w_in},
        {"b_in", l->b_in, l->neurons, &own->b_in},
        {"w_out", l->w_out, l->neurons * l->width_out, &own->w_out},
        {"b_out", l->b_out, ffl_layer_output_biases(l), &own->b_out},
        {"w_gate", l->w_gate, l->gates * l->width_in, &own->w_gate},
        {"b_gate", l->b_gate, l->gates, &own->b_gate},
    };
    ffl_status status = FFL_OK;
    for (size_t i = 0; i < FFL_GUARDED_WEIGHTS && status == FFL_OK; i++)
        status = guard_weights(&out->weights[i], weights[i].name, weights[i].from, weights[i].count,
                               weights[i].to);
    if (status != FFL_OK)
        ffl_guarded_layer_free(out);
    return status;
}

void ffl_guarded_layer_free(ffl_guarded_layer *layer)
{
    for (size_t i = 0; i < FFL_GUARDED_WEIGHTS; i++)
        ffl_guard_free(&layer->weights[i]);
    *layer = (ffl_guarded_layer){0};
}

ffl_status ffl_guarded_rows_new(const char *name, size_t tokens, size_t width, size_t ld,
                                const ffl_placement *placement, ffl_guarded_rows *out)
{
    *out = (ffl_guarded_rows){.tokens = tokens, .width = width, .ld = ld};
    FFL_TRY(ffl_guard_new(name, ((tokens - 1) * ld + width) * sizeof(float), placement, &out->memory));
    out->data = out->memory.data;
    return FFL_OK;
}

bool ffl_guarded_rows_intact(const ffl_guarded_rows *rows, char *why, size_t size)
{
    const uint32_t canary = rows->memory.canary;
    for (size_t t = 0; ffl_check_on(FFL_CHECK_PADDING) && t + 1 < rows->tokens; t++)
        for (size_t j = rows->width; j < rows->ld; j++)
            if (memcmp(&rows->data[t * rows->ld + j], &canary, sizeof canary) != 0) {
                snprintf(why, size, "wrote the padding of %s: row %zu, %zu past its width", rows->memory.name,
                         t, j - rows->width);
                return false;
            }
    ptrdiff_t offset;
    if (ffl_guard_intact(&rows->memory, &offset))
        return true;
    if (offset < 0)
        snprintf(why, size, "wrote %td bytes before %s", -offset, rows->memory.name);
    else
        snprintf(why, size, "wrote %td bytes past the end of %s", offset, rows->memory.name);
    return false;
}

void ffl_guarded_rows_free(ffl_guarded_rows *rows)
{
    ffl_guard_free(&rows->memory);
    *rows = (ffl_guarded_rows){0};
}
