/* The correct walk that all mutants share, one step at a time, and how a mutant is called. */
#include "harness/selftest/mutant.h"
#include "kernels/memory.h"
#include <stdlib.h>
#include <string.h>

float ffl_step_logit(const ffl_visit *v, const float *w)
{
    float z = v->layer->b_in[v->row];
    for (size_t i = 0; i < v->layer->width_in; i++)
        z += v->x[i] * w[i];
    return z;
}

float ffl_step_activate(const ffl_visit *v, float z)
{
    return ffl_activate(v->layer->activation, z);
}

void ffl_step_add(const ffl_visit *v, float g, const float *w, float *y)
{
    for (size_t j = 0; j < v->layer->width_out; j++)
        y[j] += g * w[j];
}

size_t ffl_step_child(const ffl_visit *v, float z)
{
    (void)v;
    return z > 0 ? 2 : 1;
}

size_t ffl_step_row(const ffl_visit *v)
{
    return v->tree * v->layer->nodes + v->node;
}

static void clear(const ffl_visit *v, float *y)
{
    for (size_t j = 0; j < v->layer->width_out; j++)
        y[j] = v->layer->b_out ? v->layer->b_out[j] : 0;
}

/* One neuron; its logit. */
static float visit_neuron(const ffl_steps *s, const ffl_visit *v, float *y)
{
    const ffl_layer *l = v->layer;
    const float z = (s->logit ? s->logit : ffl_step_logit)(v, l->w_in + v->row * l->width_in);
    const float g = (s->activate ? s->activate : ffl_step_activate)(v, z);
    (s->add ? s->add : ffl_step_add)(v, g, l->w_out + v->row * l->width_out, y);
    return z;
}

static void walk_tree(const ffl_steps *s, ffl_visit *v, float *y)
{
    const size_t levels = s->levels ? s->levels(v) : v->layer->levels;
    v->node = 0;
    for (v->level = 0; v->level < levels; v->level++) {
        v->row = (s->row ? s->row : ffl_step_row)(v);
        const float z = visit_neuron(s, v, y);
        v->node = 2 * v->node + (s->child ? s->child : ffl_step_child)(v, z);
    }
}

static void walk_token(const ffl_call *c, const ffl_steps *s, size_t token)
{
    ffl_visit v = {.call = c, .layer = c->layer, .x = c->x + token * c->ldx, .token = token};
    float *y = c->y + token * c->ldy;
    (s->clear ? s->clear : clear)(&v, y);
    if (c->layer->operation == FFL_FFF)
        for (v.tree = 0; v.tree < c->layer->trees; v.tree++)
            walk_tree(s, &v, y);
    else
        for (v.row = 0; v.row < c->layer->neurons; v.row++)
            visit_neuron(s, &v, y);
    if (s->finish)
        s->finish(&v, y);
}

void ffl_step_rows(const ffl_call *call, size_t first, size_t count)
{
    for (size_t t = first; t < first + count; t++)
        walk_token(call, &call->state->mutant->steps, t);
}

ffl_status ffl_mutant_run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                          size_t ldy, size_t tokens)
{
    ffl_mutant_state *state = plan->state;
    ffl_call call = {.plan = plan,
                     .exec = exec,
                     .layer = plan->layer,
                     .state = state,
                     .x = x,
                     .ldx = ldx,
                     .y = y,
                     .ldy = ldy,
                     .tokens = tokens};
    const ffl_steps *steps = &state->mutant->steps;
    if (!steps->before || steps->before(&call)) {
        ffl_step_rows(&call, 0, call.tokens);
        if (steps->after)
            steps->after(&call);
    }
    state->calls++;
    state->tokens += tokens;
    return FFL_OK;
}

enum { SCRATCH_BYTES = 64 };

ffl_status ffl_mutant_prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    ffl_mutant_state *state = calloc(1, sizeof *state);
    if (!state)
        return ffl_fail(FFL_NO_MEMORY, "no memory for a mutant");
    plan->state = state;
    plan->scratch_bytes = SCRATCH_BYTES;
    state->mutant = ffl_mutant_find(plan->variant->name);
    state->x = ffl_alloc_array(plan->max_tokens * layer->width_in, sizeof *state->x);
    state->y = ffl_alloc_array(plan->max_tokens * layer->width_out, sizeof *state->y);
    if (state->mutant && state->x && state->y)
        return FFL_OK;
    ffl_mutant_release(plan);
    return ffl_fail(FFL_NO_MEMORY, "no memory for a mutant");
}

void ffl_mutant_release(ffl_plan *plan)
{
    ffl_mutant_state *state = plan->state;
    ffl_free(state->x);
    ffl_free(state->y);
    free(state->own);
    free(state);
}
