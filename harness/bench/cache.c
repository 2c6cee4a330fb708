#include "harness/bench/cache.h"
#include "harness/bench/clock.h"
#include "kernels/cpu.h"
#include "kernels/memory.h"
#include <string.h>

enum { LINE = 64 };

void ffl_touch(const void *data, size_t bytes)
{
    const volatile unsigned char *p = data;
    for (size_t i = 0; i < bytes; i += LINE)
        (void)p[i];
    if (bytes)
        (void)p[bytes - 1];
}

void ffl_eviction_sweep(const ffl_eviction *eviction)
{
    ffl_touch(eviction->buffer, eviction->bytes);
}

ffl_status ffl_eviction_new(ffl_eviction *out)
{
    const ffl_machine *machine = ffl_machine_host();
    size_t cache = machine->l3_bytes > machine->l2_bytes ? machine->l3_bytes : machine->l2_bytes;
    if (cache == 0)
        cache = (size_t)64 << 20;
    *out = (ffl_eviction){.bytes = 2 * cache};
    out->buffer = ffl_alloc(out->bytes);
    if (!out->buffer)
        return FFL_NO_MEMORY;
    memset(out->buffer, 1, out->bytes); /* written: pages of its own, not the shared zero page */
    const double start = ffl_clock_ns();
    ffl_eviction_sweep(out);
    out->seconds = 1e-9 * (ffl_clock_ns() - start);
    return FFL_OK;
}

void ffl_eviction_free(ffl_eviction *eviction)
{
    ffl_free(eviction->buffer);
    *eviction = (ffl_eviction){0};
}
