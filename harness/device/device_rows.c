#include "harness/device/device_rows.h"
#include "harness/device/storage.h"
#include "kernels/device.h"
#include <stdlib.h>
#include <string.h>

ffl_status ffl_device_rows_new(const char *name, ffl_type storage, size_t tokens, size_t width, size_t ld,
                               size_t offset, ffl_device_rows *out)
{
    *out = (ffl_device_rows){
        .storage = storage, .element = ffl_storage_size(storage), .tokens = tokens, .width = width, .ld = ld};
    if (out->element == 0)
        return ffl_fail(FFL_INTERNAL, "%s in %s: no array is stored in that type", name,
                        ffl_type_name(storage));
    const size_t bytes = ((tokens - 1) * ld + width) * out->element;
    FFL_TRY(ffl_fenced_new(name, bytes, offset, &out->memory));
    out->image = malloc(bytes);
    if (out->image)
        return FFL_OK;
    ffl_device_rows_free(out);
    return ffl_fail(FFL_NO_MEMORY, "no memory for an image of %s, %.1f MB", name, 1e-6 * (double)bytes);
}

ffl_status ffl_device_rows_upload(ffl_device_rows *r, const float *host, size_t ld_host)
{
    ffl_fenced_pattern(&r->memory, r->image, r->memory.bytes);
    for (size_t t = 0; t < r->tokens; t++)
        ffl_storage_narrow(r->storage, host + t * ld_host, r->width, r->image + t * r->ld * r->element);
    return ffl_device_upload(r->memory.data, r->image, r->memory.bytes);
}

ffl_status ffl_device_rows_download(const ffl_device_rows *r, size_t first, size_t tokens, float *host,
                                    size_t ld_host)
{
    const size_t bytes = ((tokens - 1) * r->ld + r->width) * r->element;
    unsigned char *got = malloc(bytes);
    if (!got)
        return ffl_fail(FFL_NO_MEMORY, "no memory for %.1f MB of %s", 1e-6 * (double)bytes, r->memory.name);
    const ffl_status status = ffl_device_download(got, r->memory.data + first * r->ld * r->element, bytes);
    for (size_t t = 0; t < tokens && status == FFL_OK; t++)
        ffl_storage_widen(r->storage, got + t * r->ld * r->element, r->width, host + t * ld_host);
    free(got);
    return status;
}

static ffl_status padding_intact(const ffl_device_rows *r, const unsigned char *got)
{
    const size_t from = r->width * r->element, bytes = (r->ld - r->width) * r->element;
    for (size_t t = 0; t + 1 < r->tokens; t++) {
        const size_t row = t * r->ld * r->element;
        if (memcmp(got + row + from, r->image + row + from, bytes) == 0)
            continue;
        size_t i = 0;
        while (got[row + from + i] == r->image[row + from + i])
            i++;
        return ffl_fail(FFL_DEVICE, "wrote the padding of %s: row %zu, %zu past its width", r->memory.name, t,
                        i / r->element);
    }
    return FFL_OK;
}

ffl_status ffl_device_rows_intact(const ffl_device_rows *r)
{
    FFL_TRY(ffl_fenced_intact(&r->memory));
    if (r->ld == r->width)
        return FFL_OK;
    unsigned char *got = malloc(r->memory.bytes);
    if (!got)
        return ffl_fail(FFL_NO_MEMORY, "no memory to compare %s", r->memory.name);
    ffl_status status = ffl_device_download(got, r->memory.data, r->memory.bytes);
    if (status == FFL_OK)
        status = padding_intact(r, got);
    free(got);
    return status;
}

ffl_status ffl_device_rows_unchanged(const ffl_device_rows *r)
{
    FFL_TRY(ffl_fenced_intact(&r->memory));
    return ffl_fenced_unchanged(&r->memory, r->image);
}

void ffl_device_rows_free(ffl_device_rows *r)
{
    ffl_fenced_free(&r->memory);
    free(r->image);
    *r = (ffl_device_rows){0};
}
