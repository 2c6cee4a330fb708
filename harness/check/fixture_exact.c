/*
 * Data without rounding. Two forms:
 *
 * exact   x = 16·u, w_in = v, b_in = 16·β, w_out = 2^-8·o with whole u, v, β, o. Every logit is
 *         z = 16·m, m = u·v + β, so it is 0 or |z| >= 16, where GELU is exactly 0, z or -0. The makeup
 *         bounds every positive m by `cap`, which is chosen such that no column's sum of |m·o| reaches
 *         2^24: all partial sums, in any order and grouping, are whole numbers of one quantum below 2^24
 *         of it, hence floats. |u|, |v|, |β|, |o| and positive m stay <= 256, so bf16, f16 and tf32 hold
 *         them. Every row of x, w_in and w_out has 127 times a power of two as its largest magnitude and
 *         whole multiples of that power beside it: int8 with a scale per row or tensor is exact as well.
 *
 *         How |m| stays small though rows hold a 127: v's 127 sits at a "key" coordinate, where u is -1, 0
 *         or 1, and β = r - 127 takes it back, so a row is positive only where the signs agree: m <= r +
 *         small. u's 127 sits at a coordinate where all v are zero.
 *
 *         Gates have the same form (exact_gate).
 *
 * ties    u in {-1, 0, 1}, v with an even number of ±1/2: between a third and a half of all logits cancel
 *         to zero exactly; the others are small enough for GELU to matter. w_out is random.
 */
#include "harness/check/fixtures.h"
#include "harness/workload/random.h"
#include <math.h>
#include <string.h>

static const uint64_t GATE_SEED = 0x67617465;

enum { PEAK = 127, VALUE_MAX = 256, SMALL_OUT = 3, B_OUT_MAX = 3 };

typedef struct exact_plan {
    size_t cap;         /* of positive m */
    size_t small;       /* bound of what the non-key coordinates add to |m| */
    size_t keys, step;  /* key coordinates: (shift + k·step) mod width */
    size_t shift, rest; /* u's 127 is at `rest`; == width when there is none */
    bool keys_live;     /* u is not zero at the key coordinates */
    bool bias;
} exact_plan;

static int sign(ffl_random *random)
{
    return ffl_random_next(random) >> 63 ? 1 : -1;
}

static size_t key_of(const exact_plan *plan, size_t row, size_t width)
{
    return (plan->shift + row % plan->keys * plan->step) % width;
}

static bool is_key(const exact_plan *plan, size_t i, size_t width)
{
    const size_t from = (i + width - plan->shift) % width;
    return from % plan->step == 0 && from / plan->step < plan->keys;
}

static ffl_status make_plan(const ffl_layer *l, bool bias, uint64_t seed, exact_plan *plan)
{
    const bool tree = l->operation == FFL_FFF;
    const size_t parts = l->chosen ? l->chosen : 1; /* experts that are summed */
    const size_t together = tree ? l->trees * l->levels : l->chosen ? l->expert_width : l->neurons;
    const size_t active = parts * together;
    /* How many active rows can have their 127 in one column; on a path any of them may. */
    const size_t peaks = tree ? active : parts * ((together + l->width_out - 1) / l->width_out);
    const size_t cap = ((1u << 24) - 1 - parts * B_OUT_MAX) / (SMALL_OUT * active + PEAK * peaks);
    if (cap < 8)
        return ffl_fail(FFL_UNSUPPORTED, "exact sums of %zu active neurons need more than 24 bits", active);
    *plan = (exact_plan){.cap = cap < VALUE_MAX ? cap : VALUE_MAX, .keys = 1, .bias = bias};
    if (l->width_in >= 4)
        plan->keys = l->width_in / 4 < 16 ? l->width_in / 4 : 16;
    plan->step = l->width_in / plan->keys;
    ffl_random random = ffl_random_new(seed, FFL_STREAM_PLAN);
    plan->shift = ffl_random_below(&random, l->width_in);
    plan->rest = l->width_in > 1 ? (plan->shift + 1) % l->width_in : l->width_in;
    if (bias) {
        plan->keys_live = true;
        plan->small = plan->cap * 3 / 4;
    } else {
        plan->keys_live = plan->cap >= PEAK + (l->width_in > 2 ? 32 : 0);
        plan->small = plan->keys_live ? plan->cap - PEAK : plan->cap;
    }
    return FFL_OK;
}

