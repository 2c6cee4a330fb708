#include "harness/encoder/point_record.h"
#include "harness/registry.h"
#include "harness/roofs/roofs.h"
#include "harness/variant_record.h"
#include "kernels/device.h"
#include "reports/passes.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *word(const json_t *json, const char *key)
{
    const char *value = json_string_value(json_object_get(json, key));
    return value ? value : "";
}

static void write_repeat(const ffl_options *options, ffl_point_case *p)
{
    static const ffl_option words[] = {FFL_OPT_PRESET,      FFL_OPT_CONFIG,  FFL_OPT_CHECKPOINT,
                                       FFL_OPT_POSITIONS,   FFL_OPT_TOKENS,  FFL_OPT_MASK,
                                       FFL_OPT_TOKEN_TYPES, FFL_OPT_THREADS, FFL_OPT_CPUS};
    size_t used = (size_t)snprintf(p->repeat, sizeof p->repeat, "./fflab encoder");
    for (size_t i = 0; i < sizeof words / sizeof *words && used < sizeof p->repeat; i++)
        if (ffl_option_given(options, words[i]))
            used += (size_t)snprintf(p->repeat + used, sizeof p->repeat - used, " %s %s",
                                     ffl_option_name(words[i]), options->value[words[i]]);
    if (!ffl_option_given(options, FFL_OPT_TOKENS) && used < sizeof p->repeat)
        used += (size_t)snprintf(p->repeat + used, sizeof p->repeat - used, " --batch %zu --seq %zu",
                                 p->batch, p->sequence);
    if (p->neurons != p->shape.neurons && used < sizeof p->repeat)
        used += (size_t)snprintf(p->repeat + used, sizeof p->repeat - used, " --neurons %zu", p->neurons);
    if (used < sizeof p->repeat)
        snprintf(p->repeat + used, sizeof p->repeat - used, " --seed %llu", (unsigned long long)p->seed);
}

void ffl_point_case_of(const ffl_options *options, const json_t *request, const ffl_encoder_task *task,
                       ffl_point_case *p)
{
    static const char *const models[] = {"checkpoint", "config", "preset"};
    *p = (ffl_point_case){.shape = ffl_encoder_layer_shape(&task->weights.config),
                          .batch = task->input.batch,
                          .sequence = task->input.sequence,
                          .neurons = ffl_encoder_dense_neurons(&task->weights),
                          .threads = (int)json_integer_value(json_object_get(request, "threads")),
                          .seed = (uint64_t)json_integer_value(json_object_get(request, "seed"))};
    for (size_t i = 0; i < sizeof models / sizeof *models && !*p->model; i++)
        snprintf(p->model, sizeof p->model, "%s", word(request, models[i]));
    snprintf(p->cpus, sizeof p->cpus, "%s", word(request, "cpus"));
    snprintf(p->name, sizeof p->name,
             "encoder/%s/neurons:%zu/batch:%zu/seq:%zu/threads:%d/seed:%llu%s%.100s%s%.100s", p->model,
             p->neurons, p->batch, p->sequence, p->threads, (unsigned long long)p->seed,
             *word(request, "tokens") ? "/tokens:" : "", word(request, "tokens"),
             *word(request, "mask") ? "/mask:" : "", word(request, "mask"));
    write_repeat(options, p);
}

void ffl_point_key(const ffl_point_case *point, const char *variant, char *out, size_t size)
{
    snprintf(out, size, "%s/%s", variant, point->name);
}

static void fill_case(const ffl_point_case *p, bool dense, ffl_record *out)
{
    ffl_layer shape = p->shape;
    if (dense) {
        shape.operation = FFL_FF;
        shape.neurons = p->neurons;
    }
    ffl_shape_record(&shape, out);
    snprintf(out->fixture, sizeof out->fixture, "%s", p->model);
    snprintf(out->cpus, sizeof out->cpus, "%s", p->cpus);
    out->batch = out->tokens = (int64_t)(p->batch * p->sequence);
    out->threads = p->threads;
    out->seed = p->seed;
}

