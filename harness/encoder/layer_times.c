#include "harness/encoder/layer_times.h"
#include "kernels/memory.h"
#include "reports/passes.h"
#include <string.h>

ffl_status ffl_layer_times_new(size_t layers, double scale, ffl_layer_times *out)
{
    *out = (ffl_layer_times){.layers = layers, .scale = scale};
    out->ns = ffl_alloc_array(FFL_PAIRS_MAX * (layers + 1), FFL_PART_COUNT * sizeof *out->ns);
    return out->ns ? FFL_OK : FFL_NO_MEMORY;
}

void ffl_layer_times_free(ffl_layer_times *times)
{
    ffl_free(times->ns);
    *times = (ffl_layer_times){0};
}

static double *of_pass(const ffl_layer_times *times, size_t pass)
{
    return times->ns + pass * (times->layers + 1) * FFL_PART_COUNT;
}

void ffl_layer_times_add(ffl_layer_times *times, const ffl_encoder_event *events, size_t count)
{
    double *ns = of_pass(times, times->count++);
    memset(ns, 0, (times->layers + 1) * FFL_PART_COUNT * sizeof *ns);
    for (size_t i = 0; i < count; i++) {
        const size_t layer = events[i].layer < times->layers ? events[i].layer : times->layers;
        ns[layer * FFL_PART_COUNT + (size_t)events[i].part] += events[i].ns;
    }
}

static double sum(const ffl_layer_times *times, size_t pass, size_t layer, size_t part)
{
    const double *ns = of_pass(times, pass);
    double all = 0;
    for (size_t l = 0; l <= times->layers; l++) {
        const double scale = layer == FFL_ALL && l < times->layers ? times->scale : 1;
        for (size_t p = 0; p < FFL_PART_COUNT; p++)
            if ((layer == FFL_ALL || layer == l) && (part == FFL_ALL || part == p))
                all += scale * ns[l * FFL_PART_COUNT + p];
    }
    return all;
}

double ffl_layer_times_ns(const ffl_layer_times *times, size_t layer, size_t part)
{
    double value[FFL_PAIRS_MAX] = {0};
    for (size_t i = 0; i < times->count; i++)
        value[i] = sum(times, i, layer, part);
    return ffl_spread_of(value, times->count).median;
}
