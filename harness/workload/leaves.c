#include "harness/workload/leaves.h"
#include "harness/workload/random.h"
#include "kernels/memory.h"
#include <math.h>

/* Streams of one seed: far from those of rows (routing.c), which count up from 0. */
#define STREAM_TOKENS ((uint64_t)1 << 40)
#define STREAM_RANKS ((uint64_t)1 << 41)
#define STREAM_SINGLE ((uint64_t)1 << 42)

/* Ranks are dealt to leaves at random: without it the frequent leaves would be neighbours that share their
 * whole path but the last step. */
static void deal_ranks(const ffl_leaves *leaves, size_t tree)
{
    uint32_t *of_rank = leaves->of_rank + tree * leaves->count;
    ffl_random random = ffl_random_new(leaves->seed, STREAM_RANKS + tree);
    for (size_t i = 0; i < leaves->count; i++) {
        const size_t j = ffl_random_below(&random, i + 1);
        of_rank[i] = of_rank[j];
        of_rank[j] = (uint32_t)i;
    }
}

ffl_status ffl_leaves_new(const ffl_layer *layer, const ffl_routing *routing, uint64_t seed, ffl_leaves *out)
{
    *out = (ffl_leaves){.routing = *routing,
                        .seed = seed,
                        .trees = layer->trees,
                        .depth = layer->levels - 1,
                        .count = (size_t)1 << (layer->levels - 1)};
    if (routing->kind != FFL_ZIPF)
        return FFL_OK;
    out->cumulative = ffl_alloc_array(out->count, sizeof *out->cumulative);
    out->of_rank = ffl_alloc_array(out->trees * out->count, sizeof *out->of_rank);
    if (!out->cumulative || !out->of_rank) {
        ffl_leaves_free(out);
        return FFL_NO_MEMORY;
    }
    double sum = 0;
    for (size_t r = 0; r < out->count; r++)
        out->cumulative[r] = sum += pow((double)(r + 1), -routing->exponent);
    for (size_t r = 0; r < out->count; r++)
        out->cumulative[r] /= sum;
    for (size_t tree = 0; tree < out->trees; tree++)
        deal_ranks(out, tree);
    return FFL_OK;
}

/* The first rank whose cumulative share exceeds u. */
static size_t draw_rank(const ffl_leaves *leaves, double u)
{
    size_t low = 0, high = leaves->count - 1;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (leaves->cumulative[middle] > u)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Bit-reversed counting: each step lands in the other half, then the other quarter, … of the tree. */
static uint32_t reversed(size_t token, size_t depth)
{
    uint32_t leaf = 0;
    for (size_t bit = 0; bit < depth; bit++)
        leaf |= (uint32_t)((token >> bit) & 1) << (depth - 1 - bit);
    return leaf;
}

void ffl_leaves_of(const ffl_leaves *leaves, size_t token, uint32_t *leaf)
{
    const ffl_routing_kind kind = leaves->routing.kind;
    const uint64_t stream = kind == FFL_SINGLE ? STREAM_SINGLE : STREAM_TOKENS + token;
    ffl_random random = ffl_random_new(leaves->seed, stream);
    for (size_t tree = 0; tree < leaves->trees; tree++) {
        if (kind == FFL_THRASH)
            leaf[tree] = reversed(token, leaves->depth);
        else if (kind == FFL_ZIPF)
            leaf[tree] =
                leaves->of_rank[tree * leaves->count + draw_rank(leaves, ffl_random_uniform(&random))];
        else
            leaf[tree] = (uint32_t)ffl_random_below(&random, leaves->count);
    }
}

void ffl_leaves_free(ffl_leaves *leaves)
{
    ffl_free(leaves->cumulative);
    ffl_free(leaves->of_rank);
    *leaves = (ffl_leaves){0};
}