static void exact_neuron(const ffl_weights *w, const exact_plan *plan, uint64_t seed, size_t row)
{
    const ffl_layer *l = &w->layer;
    float *v = w->w_in + row * l->width_in, *o = w->w_out + row * l->width_out;
    ffl_random random = ffl_random_new(seed, row);
    memset(v, 0, l->width_in * sizeof *v);
    /* |u| and |v| are at most 2 away from keys and rest: four per pick. Both ends are always picked, for
     * the sake of kernels that lose a remainder. */
    for (size_t pick = 0; pick < plan->small / 4; pick++) {
        const size_t i = pick == 0 ? l->width_in - 1 : pick == 1 ? 0 : ffl_random_below(&random, l->width_in);
        const int value = sign(&random) * (int)(1 + ffl_random_below(&random, 2));
        if (i != plan->rest && !is_key(plan, i, l->width_in))
            v[i] = (float)value;
    }
    v[key_of(plan, row, l->width_in)] = (float)(sign(&random) * PEAK);
    const size_t r =
        ffl_random_below(&random, 4) ? ffl_random_below(&random, plan->cap - plan->small + 1) : 0;
    w->b_in[row] = plan->bias ? 16.0f * ((float)r - PEAK) : 0.0f;
    for (size_t j = 0; j < l->width_out; j++)
        o[j] = 0x1p-8f * (float)((int)ffl_random_below(&random, 2 * SMALL_OUT + 1) - SMALL_OUT);
    o[row % l->width_out] = 0x1p-8f * (float)(sign(&random) * PEAK);
}

/* One of four gates of a mixture is a copy of an earlier one: a tie wherever either could win. */
static bool copied_gate(const ffl_weights *w, size_t row, ffl_random *random)
{
    const size_t width = w->layer.width_in;
    if (w->layer.operation != FFL_MOE || row == 0 || ffl_random_below(random, 4) != 0)
        return false;
    const size_t other = ffl_random_below(random, row);
    memcpy(w->w_gate + row * width, w->w_gate + other * width, width * sizeof(float));
    w->b_gate[row] = w->b_gate[other];
    return true;
}

/*
 * Gates: rows of the same form whose m stays within ±256, so that logits of 16 bits hold them. A mixture of
 * two has all of them 8 times as large: two gates are equal, or at least 128 apart, and shares are 1/2, 1 or
 * 0. With three or more, shares are rounded. A quarter of a mixture's gates are copies of others: ties.
 */
static void exact_gate(const ffl_weights *w, const exact_plan *plan, uint64_t seed, size_t row)
{
    enum { SMALL_MAX = 100, BIAS_MAX = 1 };
    const ffl_layer *l = &w->layer;
    const float scale = l->chosen == 2 ? 8 : 1;
    float *v = w->w_gate + row * l->width_in;
    ffl_random random = ffl_random_new(seed, row);
    if (copied_gate(w, row, &random))
        return;
    memset(v, 0, l->width_in * sizeof *v);
    const size_t small = plan->small < SMALL_MAX ? plan->small : SMALL_MAX;
    for (size_t pick = 0; pick < small / 4; pick++) {
        const size_t i = pick == 0 ? l->width_in - 1 : pick == 1 ? 0 : ffl_random_below(&random, l->width_in);
        const int value = sign(&random) * (int)(1 + ffl_random_below(&random, 2));
        if (i != plan->rest && !is_key(plan, i, l->width_in))
            v[i] = scale * (float)value;
    }
    v[key_of(plan, row, l->width_in)] = scale * (float)(sign(&random) * PEAK);
    const int bias = (int)ffl_random_below(&random, 2 * BIAS_MAX + 1) - BIAS_MAX;
    w->b_gate[row] = plan->bias ? 16 * scale * (float)bias : 0.0f;
}

