/* Which of its open choices did a row take (choices.h)? */
#include "harness/check/choices.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>

typedef struct trying {
    ffl_experts *experts;
    const float *got;
    ffl_outcome outcome;
    ffl_match *out;
    bool worst;
} trying;

static ffl_status outcome_new(size_t width, ffl_outcome *out)
{
    *out = (ffl_outcome){.y = ffl_alloc_array(width, 2 * sizeof *out->y)};
    out->statistical = (float *)(out->y + width);
    out->worst = out->statistical + width;
    return out->y ? FFL_OK : FFL_NO_MEMORY;
}

static ffl_status try_choice(void *to, const int32_t *set, double margin, bool *stop)
{
    trying *t = to;
    const size_t width = t->experts->layer->width_out;
    FFL_TRY(ffl_experts_outcome(t->experts, set, &t->outcome));
    if (t->outcome.overflows) {
        t->out->unbounded = *stop = true;
        return FFL_OK;
    }
    const ffl_errors errors =
        ffl_compare(t->got, t->outcome.y, t->outcome.statistical, t->outcome.worst, width);
    if (!(errors.worst <= 1) || !(errors.statistical < t->out->errors.statistical))
        return FFL_OK;
    t->out->errors = errors;
    t->out->margin = margin;
    t->out->verdict = t->worst || !(errors.statistical <= 1) ? FFL_SUSPECT : FFL_PASSED;
    *stop = t->out->verdict == FFL_PASSED;
    return FFL_OK;
}

static ffl_status match_tier(trying *t)
{
    ffl_match *out = t->out;
    bool too_many, weak = false;
    *out = (ffl_match){.verdict = FFL_FAILED, .margin = -1, .errors = {INFINITY, INFINITY}};
    FFL_TRY(ffl_choices_each(t->experts, t->worst, try_choice, t, &too_many));
    if (!too_many || out->verdict == FFL_PASSED || out->unbounded)
        return FFL_OK;
    if (out->verdict == FFL_FAILED || !t->worst)
        FFL_TRY(ffl_choices_reach(t->experts, t->worst, t->got, &weak));
    if (weak) {
        out->weak = true;
        snprintf(out->reason, sizeof out->reason, "its gates leave more than %d choices of experts open",
                 FFL_CHOICES_MAX);
    }
    return FFL_OK;
}

ffl_status ffl_choices_match(ffl_experts *experts, const float *got, ffl_errors errors, ffl_match *out)
{
    trying t = {.experts = experts, .got = got, .out = out};
    *out = (ffl_match){.verdict = FFL_FAILED, .errors = errors};
    for (size_t j = 0; j < experts->layer->width_out; j++)
        if (!isfinite(got[j]))
            return FFL_OK;
    FFL_TRY(outcome_new(experts->layer->width_out, &t.outcome));
    ffl_status status = match_tier(&t);
    if (status == FFL_OK && out->weak)
        out->verdict = FFL_PASSED;
    else if (status == FFL_OK && !out->unbounded && out->verdict == FFL_FAILED) {
        t.worst = true;
        status = match_tier(&t);
        if (out->weak)
            out->verdict = FFL_SUSPECT;
    }
    ffl_free(t.outcome.y);
    out->flipped = out->verdict != FFL_FAILED && out->margin >= 0;
    if (out->verdict == FFL_FAILED || out->weak)
        out->errors = errors;
    return status;
}
