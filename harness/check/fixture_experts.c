/* Mixtures of experts: fixtures whose point is which experts tokens choose. */
#include "harness/check/fixtures.h"
#include "harness/workload/random.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <string.h>

/* A gate moved by PULL outweighs the rest, which has about unit variance. */
static const double PULL = 8, NOISE = 0.25;

static double noise(ffl_random *random)
{
    return NOISE * (2 * ffl_random_uniform(random) - 1);
}

/* Signs that belong to one expert (or, as number `experts`, to all inputs). */
static ffl_random direction_of(size_t expert, uint64_t seed)
{
    return ffl_random_new(seed, FFL_STREAM_MIRROR + expert);
}

static double next_sign(ffl_random *direction)
{
    return ffl_random_next(direction) >> 63 ? 1 : -1;
}

static void lean(const ffl_weights *w, size_t gate, size_t along, uint64_t seed)
{
    const size_t n = w->layer.width_in;
    ffl_random direction = direction_of(along, seed);
    for (size_t i = 0; i < n; i++)
        w->w_gate[gate * n + i] += (float)(PULL / (double)n * next_sign(&direction));
}

static void set_row(float *x, size_t n, size_t along, uint64_t seed, ffl_random *random)
{
    ffl_random direction = direction_of(along, seed);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(next_sign(&direction) + noise(random));
}

/* The gates of as many experts as are chosen lean along one direction that all inputs share. */
ffl_status ffl_fixture_collapsed_mixture(ffl_fixture *fixture, uint64_t seed)
{
    const ffl_layer *l = &fixture->weights.layer;
    ffl_random random = ffl_random_new(seed, FFL_STREAM_X);
    const size_t first = ffl_random_below(&random, l->experts);
    for (size_t k = 0; k < l->chosen; k++)
        lean(&fixture->weights, (first + k) % l->experts, l->experts, seed);
    for (size_t t = 0; t < fixture->tokens; t++)
        set_row(fixture->x + t * l->width_in, l->width_in, l->experts, seed, &random);
    return FFL_OK;
}

/* Each gate leans along a direction of its own, and inputs follow one after the other: every expert in turn,
 * with whatever comes second. Directions part well from width 64 on; narrower layers get what they get. */
ffl_status ffl_fixture_thrash_mixture(ffl_fixture *fixture, uint64_t seed)
{
    const ffl_layer *l = &fixture->weights.layer;
    ffl_random random = ffl_random_new(seed, FFL_STREAM_X);
    for (size_t e = 0; e < l->experts; e++)
        lean(&fixture->weights, e, e, seed);
    for (size_t t = 0; t < fixture->tokens; t++)
        set_row(fixture->x + t * l->width_in, l->width_in, t % l->experts, seed, &random);
    return FFL_OK;
}

/*
 * The gate of the best expert that a token does not choose is moved next to that of the last one it does:
 * apart by plus or minus 0.02, 0.5 or 2 times the sum of their bounds, as f32, tf32/f16 or bf16 earn them. A
 * gate is moved once, for the first token that wants it.
 */
ffl_status ffl_fixture_margin_mixture(ffl_fixture *fixture, uint64_t seed)
{
    static const double unit[] = {0x1p-24, 0x1p-24, 0x1p-24, 0x1p-11, 0x1p-9};
    static const double factor[] = {0.5, -0.5, 2, -2, 0.02, -0.02};
    ffl_layer *l = &fixture->weights.layer;
    const size_t n = l->width_in;
    if (l->chosen == l->experts)
        return FFL_OK; /* nothing is left out */
    unsigned char *moved = ffl_alloc(l->experts);
    double *z = ffl_alloc_array(l->experts, sizeof *z), *share = ffl_alloc_array(l->experts, sizeof *share);
    int32_t *order = ffl_alloc_array(l->experts, sizeof *order);
    const bool made = moved && z && share && order;
    ffl_random random = ffl_random_new(seed, FFL_STREAM_PLAN);
    ffl_layer one_more = *l;
    one_more.chosen++;
    for (size_t t = 0; made && t < fixture->tokens; t++) {
        const float *x = fixture->x + t * n;
        const double u = unit[ffl_random_below(&random, 5)], f = factor[ffl_random_below(&random, 6)];
        for (size_t e = 0; e < l->experts; e++)
            z[e] = ffl_reference_dot(x, l->w_gate + e * n, n) + (double)l->b_gate[e];
        ffl_reference_choose(&one_more, z, order, share);
        const size_t last = (size_t)order[l->chosen - 1], next = (size_t)order[l->chosen];
        if (moved[next])
            continue;
        const float *w = l->w_gate + next * n;
        const double bound =
            ffl_fixture_logit_bound(x, l->w_gate + last * n, n, u) + ffl_fixture_logit_bound(x, w, n, u);
        fixture->weights.b_gate[next] = (float)(z[last] + f * bound - ffl_reference_dot(x, w, n));
        moved[last] = moved[next] = 1;
    }
    ffl_free(moved);
    ffl_free(z);
    ffl_free(share);
    ffl_free(order);
    return made ? FFL_OK : FFL_NO_MEMORY;
}
