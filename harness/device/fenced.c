#include "harness/device/fenced.h"
#include "kernels/device.h"
#include <stdlib.h>
#include <string.h>

enum { UNIT = 256, CHUNK = 8 << 20 };

/* 0x7FC1 … 0x7FFF: NaN as float, as bfloat16 and as half. */
static uint16_t canary_of(const char *name)
{
    unsigned sum = 0;
    while (*name)
        sum = 31 * sum + (unsigned char)*name++;
    return (uint16_t)(0x7FC1 + sum % 63);
}

static size_t after(const ffl_fenced *f)
{
    /* As far as the allocation goes: up to a multiple of 256 from the end, and a fence. */
    return FFL_DEVICE_FENCE + (UNIT - (f->before + f->bytes) % UNIT) % UNIT;
}

void ffl_fenced_pattern(const ffl_fenced *f, void *out, size_t bytes)
{
    for (size_t i = 0; i + sizeof f->canary <= bytes; i += sizeof f->canary)
        memcpy((char *)out + i, &f->canary, sizeof f->canary);
}

/* A fence that starts at an odd byte of the pattern, as after an odd number of bytes, starts with its half.
 */
static void fence_bytes(const ffl_fenced *f, size_t from, unsigned char *out, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (unsigned char)(f->canary >> 8 * ((from + i) % 2));
}

ffl_status ffl_fenced_restore(const ffl_fenced *f)
{
    unsigned char fence[FFL_DEVICE_FENCE + 2 * UNIT];
    fence_bytes(f, 0, fence, f->before);
    FFL_TRY(ffl_device_upload(f->base, fence, f->before));
    fence_bytes(f, f->before + f->bytes, fence, after(f));
    return ffl_device_upload(f->data + f->bytes, fence, after(f));
}

ffl_status ffl_fenced_new(const char *name, size_t bytes, size_t offset, ffl_fenced *out)
{
    *out = (ffl_fenced){
        .name = name, .canary = canary_of(name), .bytes = bytes, .before = FFL_DEVICE_FENCE + offset};
    void *base;
    if (bytes > SIZE_MAX / 4)
        return ffl_fail(FFL_NO_MEMORY, "%s of %zu bytes is larger than the address space", name, bytes);
    FFL_TRY(ffl_device_alloc(out->before + bytes + after(out), &base));
    out->base = base;
    out->data = out->base + out->before;
    ffl_status status = ffl_device_fill(out->data, 0xFF, bytes);
    if (status == FFL_OK)
        status = ffl_fenced_restore(out);
    if (status != FFL_OK)
        ffl_fenced_free(out);
    return status;
}

ffl_status ffl_fenced_intact(const ffl_fenced *f)
{
    unsigned char got[FFL_DEVICE_FENCE + 2 * UNIT], fence[sizeof got];
    FFL_TRY(ffl_device_download(got, f->base, f->before));
    fence_bytes(f, 0, fence, f->before);
    for (size_t i = f->before; i > 0; i--) /* the nearest one says most */
        if (got[i - 1] != fence[i - 1])
            return ffl_fail(FFL_DEVICE, "wrote %zu bytes before %s", f->before - (i - 1), f->name);
    FFL_TRY(ffl_device_download(got, f->data + f->bytes, after(f)));
    fence_bytes(f, f->before + f->bytes, fence, after(f));
    for (size_t i = 0; i < after(f); i++)
        if (got[i] != fence[i])
            return ffl_fail(FFL_DEVICE, "wrote byte %zu past the end of %s", i, f->name);
    return FFL_OK;
}

static ffl_status compare(const ffl_fenced *f, const unsigned char *expected, unsigned char *got, size_t from,
                          size_t bytes)
{
    FFL_TRY(ffl_device_download(got, f->data + from, bytes));
    if (memcmp(got, expected + from, bytes) == 0)
        return FFL_OK;
    size_t i = 0;
    while (got[i] == expected[from + i])
        i++;
    return ffl_fail(FFL_DEVICE, "changed %s at byte %zu", f->name, from + i);
}

ffl_status ffl_fenced_unchanged(const ffl_fenced *f, const void *bytes)
{
    const size_t chunk = f->bytes < CHUNK ? f->bytes : CHUNK;
    unsigned char *got = malloc(chunk + 1);
    ffl_status status = got ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory to compare %s", f->name);
    for (size_t from = 0; from < f->bytes && status == FFL_OK; from += chunk)
        status = compare(f, bytes, got, from, f->bytes - from < chunk ? f->bytes - from : chunk);
    free(got);
    return status;
}

void ffl_fenced_free(ffl_fenced *fenced)
{
    ffl_device_free(fenced->base);
    *fenced = (ffl_fenced){0};
}
