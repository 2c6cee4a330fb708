#include "harness/encoder/answers.h"
#include "harness/workload/routing.h"
#include "kernels/memory.h"
#include <math.h>

typedef struct extent {
    double min, sum, max;
    json_t *each; /* NULL without detail */
} extent;

static void extend(extent *e, double value)
{
    e->min = fmin(e->min, value);
    e->max = fmax(e->max, value);
    e->sum += value;
    if (e->each)
        json_array_append_new(e->each, json_real(value));
}

static json_t *extent_json(const extent *e, size_t trees)
{
    return json_pack("{s:f, s:f, s:f}", "min", e->min, "mean", e->sum / (double)trees, "max", e->max);
}

/* Number of bits: 0 for 0, 1 for 1, 2 for 2 and 3, … */
static size_t magnitude(uint32_t visits)
{
    size_t bits = 0;
    for (; visits; visits >>= 1)
        bits++;
    return bits;
}

static json_t *by_visits_json(const uint32_t *visits, size_t count)
{
    size_t leaves[33] = {0}, last = 0;
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++) {
        const size_t m = magnitude(visits[i]);
        leaves[m]++;
        last = m > last ? m : last;
    }
    for (size_t m = 0; m <= last; m++)
        json_array_append_new(all, json_integer((json_int_t)leaves[m]));
    return all;
}

static json_t *visits_json(const uint32_t *visits, size_t trees, size_t leaves)
{
    json_t *all = json_array();
    for (size_t tree = 0; tree < trees; tree++, visits += leaves) {
        json_t *one = json_array();
        for (size_t i = 0; i < leaves; i++)
            json_array_append_new(one, json_integer((json_int_t)visits[i]));
        json_array_append_new(all, one);
    }
    return all;
}

static json_t *routing_json(const ffl_layer *layer, const ffl_tree_routing *trees, const uint32_t *visits,
                            bool detail)
{
    const size_t leaves_of = (size_t)1 << (layer->levels - 1);
    extent leaves = {.min = INFINITY, .each = detail ? json_array() : NULL}, entropy = leaves, top1 = leaves;
    entropy.each = detail ? json_array() : NULL;
    top1.each = detail ? json_array() : NULL;
    for (size_t t = 0; t < layer->trees; t++) {
        extend(&leaves, (double)trees[t].leaves);
        extend(&entropy, trees[t].entropy);
        extend(&top1, trees[t].top1);
    }
    json_t *all = json_pack("{s:I, s:o, s:o, s:o, s:o}", "leaves_of", (json_int_t)leaves_of, "leaves",
                            extent_json(&leaves, layer->trees), "entropy_bits",
                            extent_json(&entropy, layer->trees), "top1", extent_json(&top1, layer->trees),
                            "by_visits", by_visits_json(visits, layer->trees * leaves_of));
    if (detail) {
        json_object_set_new(all, "trees",
                            json_pack("{s:o, s:o, s:o}", "leaves", leaves.each, "entropy_bits", entropy.each,
                                      "top1", top1.each));
        json_object_set_new(all, "visits", visits_json(visits, layer->trees, leaves_of));
    }
    return all;
}

ffl_status ffl_layer_routing_json(const ffl_layer *layer, const float *x, size_t tokens, bool detail,
                                  double *weight_bytes, json_t **out)
{
    ffl_routing_report report;
    ffl_tree_routing *trees = ffl_alloc_array(layer->trees, sizeof *trees);
    uint32_t *visits = ffl_alloc_array(layer->trees << (layer->levels - 1), sizeof *visits);
    ffl_status status = trees && visits ? FFL_OK : FFL_NO_MEMORY;
    if (status == FFL_OK)
        status = ffl_routing_measure_trees(layer, x, layer->width_in, tokens, &report, trees, visits);
    if (status == FFL_OK) {
        *weight_bytes = report.unique_weight_bytes;
        *out = routing_json(layer, trees, visits, detail);
    }
    ffl_free(trees);
    ffl_free(visits);
    return status;
}
