/* What published benchmarks of these kernels did wrong, or did not notice. */
#include "harness/selftest/mutant.h"
#include <string.h>

/* OUT where W_out is meant: the second product multiplies what is there already. */
static void add_output(const ffl_visit *v, float g, const float *w, float *y)
{
    (void)w;
    for (size_t j = 0; j < v->layer->width_out; j++)
        y[j] += g * y[j];
}

static bool alias_rows(ffl_call *c)
{
    c->ldx = c->ldy = 0;
    return true;
}

static float no_activation(const ffl_visit *v, float z)
{
    (void)v;
    return z;
}

/* Memory that nobody wrote is zero. */
static float unwritten_weights(const ffl_visit *v, const float *w)
{
    (void)w;
    return v->layer->b_in[v->row];
}

static size_t tie_goes_right(const ffl_visit *v, float z)
{
    (void)v;
    return z >= 0 ? 2 : 1;
}

static void keep(const ffl_visit *v, float *y)
{
    (void)v, (void)y;
}

/* Looks right where only the first row of a batch is compared. */
static void copy_first_row(const ffl_call *c)
{
    for (size_t t = 1; t < c->tokens; t++)
        memcpy(c->y + t * c->ldy, c->y, c->layer->width_out * sizeof *c->y);
}

static bool round_batch_up(ffl_call *c)
{
    c->tokens = (c->tokens + 3) / 4 * 4;
    return true;
}

static void all_nan(const ffl_visit *v, float *y)
{
    for (size_t j = 0; j < v->layer->width_out; j++)
        y[j] = NAN;
}

/* One element in 20, by 5 %: a quota of wrong elements would let it pass. */
static void some_wrong(const ffl_visit *v, float *y)
{
    for (size_t j = 19; j < v->layer->width_out; j += 20)
        y[j] *= 1.05f;
}

static void one_nan(const ffl_call *c)
{
    c->y[(c->tokens - 1) * c->ldy] = NAN;
}

static void no_rows(const ffl_visit *v, float *y)
{
    if (v->token % 2 == 1)
        memset(y, 0, v->layer->width_out * sizeof *y);
}

#define PUBLISHED(name, summary) FFL_MUTANT(FFL_FFF, "fff_mutant_" name, summary, "published")
#define VALUES                                                                                               \
    {                                                                                                        \
        "FAILED *: row *: got *"                                                                             \
    }

const ffl_mutant ffl_published_mutants[] = {
    {PUBLISHED("w_out_unread", "reads y where w_out is meant"), .expect = VALUES, .steps.add = add_output},
    {PUBLISHED("aliased_rows", "every row is row 0"), .expect = VALUES, .steps.before = alias_rows},
    {PUBLISHED("no_activation", "drops the activation"), .expect = VALUES, .steps.activate = no_activation},
    {PUBLISHED("unwritten", "its weights were never written"), .expect = VALUES,
     .steps.logit = unwritten_weights},
    {PUBLISHED("tie", "a tie goes right: >= against >"), .expect = VALUES, .steps.child = tie_goes_right},
    {PUBLISHED("adds", "does not clear y between calls"), .expect = VALUES, .steps.clear = keep},
    {PUBLISHED("first_row", "right in the first row only"),
     .expect = {"FAILED *: row *; it equals the output of row 0", "FAILED *: row *: got *"},
     .steps.after = copy_first_row},
    {PUBLISHED("batch_of_4", "treats every batch as a multiple of 4"),
     .expect = {"CRASHED * past the end of *", "FAILED *wrote * past the end of y",
                "FAILED *wrote the padding of y*"},
     .steps.before = round_batch_up},
    {PUBLISHED("all_nan", "every element is NaN"), .expect = {"FAILED *: got *nan*"},
     .steps.finish = all_nan},
    {PUBLISHED("one_nan", "one element is NaN"), .expect = {"FAILED *: got *nan*"}, .steps.after = one_nan},
    {PUBLISHED("twentieth", "one element in 20 is 5 % off"), .expect = VALUES, .steps.finish = some_wrong},
    {PUBLISHED("odd_rows_zero", "every second row is zero"), .expect = VALUES, .steps.finish = no_rows},
    {FFL_MUTANT(FFL_FF, "ff_mutant_w_out_unread", "dense, reads y where w_out is meant", "published"),
     .expect = VALUES, .steps.add = add_output},
    {FFL_MUTANT(FFL_FF, "ff_mutant_adds", "dense, does not clear y between calls", "published"),
     .expect = VALUES, .steps.clear = keep},
    {.family = NULL},
};
