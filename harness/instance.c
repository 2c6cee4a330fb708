#include "harness/instance.h"
#include "harness/device/storage.h"
#include "kernels/device.h"
#include "kernels/memory.h"
#include <string.h>
#include <time.h>

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static ffl_status upload(ffl_fenced *fenced, const char *name, const float *host, size_t count,
                         const float **device)
{
    *device = NULL;
    if (!host)
        return FFL_OK;
    FFL_TRY(ffl_fenced_new(name, count * sizeof *host, 0, fenced));
    *device = (const float *)fenced->data;
    return ffl_device_upload(fenced->data, host, count * sizeof *host);
}

static ffl_status upload_layer(const ffl_layer *l, ffl_instance *out)
{
    ffl_layer *d = &out->device_layer;
    *d = *l;
    d->w_in = d->b_in = d->w_out = d->b_out = d->w_gate = d->b_gate = NULL;
    FFL_TRY(upload(&out->weights[0], "w_in", l->w_in, l->neurons * l->width_in, &d->w_in));
    FFL_TRY(upload(&out->weights[1], "b_in", l->b_in, l->neurons, &d->b_in));
    FFL_TRY(upload(&out->weights[2], "w_out", l->w_out, l->neurons * l->width_out, &d->w_out));
    FFL_TRY(upload(&out->weights[3], "b_out", l->b_out, ffl_layer_output_biases(l), &d->b_out));
    FFL_TRY(upload(&out->weights[4], "w_gate", l->w_gate, l->gates * l->width_in, &d->w_gate));
    return upload(&out->weights[5], "b_gate", l->b_gate, l->gates, &d->b_gate);
}

ffl_status ffl_instance_prepare(const ffl_variant *variant, const ffl_layer *layer, size_t max_tokens,
                                int threads, ffl_instance *out)
{
    *out = (ffl_instance){
        .plan = {.variant = variant, .layer = layer, .max_tokens = max_tokens, .threads = threads},
        .exec = {.threads = threads},
        .host_layer = layer};
    ffl_status status = FFL_OK;
    if (ffl_variant_on_device(variant)) {
        status = upload_layer(layer, out);
        out->plan.layer = &out->device_layer;
    }
    if (status == FFL_OK) {
        const double start = now_ns();
        status = variant->prepare(out->plan.layer, ffl_machine_host(), &out->plan);
        out->pack_ns = now_ns() - start;
    }
    if (status != FFL_OK) {
        out->plan.variant = NULL; /* nothing to release */
        if (ffl_variant_on_device(variant))
            out->plan.layer = &out->device_layer;
        ffl_instance_free(out);
    }
    return status;
}

ffl_status ffl_instance_new(const ffl_variant *variant, const ffl_layer *layer, size_t max_tokens,
                            int threads, ffl_instance *out)
{
    FFL_TRY(ffl_instance_prepare(variant, layer, max_tokens, threads, out));
    const size_t bytes = out->plan.scratch_bytes;
    ffl_status status = FFL_OK;
    if (bytes && ffl_variant_on_device(variant)) {
        status = ffl_fenced_new("scratch", bytes, 0, &out->scratch);
        out->exec.scratch = out->scratch.data;
    } else if (bytes && !(out->exec.scratch = ffl_alloc(bytes)))
        status = FFL_NO_MEMORY;
    if (status != FFL_OK)
        ffl_instance_free(out);
    return status;
}

/* ---- Host rows through the device ---- */

/* Bytes past a multiple of 256 where a buffer starts: as asked, or so that it ends at one. */
static size_t start_of(const ffl_contract *contract, bool ends_flush, size_t offset, size_t bytes)
{
    const size_t alignment = ffl_storage_alignment(contract), unit = alignment < 256 ? alignment : 256;
    return ends_flush ? (256 - bytes % 256) % 256 / unit * unit
                      : (offset * ffl_storage_size(contract->storage) + unit - 1) / unit * unit % 256;
}

static ffl_status rows_new(const char *name, const ffl_instance *i, size_t tokens, size_t width, size_t ld,
                           size_t offset, const ffl_device_place *place, ffl_device_rows *out)
{
    const ffl_contract *contract = &i->plan.variant->contract;
    const size_t bytes = ((tokens - 1) * ld + width) * ffl_storage_size(contract->storage);
    return ffl_device_rows_new(name, contract->storage, tokens, width, ld,
                               start_of(contract, place->ends_flush, offset, bytes), out);
}

/* Nothing but the elements of y may have changed. */
static ffl_status find_damage(const ffl_instance *i, const ffl_device_rows *x, const ffl_device_rows *y)
{
    FFL_TRY(ffl_device_rows_intact(y));
    FFL_TRY(ffl_device_rows_unchanged(x));
    return i->scratch.base ? ffl_fenced_intact(&i->scratch) : FFL_OK;
}

