#include "harness/instance.h"
#include "kernels/device.h"
#include "kernels/memory.h"
#include <time.h>

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static ffl_status upload(const float *host, size_t count, const float **device)
{
    void *buffer = NULL;
    *device = NULL;
    if (!host)
        return FFL_OK;
    FFL_TRY(ffl_device_alloc(count * sizeof *host, &buffer));
    *device = buffer;
    return ffl_device_upload(buffer, host, count * sizeof *host);
}

static ffl_status upload_layer(const ffl_layer *l, ffl_layer *out)
{
    *out = *l;
    out->w_in = out->b_in = out->w_out = out->b_out = NULL;
    FFL_TRY(upload(l->w_in, l->neurons * l->width_in, &out->w_in));
    FFL_TRY(upload(l->b_in, l->neurons, &out->b_in));
    FFL_TRY(upload(l->w_out, l->neurons * l->width_out, &out->w_out));
    return upload(l->b_out, l->width_out, &out->b_out);
}

ffl_status ffl_instance_prepare(const ffl_variant *variant, const ffl_layer *layer, size_t max_tokens, int threads,
                                ffl_instance *out)
{
    *out = (ffl_instance){.plan = {.variant = variant, .layer = layer, .max_tokens = max_tokens, .threads = threads},
                          .exec = {.threads = threads}};
    ffl_status status = FFL_OK;
    if (variant->place == FFL_CUDA) {
        status = upload_layer(layer, &out->device_layer);
        out->plan.layer = &out->device_layer;
    }
    if (status == FFL_OK) {
        const double start = now_ns();
        status = variant->prepare(out->plan.layer, ffl_machine_host(), &out->plan);
        out->pack_ns = now_ns() - start;
    }
    if (status != FFL_OK) {
        out->plan.variant = NULL; /* nothing to release */
        if (variant->place == FFL_CUDA)
            out->plan.layer = &out->device_layer;
        ffl_instance_free(out);
    }
    return status;
}

ffl_status ffl_instance_new(const ffl_variant *variant, const ffl_layer *layer, size_t max_tokens, int threads,
                            ffl_instance *out)
{
    FFL_TRY(ffl_instance_prepare(variant, layer, max_tokens, threads, out));
    const size_t bytes = out->plan.scratch_bytes;
    ffl_status status = FFL_OK;
    if (bytes && variant->place == FFL_CUDA)
        status = ffl_device_alloc(bytes, &out->exec.scratch);
    else if (bytes && !(out->exec.scratch = ffl_alloc(bytes)))
        status = FFL_NO_MEMORY;
    if (status != FFL_OK)
        ffl_instance_free(out);
    return status;
}

static ffl_status run_on_device(const ffl_instance *i, const float *x, size_t ldx, float *y, size_t ldy,
                                size_t tokens)
{
    const ffl_layer *l = i->plan.layer;
    /* The last row ends at its width: nothing after it belongs to the caller. */
    const size_t x_bytes = ((tokens - 1) * ldx + l->width_in) * sizeof *x;
    const size_t y_bytes = ((tokens - 1) * ldy + l->width_out) * sizeof *y;
    void *dx = NULL, *dy = NULL;
    ffl_status status = ffl_device_alloc(x_bytes, &dx);
    if (status == FFL_OK)
        status = ffl_device_alloc(y_bytes, &dy);
    if (status == FFL_OK)
        status = ffl_device_upload(dx, x, x_bytes);
    if (status == FFL_OK)
        status = ffl_device_upload(dy, y, y_bytes); /* the caller's poison and padding go along */
    if (status == FFL_OK)
        status = i->plan.variant->run(&i->plan, &i->exec, dx, ldx, dy, ldy, tokens);
    if (status == FFL_OK)
        status = ffl_device_synchronize();
    if (status == FFL_OK)
        status = ffl_device_download(y, dy, y_bytes);
    ffl_device_free(dx);
    ffl_device_free(dy);
    return status;
}

ffl_status ffl_instance_run(const ffl_instance *instance, const float *x, size_t ldx, float *y, size_t ldy,
                            size_t tokens)
{
    if (instance->plan.variant->place == FFL_CUDA)
        return run_on_device(instance, x, ldx, y, ldy, tokens);
    return instance->plan.variant->run(&instance->plan, &instance->exec, x, ldx, y, ldy, tokens);
}

ffl_status ffl_instance_trace(const ffl_instance *instance, const float *x, size_t ldx, size_t tokens,
                              int32_t *nodes, float *logits)
{
    const ffl_variant *v = instance->plan.variant;
    if (!v->trace || v->place == FFL_CUDA)
        return ffl_fail(FFL_UNSUPPORTED, "%s has no trace", v->name);
    return v->trace(&instance->plan, &instance->exec, x, ldx, tokens, nodes, logits);
}

void ffl_instance_free(ffl_instance *instance)
{
    const ffl_variant *v = instance->plan.variant;
    if (v && v->release)
        v->release(&instance->plan);
    if (instance->plan.layer == &instance->device_layer) {
        ffl_device_free((void *)instance->device_layer.w_in);
        ffl_device_free((void *)instance->device_layer.b_in);
        ffl_device_free((void *)instance->device_layer.w_out);
        ffl_device_free((void *)instance->device_layer.b_out);
        ffl_device_free(instance->exec.scratch);
    } else {
        ffl_free(instance->exec.scratch);
    }
    *instance = (ffl_instance){0};
}
