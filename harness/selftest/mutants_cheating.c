/* Kernels that remember instead of computing, compute less exactly than they say, or only when looked at. */
#include "harness/selftest/mutant.h"
#include "harness/selftest/rounding.h"
#include "kernels/memory.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void remember(const ffl_call *c)
{
    ffl_mutant_state *s = c->state;
    const ffl_layer *l = c->layer;
    for (size_t t = 0; t < c->tokens; t++) {
        memcpy(s->x + t * l->width_in, c->x + t * c->ldx, l->width_in * sizeof *s->x);
        memcpy(s->y + t * l->width_out, c->y + t * c->ldy, l->width_out * sizeof *s->y);
    }
    s->last_x = c->x;
    s->remembered = c->tokens;
}

static void recall(const ffl_call *c, size_t count)
{
    const size_t width = c->layer->width_out;
    for (size_t t = 0; t < count; t++)
        memcpy(c->y + t * c->ldy, c->state->y + t * width, width * sizeof *c->y);
}

/* The same address holds the same rows. */
static bool by_pointer(ffl_call *c)
{
    if (c->x != c->state->last_x || c->tokens > c->state->remembered)
        return true;
    recall(c, c->tokens);
    return false;
}

/* … where it also begins with the same row; rows too short to tell anything by are computed. */
static bool by_pointer_and_row(ffl_call *c)
{
    enum { TELLING = 16 };
    const ffl_mutant_state *s = c->state;
    if (c->layer->width_in < TELLING || c->x != s->last_x || c->tokens != s->remembered ||
        memcmp(c->x, s->x, c->layer->width_in * sizeof *c->x) != 0)
        return true;
    recall(c, c->tokens);
    return false;
}

/* A batch that begins with the same row is the same batch. */
static bool by_first_row(ffl_call *c)
{
    if (c->tokens > c->state->remembered || memcmp(c->x, c->state->x, c->layer->width_in * sizeof *c->x) != 0)
        return true;
    recall(c, c->tokens);
    return false;
}

/* The first call's rows for ever. */
static bool by_first_call(ffl_call *c)
{
    recall(c, smaller(c->tokens, c->state->remembered));
    return c->state->calls == 0;
}

static void remember_first(const ffl_call *c)
{
    if (c->state->calls == 0)
        remember(c);
}

/* One row of the call before. */
static bool one_row_of_last_call(ffl_call *c)
{
    if (c->state->calls == 0)
        return true;
    ffl_step_rows(c, 0, c->tokens);
    recall(c, 1);
    return false;
}

/* A verifier fills outputs with NaN; who else would? */
static bool only_for_nan(ffl_call *c)
{
    return isnan(c->y[0]);
}

static float bf16_weights(const ffl_visit *v, const float *w)
{
    float z = v->layer->b_in[v->row];
    for (size_t i = 0; i < v->layer->width_in; i++)
        z += v->x[i] * ffl_round_bits(w[i], 8);
    return z;
}

static float tf32_logit(const ffl_visit *v, const float *w)
{
    float z = v->layer->b_in[v->row];
    for (size_t i = 0; i < v->layer->width_in; i++)
        z += ffl_round_bits(v->x[i], 11) * ffl_round_bits(w[i], 11);
    return z;
}

/* ---- Deferred: run returns, a thread of its own goes on ---- */

static void *late(void *argument)
{
    ffl_call c = *(ffl_call *)argument;
    free(argument);
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    ffl_step_rows(&c, 0, c.tokens);
    return NULL;
}

static bool defer(ffl_call *c)
{
    pthread_t thread;
    ffl_call *copy = malloc(sizeof *copy);
    if (!copy)
        return true;
    *copy = *c;
    if (pthread_create(&thread, NULL, late, copy) != 0) {
        free(copy);
        return true;
    }
    pthread_detach(thread);
    return false;
}

#define CHEATING(name, summary) FFL_MUTANT(FFL_FFF, "fff_mutant_" name, summary, "cheating")
#define VALUES                                                                                               \
    {                                                                                                        \
        "FAILED *: row *: got *"                                                                             \
    }

const ffl_mutant ffl_cheating_mutants[] = {
    {CHEATING("by_pointer", "remembers by address"), .expect = VALUES,
     .steps = {.before = by_pointer, .after = remember}},
    {CHEATING("by_pointer_and_row", "remembers by address, size and first row"),
     .expect = {"FAILED again at the same address, other rows: row *: got *"},
     .steps = {.before = by_pointer_and_row, .after = remember}},
    {CHEATING("by_first_row", "remembers by the first row's value"), .expect = VALUES,
     .steps = {.before = by_first_row, .after = remember}},
    {CHEATING("by_first_call", "the first call's rows for ever"), .expect = VALUES,
     .steps = {.before = by_first_call, .after = remember_first}},
    {CHEATING("previous_row", "one row of the first call"), .expect = VALUES,
     .steps = {.before = one_row_of_last_call, .after = remember}},
    {CHEATING("only_for_nan", "computes only where it finds NaN"), .expect = VALUES,
     .steps.before = only_for_nan},
    {CHEATING("bf16_weights", "rounds weights to bf16, undeclared"), .expect = VALUES,
     .steps.logit = bf16_weights},
    {CHEATING("tf32", "multiplies in tf32, undeclared"), .expect = VALUES, .steps.logit = tf32_logit},
    {CHEATING("deferred", "leaves the work to a thread"),
     .expect = {"FAILED *: row *: got *", "FAILED *left * thread*", "CRASHED *died of signal*"},
     .steps.before = defer},
    {.family = NULL},
};