ffl_status ffl_fixture_exact(ffl_fixture *fixture, bool bias, uint64_t seed)
{
    const ffl_weights *w = &fixture->weights;
    const ffl_layer *l = &w->layer;
    exact_plan plan = {0};
    FFL_TRY(make_plan(l, bias, seed, &plan));
    for (size_t row = 0; row < l->neurons; row++)
        exact_neuron(w, &plan, seed, row);
    ffl_random random = ffl_random_new(seed, FFL_STREAM_X);
    for (size_t j = 0; w->b_out && j < ffl_layer_output_biases(l); j++)
        w->b_out[j] = 0x1p-4f * (float)((int)ffl_random_below(&random, 2 * B_OUT_MAX + 1) - B_OUT_MAX);
    for (size_t t = 0; t < fixture->tokens; t++) {
        float *x = fixture->x + t * l->width_in;
        for (size_t i = 0; i < l->width_in; i++) {
            const int s = sign(&random);
            const size_t draw = ffl_random_below(&random, 8);
            if (i == plan.rest)
                x[i] = 16.0f * (float)(s * PEAK);
            else if (is_key(&plan, i, l->width_in))
                x[i] = plan.keys_live && draw ? 16.0f * (float)s : 0.0f;
            else
                x[i] = 16.0f * (float)(s * (draw < 4 ? 1 : 2));
        }
    }
    fixture->data = FFL_DATA_EXACT;
    for (size_t row = 0; row < l->gates; row++)
        exact_gate(w, &plan, seed ^ GATE_SEED, row);
    if (l->chosen > 2)
        fixture->data = FFL_DATA_EXACT_LOGITS;
    return FFL_OK;
}

/* A row of w_in or w_gate; picks of ±1/2, and zero-sum biases. */
static void tied_row(float *v, float *b, size_t width, bool bias, ffl_random *random)
{
    /* Zeros of either sign, and steps of one half: with an odd number of picks they cancel. */
    static const float biases[] = {0.0f, -0.0f, 0.0f, 0.5f, -0.5f, 1.0f};
    memset(v, 0, width * sizeof *v);
    const size_t picks = 2 * (1 + ffl_random_below(random, 3));
    for (size_t pick = 0; pick < picks; pick++)
        v[ffl_random_below(random, width)] = 0.5f * (float)sign(random);
    *b = bias ? biases[ffl_random_below(random, 6)] : 0.0f;
}

void ffl_fixture_ties(ffl_fixture *fixture, bool bias, uint64_t seed)
{
    const ffl_weights *w = &fixture->weights;
    const ffl_layer *l = &w->layer;
    for (size_t row = 0; row < l->neurons; row++) {
        ffl_random random = ffl_random_new(seed, row);
        tied_row(w->w_in + row * l->width_in, w->b_in + row, l->width_in, bias, &random);
    }
    for (size_t row = 0; row < l->gates; row++) {
        ffl_random random = ffl_random_new(seed ^ GATE_SEED, row);
        if (!copied_gate(w, row, &random))
            tied_row(w->w_gate + row * l->width_in, w->b_gate + row, l->width_in, bias, &random);
    }
    ffl_random random = ffl_random_new(seed, FFL_STREAM_X);
    for (size_t i = 0; i < fixture->tokens * l->width_in; i++) {
        const float s = (float)sign(&random);
        fixture->x[i] = ffl_random_below(&random, 16) ? s : copysignf(0.0f, s);
    }
    fixture->data = FFL_DATA_EXACT_LOGITS;
}
