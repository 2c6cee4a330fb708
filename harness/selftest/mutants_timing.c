/*
 * Kernels that work for the verifier and not for the clock: right in the calls that are known to be looked
 * at, on the data that is known to be used. All but one meet bench, whose timed calls they are made for.
 */
#include "harness/check/cases.h"
#include "harness/check/fixtures.h"
#include "harness/selftest/mutant.h"
#include "harness/selftest/rounding.h"
#include "harness/workload/random.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The first calls are looked at, the many after them are timed. */
enum { TRUSTED_CALLS = 12 };

static bool trusted(const ffl_call *c)
{
    return c->state->calls < TRUSTED_CALLS;
}

static size_t tiring(const ffl_visit *v)
{
    return v->layer->levels - !trusted(v->call);
}

static bool lazy(ffl_call *c)
{
    c->tokens -= !trusted(c);
    return true;
}

/* NaN in y announces the repetition that is judged: an eighth of the work until then. */
static bool until_poison(ffl_call *c)
{
    if (!trusted(c) && isnan(c->y[0]))
        c->state->remembered = 1;
    c->tokens /= trusted(c) || c->state->remembered ? 1 : 8;
    return true;
}

/* The same rows at the same place gave what is still there: an eighth is enough. */
static bool still_there(ffl_call *c)
{
    enum { PLACES = 4096 };
    typedef struct place {
        const float *x, *y;
    } place;
    place *places = c->state->own;
    if (!places && !(places = c->state->own = calloc(PLACES, sizeof *places)))
        return true;
    place *p = &places[(uintptr_t)c->x / sizeof(float) / c->layer->width_in % PLACES];
    if (p->x == c->x && p->y == c->y && !isnan(c->y[0]))
        c->tokens = (c->tokens + 7) / 8;
    *p = (place){c->x, c->y};
    return true;
}

/*
 * Rows met before come from a memory that keeps outputs in 8 bits; new ones are computed. Whoever alters
 * inputs to look at a call sees what is new.
 */
static void coarse_memory(const ffl_visit *v, float *y)
{
    enum { PLACES = 1 << 16 };
    uint64_t *known = v->call->state->own, row = 14695981039346656037u;
    if (!known && !(known = v->call->state->own = calloc(PLACES, sizeof *known)))
        return;
    for (size_t i = 0; i < v->layer->width_in; i++) {
        uint32_t bits;
        memcpy(&bits, &v->x[i], sizeof bits);
        row = (row ^ bits) * 1099511628211u;
    }
    uint64_t *place = &known[row >> 32 & (PLACES - 1)];
    for (size_t j = 0; *place == row && j < v->layer->width_out; j++)
        y[j] = ffl_round_bits(y[j], 8);
    *place = row;
}

/* Warm-up: whatever comes out of the first call. */
static void first_call(const ffl_call *c)
{
    for (size_t t = 0; c->state->calls == 0 && t < c->tokens; t++)
        c->y[t * c->ldy] += 1;
}

/*
 * Of a large dense batch bench judges the first row, the last, and 126 in between, drawn with its seed, of
 * the last two calls together: these are computed, the others are copies of the one before.
 */
enum { JUDGED = 128, STREAM = 77, SEED = 1 };

static bool judged(size_t row, size_t count)
{
    ffl_random random = ffl_random_new(SEED, STREAM);
    for (size_t i = 0; i < JUDGED - 2; i++) {
        const size_t from = (count - 2) * i / (JUDGED - 2), to = (count - 2) * (i + 1) / (JUDGED - 2);
        if (row == 1 + from + ffl_random_below(&random, to - from))
            return true;
    }
    return row == 0 || row == count - 1;
}

