/* Rows on their way to the device and back: never while something is timed. */
#include "harness/device/storage.h"
#include "harness/encoder/encoder_device.h"
#include "kernels/device.h"
#include "kernels/memory.h"

static ffl_status upload_input(ffl_encoder *e, const ffl_encoder_input *input, int32_t *rows, float *mask)
{
    const ffl_encoder_device *d = e->device;
    const size_t tokens = e->tokens, bytes = tokens * sizeof *rows;
    for (size_t b = 0, t = 0; b < input->batch; b++) {
        size_t seen = 0;
        for (size_t s = 0; s < input->sequence; s++, t++) {
            rows[t] = (int32_t)ffl_encoder_position(&e->weights->config, input->ids + b * input->sequence, s,
                                                    &seen);
            rows[tokens + t] = input->types ? input->types[t] : 0;
            mask[t] = !input->mask || input->mask[t] ? 0.0f : -10000.0f;
        }
    }
    FFL_TRY(ffl_device_upload(d->id.data, input->ids, bytes));
    FFL_TRY(ffl_device_upload(d->position.data, rows, bytes));
    FFL_TRY(ffl_device_upload(d->type.data, rows + tokens, bytes));
    return ffl_device_upload(d->mask.data, mask, tokens * sizeof *mask);
}

ffl_status ffl_encoder_device_take(ffl_encoder *e, const ffl_encoder_input *input)
{
    int32_t *rows = ffl_alloc_array(2 * e->tokens, sizeof *rows);
    float *mask = ffl_alloc_array(e->tokens, sizeof *mask);
    ffl_status status = rows && mask ? ffl_device_stream_wait(e->device->stream) : FFL_NO_MEMORY;
    if (status == FFL_OK)
        status = upload_input(e, input, rows, mask);
    ffl_free(rows);
    ffl_free(mask);
    return status;
}

ffl_status ffl_encoder_device_put(const ffl_encoder *e, void *to, const float *from, size_t count)
{
    const ffl_type storage = e->device->storage;
    const size_t bytes = count * ffl_storage_size(storage);
    void *narrow = ffl_alloc(bytes);
    ffl_status status = narrow ? ffl_device_stream_wait(e->device->stream) : FFL_NO_MEMORY;
    if (status == FFL_OK) {
        ffl_storage_narrow(storage, from, count, narrow);
        status = ffl_device_upload(to, narrow, bytes);
    }
    ffl_free(narrow);
    return status;
}

ffl_status ffl_encoder_device_fetch(const ffl_encoder *e, const void *from, size_t count, float *to)
{
    const ffl_type storage = e->device->storage;
    const size_t bytes = count * ffl_storage_size(storage);
    void *narrow = ffl_alloc(bytes);
    ffl_status status = narrow ? ffl_device_stream_wait(e->device->stream) : FFL_NO_MEMORY;
    if (status == FFL_OK)
        status = ffl_device_download(narrow, from, bytes);
    if (status == FFL_OK)
        ffl_storage_widen(storage, narrow, count, to);
    ffl_free(narrow);
    return status;
}

ffl_status ffl_encoder_device_fetch_state(ffl_encoder *e, float *to)
{
    const size_t count = e->tokens * e->weights->config.width;
    FFL_TRY(ffl_device_stream_wait(e->device->stream));
    FFL_TRY(ffl_device_download(to, e->device->state.data, count * sizeof *to));
    if (!e->pending)
        return FFL_OK;
    float *mixed = ffl_alloc_array(count, sizeof *mixed);
    ffl_status status =
        mixed ? ffl_encoder_device_fetch(e, e->device->mixed.data, count, mixed) : FFL_NO_MEMORY;
    for (size_t i = 0; i < count && status == FFL_OK; i++)
        to[i] += mixed[i];
    ffl_free(mixed);
    return status;
}

ffl_status ffl_encoder_device_put_state(ffl_encoder *e, const float *from)
{
    const size_t count = e->tokens * e->weights->config.width;
    e->pending = false;
    FFL_TRY(ffl_encoder_device_put(e, e->device->input.data, from, count)); /* waits; post-norm reads it */
    return ffl_device_upload(e->device->state.data, from, count * sizeof *from);
}