ffl_status ffl_instance_run_placed(const ffl_instance *i, const ffl_device_place *place, const float *x,
                                   size_t ldx, float *y, size_t ldy, size_t tokens)
{
    const ffl_layer *l = i->plan.layer;
    ffl_device_rows dx = {0}, dy = {0};
    ffl_status status = rows_new("x", i, tokens, l->width_in, ldx, place->offset_x, place, &dx);
    if (status == FFL_OK)
        status = rows_new("y", i, tokens, l->width_out, ldy, place->offset_y, place, &dy);
    if (status == FFL_OK)
        status = ffl_device_rows_upload(&dx, x, ldx);
    if (status == FFL_OK)
        status = ffl_device_rows_upload(&dy, y, ldy); /* the caller's poison goes along */
    if (status == FFL_OK)
        status = i->plan.variant->run(&i->plan, &i->exec, (const float *)dx.memory.data, ldx,
                                      (float *)dy.memory.data, ldy, tokens);
    if (status == FFL_OK)
        status = ffl_device_synchronize();
    if (status == FFL_OK)
        status = find_damage(i, &dx, &dy);
    if (status == FFL_OK)
        status = ffl_device_rows_download(&dy, 0, tokens, y, ldy);
    ffl_device_rows_free(&dx);
    ffl_device_rows_free(&dy);
    return status;
}

ffl_status ffl_instance_run(const ffl_instance *instance, const float *x, size_t ldx, float *y, size_t ldy,
                            size_t tokens)
{
    static const ffl_device_place anywhere = {0};
    if (ffl_variant_on_device(instance->plan.variant))
        return ffl_instance_run_placed(instance, &anywhere, x, ldx, y, ldy, tokens);
    return instance->plan.variant->run(&instance->plan, &instance->exec, x, ldx, y, ldy, tokens);
}

ffl_status ffl_instance_intact(const ffl_instance *instance)
{
    const ffl_layer *l = instance->host_layer;
    const float *const host[FFL_LAYER_ARRAYS] = {l->w_in, l->b_in, l->w_out, l->b_out, l->w_gate, l->b_gate};
    for (size_t i = 0; i < FFL_LAYER_ARRAYS; i++) {
        if (!instance->weights[i].base)
            continue;
        FFL_TRY(ffl_fenced_intact(&instance->weights[i]));
        FFL_TRY(ffl_fenced_unchanged(&instance->weights[i], host[i]));
    }
    return instance->scratch.base ? ffl_fenced_intact(&instance->scratch) : FFL_OK;
}

ffl_status ffl_instance_poison_scratch(const ffl_instance *instance)
{
    const size_t bytes = instance->plan.scratch_bytes;
    if (instance->scratch.base)
        return ffl_device_fill(instance->scratch.data, 0xFF, bytes);
    if (bytes)
        memset(instance->exec.scratch, 0xFF, bytes);
    return FFL_OK;
}

static ffl_status trace_on_device(const ffl_instance *i, const float *x, size_t ldx, size_t tokens,
                                  int32_t *nodes, float *logits)
{
    static const ffl_device_place anywhere = {0};
    const ffl_layer *l = i->plan.layer;
    const size_t bytes = tokens * l->trees * l->levels * sizeof *nodes;
    ffl_device_rows dx = {0};
    ffl_fenced dn = {0}, dl = {0};
    ffl_status status = rows_new("x", i, tokens, l->width_in, ldx, 0, &anywhere, &dx);
    if (status == FFL_OK)
        status = ffl_fenced_new("nodes", bytes, 0, &dn);
    if (status == FFL_OK)
        status = ffl_fenced_new("logits", bytes, 0, &dl);
    if (status == FFL_OK)
        status = ffl_device_rows_upload(&dx, x, ldx);
    if (status == FFL_OK)
        status = i->plan.variant->trace(&i->plan, &i->exec, (const float *)dx.memory.data, ldx, tokens,
                                        (int32_t *)dn.data, (float *)dl.data);
    if (status == FFL_OK)
        status = ffl_device_synchronize();
    if (status == FFL_OK)
        status = ffl_fenced_intact(&dn);
    if (status == FFL_OK)
        status = ffl_fenced_intact(&dl);
    if (status == FFL_OK)
        status = ffl_device_download(nodes, dn.data, bytes);
    if (status == FFL_OK)
        status = ffl_device_download(logits, dl.data, bytes);
    ffl_device_rows_free(&dx);
    ffl_fenced_free(&dn);
    ffl_fenced_free(&dl);
    return status;
}

ffl_status ffl_instance_trace(const ffl_instance *instance, const float *x, size_t ldx, size_t tokens,
                              int32_t *nodes, float *logits)
{
    const ffl_variant *v = instance->plan.variant;
    if (!v->trace)
        return ffl_fail(FFL_UNSUPPORTED, "%s has no trace", v->name);
    if (ffl_variant_on_device(v))
        return trace_on_device(instance, x, ldx, tokens, nodes, logits);
    return v->trace(&instance->plan, &instance->exec, x, ldx, tokens, nodes, logits);
}

void ffl_instance_free(ffl_instance *instance)
{
    const ffl_variant *v = instance->plan.variant;
    if (v && v->release)
        v->release(&instance->plan);
    if (instance->plan.layer == &instance->device_layer) {
        for (size_t i = 0; i < FFL_LAYER_ARRAYS; i++)
            ffl_fenced_free(&instance->weights[i]);
        ffl_fenced_free(&instance->scratch);
    } else {
        ffl_free(instance->exec.scratch);
    }
    *instance = (ffl_instance){0};
}