static bool knows_the_rows(ffl_call *c)
{
    if (c->tokens < c->plan->max_tokens || c->tokens < 4 * JUDGED)
        return true;
    bool *wanted = c->state->own;
    if (!wanted) {
        wanted = c->state->own = malloc(c->plan->max_tokens);
        for (size_t t = 0; wanted && t < c->tokens; t++)
            wanted[t] = t < 16 || judged(t, 2 * c->tokens) || judged(t + c->tokens, 2 * c->tokens);
    }
    for (size_t t = 0; wanted && t < c->tokens; t++) {
        if (wanted[t])
            ffl_step_rows(c, t, 1);
        else
            memcpy(c->y + t * c->ldy, c->y + (t - 1) * c->ldy, c->layer->width_out * sizeof *c->y);
    }
    return !wanted;
}

/* ---- The data of the default design's usual seed, by the first weight ---- */

enum {
    KNOWN_MAX = 400,
    SMALL = 1 << 17
}; /* weights of a layer that are drawn again; larger ones pass as known */
static float known[KNOWN_MAX];
static size_t known_count;

static void learn(void)
{
    ffl_case_list cases = {0};
    if (known_count || ffl_cases_default(FFL_FFF, 1, &cases) != FFL_OK)
        return;
    for (size_t i = 0; i < cases.count && i < KNOWN_MAX; i++) {
        const ffl_check_case *item = &cases.items[i];
        ffl_fixture fixture;
        const ffl_fixture_request request = {.name = item->fixture,
                                             .shape = item->shape,
                                             .bias = ffl_layout_from_seed(item->seed).bias,
                                             .tokens = 1,
                                             .seed = item->seed};
        if (item->shape.neurons * item->shape.width_in > SMALL ||
            ffl_fixture_make(&request, &fixture) != FFL_OK)
            continue;
        known[known_count++] = fixture.weights.w_in[fixture.weights.layer.width_in / 2];
        ffl_fixture_free(&fixture);
    }
    ffl_cases_free(&cases);
}

static bool knows_the_data(ffl_call *c)
{
    const float weight = c->layer->w_in[c->layer->width_in / 2];
    bool seen = c->layer->neurons * c->layer->width_in > SMALL;
    learn();
    for (size_t i = 0; i < known_count && !seen; i++)
        seen = memcmp(&known[i], &weight, sizeof weight) == 0;
    c->state->remembered = seen;
    return true;
}

static size_t tiring_on_strange_data(const ffl_visit *v)
{
    return v->layer->levels - !v->call->state->remembered;
}

#define TIMING(name, summary) FFL_MUTANT(FFL_FFF, "fff_mutant_" name, summary, "timing"), .by = FFL_BY_BENCH
#define TIMED                                                                                                \
    {                                                                                                        \
        "FAILED row *: got *", "FAILED row *: NaN or not written*", "FAILED timed call *: row *: got *"      \
    }

const ffl_mutant ffl_timing_mutants[] = {
    {TIMING("tiring", "drops a level after 12 calls"), .expect = TIMED, .steps.levels = tiring},
    {TIMING("lazy", "drops a row after 12 calls"), .expect = TIMED, .steps.before = lazy},
    {TIMING("until_poison", "an eighth of the work after 12 calls, until it meets NaN"), .expect = TIMED,
     .steps.before = until_poison},
    {TIMING("still_there", "leaves what the same addresses gave before"), .expect = TIMED,
     .steps.before = still_there},
    {TIMING("coarse_memory", "keeps the outputs of rows in 8 bits"), .expect = TIMED,
     .steps.finish = coarse_memory},
    {TIMING("first_call", "wrong in its first call"), .expect = TIMED, .steps.after = first_call},
    {FFL_MUTANT(FFL_FF, "ff_mutant_knows_the_rows", "computes the rows that bench judges", "timing"),
     .by = FFL_BY_BENCH, .expect = TIMED, .steps.before = knows_the_rows},
    {FFL_MUTANT(FFL_FFF, "fff_mutant_knows_the_data", "right on the data of seed 1", "timing"),
     .expect = {"FAILED *: row *: got *"},
     .steps = {.before = knows_the_data, .levels = tiring_on_strange_data}},
    {.family = NULL},
};