/* The variant's passes, as calls of a benchmark are told. */
static ffl_status fill_times(const json_t *encoder, ffl_record *out)
{
    double passes[FFL_PASS_PAIRS_MAX];
    const json_t *own = json_object_get(encoder, "own_ns"), *pass, *part;
    size_t i, p, count = 0;
    json_array_foreach(own, i, pass)
    {
        if (count == FFL_PASS_PAIRS_MAX)
            break;
        passes[count] = 0;
        json_array_foreach(pass, p, part) passes[count] += json_number_value(part);
        count++;
    }
    FFL_TRY(ffl_samples_from(passes, count, &out->samples));
    out->calls = (int64_t)count;
    ffl_samples_median(&out->samples, &out->median_ns, &out->low_ns, &out->high_ns);
    out->ns_per_token = out->median_ns / (double)out->tokens;
    return FFL_OK;
}

/* The feedforward layers in place: each as a call, on average over the layers. */
static ffl_status fill_roof(const ffl_variant *v, const json_t *row, ffl_record *out)
{
    const json_t *part = json_object_get(json_object_get(row, "parts"), "feedforward");
    const double layers = json_number_value(json_object_get(out->encoder, "layers"));
    ffl_roofs roofs;
    if (!part || !(layers >= 1))
        return FFL_OK;
    FFL_TRY(ffl_roofs_load(&roofs));
    ffl_record call;
    ffl_record_init(&call);
    call.width_in = out->width_in, call.width_out = out->width_out;
    call.tokens = out->tokens, call.threads = out->threads,
    call.emulated = v->place == FFL_CUDA && ffl_device_emulated();
    call.median_ns = json_number_value(json_object_get(part, "ns")) / layers;
    call.flops = json_number_value(json_object_get(part, "flops")) / layers;
    call.bytes = json_number_value(json_object_get(part, "bytes")) / layers;
    ffl_roofs_judge(&roofs, v, &call);
    out->roof_share = call.roof_share;
    strcpy(out->roof, call.roof);
    ffl_roofs_free(&roofs);
    return FFL_OK;
}

ffl_status ffl_point_record(const ffl_point_case *p, const json_t *row, ffl_record *out)
{
    const char *variant = word(row, "variant");
    const ffl_variant *v = ffl_registry_find(variant);
    ffl_record_init(out);
    strcpy(out->kind, "encoder");
    snprintf(out->variant, sizeof out->variant, "%s", variant);
    if (v)
        ffl_variant_record(v, out);
    fill_case(p, v && v->operation == FFL_FF, out);
    snprintf(out->group, sizeof out->group, "%s", p->name);
    ffl_point_key(p, variant, out->key, sizeof out->key);
    snprintf(out->command, sizeof out->command, "%s -v %s", p->repeat, variant);
    snprintf(out->verdict, sizeof out->verdict, "%s", word(row, "verdict"));
    snprintf(out->reason, sizeof out->reason, "%s", word(row, "reason"));
    out->rows = json_integer_value(json_object_get(row, "judged"));
    out->flips = json_integer_value(json_object_get(row, "flips"));
    if (json_is_number(json_object_get(row, "flip_margin")))
        out->flip_margin = json_number_value(json_object_get(row, "flip_margin"));
    if (json_is_number(json_object_get(row, "pack_ns")))
        out->pack_ns = json_number_value(json_object_get(row, "pack_ns"));
    out->encoder = json_incref(json_object_get(row, "encoder"));
    ffl_status status = out->encoder ? fill_times(out->encoder, out) : FFL_OK;
    if (status == FFL_OK && out->encoder && v)
        status = fill_roof(v, row, out);
    if (status != FFL_OK)
        ffl_record_free(out);
    return status;
}
