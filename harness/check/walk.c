#include "harness/check/walk.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <math.h>
#include <string.h>

static size_t arrays(const ffl_arithmetic *arithmetic, bool with_y)
{
    return 3u + arithmetic->shares + with_y;
}

ffl_status ffl_sums_new(const ffl_arithmetic *arithmetic, bool with_y, ffl_sums *sums)
{
    const size_t width = arithmetic->layer->width_out;
    double *block = ffl_alloc_array(width, arrays(arithmetic, with_y) * sizeof *block);
    *sums = (ffl_sums){0};
    if (!block)
        return FFL_NO_MEMORY;
    sums->worst = block;
    sums->squares = block + width;
    sums->deviations = block + 2 * width;
    sums->shared = arithmetic->shares ? block + 3 * width : NULL;
    sums->y = with_y ? block + (arrays(arithmetic, with_y) - 1) * width : NULL;
    return FFL_OK;
}

void ffl_sums_clear(const ffl_arithmetic *arithmetic, ffl_sums *sums)
{
    memset(sums->worst, 0, arrays(arithmetic, sums->y) * arithmetic->layer->width_out * sizeof *sums->worst);
    sums->flat_worst = sums->flat_deviations = 0;
}

void ffl_sums_free(ffl_sums *sums)
{
    ffl_free(sums->worst);
    *sums = (ffl_sums){0};
}

ffl_status ffl_walk_new(const ffl_layer *layer, const ffl_arithmetic *arithmetic, ffl_walk *walk)
{
    const size_t visited = layer->trees * layer->levels;
    *walk = (ffl_walk){.layer = layer, .arithmetic = arithmetic};
    walk->nodes = ffl_alloc_array(visited, sizeof *walk->nodes);
    walk->logits = ffl_alloc_array(visited, sizeof *walk->logits);
    walk->path = ffl_alloc_array(visited, sizeof *walk->path);
    walk->y = ffl_alloc_array(layer->width_out, sizeof *walk->y);
    if (walk->nodes && walk->logits && walk->path && walk->y &&
        ffl_sums_new(arithmetic, false, &walk->sums) == FFL_OK)
        return FFL_OK;
    ffl_walk_free(walk);
    return FFL_NO_MEMORY;
}

void ffl_walk_sum(ffl_walk *walk, double hidden_peak)
{
    const size_t visited = walk->layer->trees * walk->layer->levels;
    walk->hidden_peak = hidden_peak;
    ffl_sums_clear(walk->arithmetic, &walk->sums);
    for (size_t k = 0; k < visited; k++)
        ffl_sums_add(walk->arithmetic, &walk->nodes[k], hidden_peak, 1, &walk->sums);
}

ffl_status ffl_walk_row(ffl_walk *walk, const float *x)
{
    const ffl_layer *l = walk->layer;
    const size_t visited = l->trees * l->levels;
    walk->input = ffl_input_new(walk->arithmetic, x);
    walk->bounded = walk->input.bounded;
    walk->hidden_peak = 0;
    if (!walk->bounded)
        return FFL_OK;
    FFL_TRY(ffl_reference_walk(l, x, l->width_in, 1, walk->y, walk->logits, walk->path));
    for (size_t k = 0; k < visited; k++) {
        const size_t neuron = k / l->levels * l->nodes + (size_t)walk->path[k];
        walk->nodes[k] = ffl_node_new(walk->arithmetic, &walk->input, neuron, walk->logits[k]);
        walk->bounded &= !walk->nodes[k].overflows;
        walk->hidden_peak = fmax(walk->hidden_peak, ffl_node_hidden(walk->arithmetic, &walk->nodes[k]));
    }
    ffl_walk_sum(walk, walk->hidden_peak);
    walk->bounded &= !ffl_sums_overflow(walk->arithmetic, &walk->sums);
    return FFL_OK;
}

void ffl_walk_free(ffl_walk *walk)
{
    ffl_free(walk->nodes);
    ffl_free(walk->logits);
    ffl_free(walk->path);
    ffl_free(walk->y);
    ffl_sums_free(&walk->sums);
    *walk = (ffl_walk){0};
}
