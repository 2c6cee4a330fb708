/* Fixtures whose point is the path that tokens take: collapsed, thrash, margin. */
#include "harness/check/fixtures.h"
#include "harness/workload/random.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <math.h>

/* A logit moved by PULL along a direction of x outweighs the rest, which has about unit variance. */
static const double PULL = 6, NOISE = 0.25;

/* The rows that decide, and how they form trees: nodes of FFF, gates of leaf FFF. */
typedef struct deciding {
    float *w, *b;
    size_t trees, nodes, rows;
    size_t levels; /* of rows */
    size_t depth;  /* decisions: the last level of an FFF decides nothing */
} deciding;

static deciding deciding_rows(const ffl_weights *w)
{
    const ffl_layer *l = &w->layer;
    if (l->operation == FFL_FFF_LEAF)
        return (deciding){.w = w->w_gate,
                          .b = w->b_gate,
                          .trees = 1,
                          .nodes = l->gates,
                          .rows = l->gates,
                          .levels = l->levels,
                          .depth = l->levels};
    return (deciding){.w = w->w_in,
                      .b = w->b_in,
                      .trees = l->trees,
                      .nodes = l->nodes,
                      .rows = l->neurons,
                      .levels = l->levels,
                      .depth = l->levels - 1};
}

static double noise(ffl_random *random)
{
    return NOISE * (2 * ffl_random_uniform(random) - 1);
}

static double sign(ffl_random *random)
{
    return ffl_random_next(random) >> 63 ? 1 : -1;
}

/* A seeded direction: +1 or -1 per coordinate. NULL without memory. */
static double *direction_new(const ffl_layer *layer, uint64_t seed)
{
    double *direction = ffl_alloc_array(layer->width_in, sizeof *direction);
    ffl_random random = ffl_random_new(seed, FFL_STREAM_PLAN);
    for (size_t i = 0; direction && i < layer->width_in; i++)
        direction[i] = sign(&random);
    return direction;
}

/* Rows lean by ±PULL along one direction that all inputs share: each node always decides the same way. */
ffl_status ffl_fixture_collapsed(ffl_fixture *fixture, uint64_t seed)
{
    const ffl_layer *l = &fixture->weights.layer;
    const deciding d = deciding_rows(&fixture->weights);
    double *direction = direction_new(l, seed);
    if (!direction)
        return FFL_NO_MEMORY;
    ffl_random random = ffl_random_new(seed, FFL_STREAM_X);
    for (size_t row = 0; row < d.rows; row++) {
        const double lean = PULL * sign(&random) / (double)l->width_in;
        for (size_t i = 0; i < l->width_in; i++)
            d.w[row * l->width_in + i] += (float)(lean * direction[i]);
    }
    for (size_t t = 0; t < fixture->tokens; t++)
        for (size_t i = 0; i < l->width_in; i++)
            fixture->x[t * l->width_in + i] = (float)(direction[i] + noise(&random));
    ffl_free(direction);
    return FFL_OK;
}

static size_t level_of(size_t node)
{
    size_t level = 0;
    while (node > 0) {
        node = (node - 1) / 2;
        level++;
    }
    return level;
}

/*
 * Coordinate i belongs to level i mod depth. Rows of a level lean along its coordinates, in a direction of
 * their tree, and inputs carry the bits of the leaf they are to reach there. In a tree whose bits are
 * mirrored a token reaches the mirrored leaf: still all of them in turn. Needs a coordinate per level;
 * narrower layers get what they get.
 */
ffl_status ffl_fixture_thrash(ffl_fixture *fixture, uint64_t seed)
{
    const ffl_layer *l = &fixture->weights.layer;
    const deciding d = deciding_rows(&fixture->weights);
    const size_t depth = d.depth ? d.depth : 1, leaves = (size_t)1 << d.depth;
    double *direction = direction_new(l, seed);
    if (!direction)
        return FFL_NO_MEMORY;
    for (size_t row = 0; row < d.rows; row++) {
        const size_t level = level_of(row % d.nodes);
        ffl_random random = ffl_random_new(seed, FFL_STREAM_MIRROR + row / d.nodes * FFL_LEVELS_MAX + level);
        const double lean = PULL * sign(&random) * (double)depth / (double)l->width_in;
        for (size_t i = level; level < depth && i < l->width_in; i += depth)
            d.w[row * l->width_in + i] += (float)(lean * direction[i]);
    }
    ffl_random random = ffl_random_new(seed, FFL_STREAM_X);
    for (size_t t = 0; t < fixture->tokens; t++)
        for (size_t i = 0; i < l->width_in; i++) {
            /* Bit k of the token's number decides at level k: consecutive tokens part at the root. */
            const double bit = t % leaves >> (i % depth) & 1 ? 1 : -1;
            fixture->x[t * l->width_in + i] = (float)(bit * direction[i] + noise(&random));
        }
    ffl_free(direction);
    return FFL_OK;
}

double ffl_fixture_logit_bound(const float *x, const float *w, size_t n, double u)
{
    double squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += pow((double)x[i] * (double)w[i], 2);
    const double dot = fabs(ffl_reference_dot(x, w, n)), norm = sqrt(squares);
    const double rounding = u > 0x1p-24 ? 5 * sqrt(2.0) * u * norm : 0;
    return 8 * 0x1p-24 * sqrt((double)n) * (norm + dot) + rounding;
}

/*
 * Level by level, so that a token's path down to its planted node is settled before: the bias of the node
 * puts the logit at plus or minus 0.02 (about where rounding really
 * is), 0.5 or 2 times the bound that f32, tf32/f16 or bf16 earn. A row that
 * several tokens share is planted for the first.
 */
ffl_status ffl_fixture_margin(ffl_fixture *fixture, uint64_t seed)
{
    static const double unit[] = {0x1p-24, 0x1p-24, 0x1p-24, 0x1p-11, 0x1p-9};
    static const double factor[] = {0.5, -0.5, 2, -2, 0.02, -0.02};
    const ffl_layer *l = &fixture->weights.layer;
    const deciding d = deciding_rows(&fixture->weights);
    unsigned char *planted = ffl_alloc(d.rows + 1);
    if (!planted)
        return FFL_NO_MEMORY;
    ffl_random random = ffl_random_new(seed, FFL_STREAM_PLAN);
    for (size_t planting = 0; planting < d.levels; planting++)
        for (size_t t = 0; t < fixture->tokens; t++)
            for (size_t tree = 0; tree < d.trees; tree++) {
                const float *x = fixture->x + t * l->width_in;
                size_t row = tree * d.nodes, node = 0;
                if ((t + tree) % d.levels != planting)
                    continue;
                for (size_t level = 0; level < planting; level++) {
                    row = tree * d.nodes + node;
                    const double z = ffl_reference_dot(x, d.w + row * l->width_in, l->width_in);
                    node = 2 * node + 1 + (z + (double)d.b[row] > 0);
                }
                row = tree * d.nodes + node;
                if (planted[row])
                    continue;
                const float *w = d.w + row * l->width_in;
                const double bound =
                    ffl_fixture_logit_bound(x, w, l->width_in, unit[ffl_random_below(&random, 5)]);
                const double wanted = factor[ffl_random_below(&random, 6)] * bound;
                d.b[row] = (float)(wanted - ffl_reference_dot(x, w, l->width_in));
                planted[row] = 1;
            }
    ffl_free(planted);
    return FFL_OK;
}
