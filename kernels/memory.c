#define _GNU_SOURCE
#include "kernels/memory.h"
#include "kernels/memory_left.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Asking the system takes longer than most allocations; what is below cannot surprise it much. */
static const size_t large = (size_t)1 << 30;

enum { ALIGN = 64, GUARD = 64, GUARD_BYTE = 0xA7, HUGE_PAGE = 2 << 20 };

/* Layout: [size, padding to 64][64 guard bytes][buffer][64 guard bytes]. */
static unsigned char *base_of(const void *buffer)
{
    return (unsigned char *)buffer - GUARD - ALIGN;
}

/*
 * Half a huge page and more asks for huge pages: rows of 3 KB in random order then come 1.3 to 1.6 times as
 * fast (kernels/NOTES.md), since a 4 KB page would cost every row a page walk. A refusal changes nothing but
 * speed.
 */
static unsigned char *raw_alloc(size_t bytes)
{
    if (bytes < HUGE_PAGE / 2)
        return aligned_alloc(ALIGN, bytes);
    const size_t rounded = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    unsigned char *base = aligned_alloc(HUGE_PAGE, rounded);
#ifdef MADV_HUGEPAGE
    if (base)
        madvise(base, rounded, MADV_HUGEPAGE);
#endif
    return base;
}

/* `slack` more bytes after the rear guard belong to the buffer's memory; nobody writes them. */
static void *allocate(size_t bytes, size_t slack)
{
    const size_t extra = ALIGN + 2 * GUARD + ALIGN + FFL_OVER_READ_MAX + HUGE_PAGE;
    if (bytes > SIZE_MAX - extra) {
        ffl_fail(FFL_NO_MEMORY, "a buffer of %zu bytes is larger than the address space", bytes);
        return NULL;
    }
    if (bytes >= large && bytes > ffl_memory_left()) {
        ffl_fail(FFL_NO_MEMORY, "%.1f GB of memory could not be had: %.1f GB are left", (double)bytes / 1e9,
                 (double)ffl_memory_left() / 1e9);
        return NULL;
    }
    const size_t rounded = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    unsigned char *base = raw_alloc(ALIGN + GUARD + rounded + GUARD + slack);
    if (!base) {
        ffl_fail(FFL_NO_MEMORY, "%.1f MB of memory could not be had", (double)bytes / 1e6);
        return NULL;
    }
    memcpy(base, &bytes, sizeof bytes);
    unsigned char *buffer = base + ALIGN + GUARD;
    memset(base + ALIGN, GUARD_BYTE, GUARD);
    memset(buffer, 0, bytes); /* written, not merely mapped: untouched pages all alias one zero page */
    memset(buffer + bytes, GUARD_BYTE, rounded - bytes + GUARD);
    return buffer;
}

void *ffl_alloc(size_t bytes)
{
    return allocate(bytes, 0);
}

static void *allocate_array(size_t count, size_t size, size_t slack)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        ffl_fail(FFL_NO_MEMORY, "%zu items of %zu bytes overflow the address space", count, size);
        return NULL;
    }
    return allocate(bytes, slack);
}

void *ffl_alloc_array(size_t count, size_t size)
{
    return allocate_array(count, size, 0);
}

void *ffl_alloc_rows(size_t count, size_t size)
{
    return allocate_array(count, size, FFL_OVER_READ_MAX);
}

int ffl_memory_intact(const void *buffer)
{
    const unsigned char *base = base_of(buffer), *data = buffer;
    size_t bytes;
    memcpy(&bytes, base, sizeof bytes);
    for (size_t i = 0; i < GUARD; i++)
        if (base[ALIGN + i] != GUARD_BYTE || data[bytes + i] != GUARD_BYTE)
            return 0;
    return 1;
}

void ffl_memory_restore(void *buffer)
{
    size_t bytes;
    memcpy(&bytes, base_of(buffer), sizeof bytes);
    memset(base_of(buffer) + ALIGN, GUARD_BYTE, GUARD);
    memset((unsigned char *)buffer + bytes, GUARD_BYTE, GUARD);
}

void ffl_free(void *buffer)
{
    if (!buffer)
        return;
    if (!ffl_memory_intact(buffer)) {
        fputs("fflab: a guard byte next to a buffer was overwritten\n", stderr);
        abort();
    }
    free(base_of(buffer));
}
