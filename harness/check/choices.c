#include "harness/check/choices.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct search {
    ffl_experts *experts;
    bool worst;
    ffl_choice_visit visit;
    void *to;
    size_t count;
    bool stop, too_many;
} search;

static ffl_status found(search *s, const int32_t *set, double margin)
{
    s->too_many = s->count++ == FFL_CHOICES_MAX;
    return s->too_many ? FFL_OK : s->visit(s->to, set, margin, &s->stop);
}

static double bound_of(const search *s, const ffl_node *gate)
{
    const ffl_data data = s->experts->arithmetic->data;
    if (data == FFL_DATA_EXACT || data == FFL_DATA_EXACT_LOGITS)
        return 0;
    return s->worst ? gate->worst : gate->statistical;
}

/* ---- Leaf FFF ---- */

static ffl_status descend(search *s, size_t level, size_t node, double margin)
{
    const ffl_layer *l = s->experts->layer;
    if (s->stop || s->too_many)
        return FFL_OK;
    if (level == l->levels) {
        const int32_t leaf = (int32_t)(node - l->gates);
        return found(s, &leaf, margin);
    }
    const ffl_node gate = ffl_experts_gate(s->experts, node);
    const bool right = gate.z > 0;
    FFL_TRY(descend(s, level + 1, 2 * node + 1 + right, margin));
    if (!ffl_node_open(&s->experts->gate_arithmetic, &gate, s->worst))
        return FFL_OK;
    return descend(s, level + 1, 2 * node + 1 + !right, fmax(margin, fabs(gate.z) / gate.statistical));
}

/* ---- Mixtures ---- */

typedef struct candidates {
    int32_t *set;    /* [chosen]: first those that are in any set */
    int32_t *unsure; /* [unsure_count] */
    size_t sure_count, unsure_count;
    int32_t *plausible; /* scratch */
    unsigned char *in;  /* [experts] */
    bool too_many;
} candidates;

/* May `first` have won against `second`? */
static bool may_win(const search *s, size_t first, size_t second)
{
    const ffl_node *a = &s->experts->gates[first], *b = &s->experts->gates[second];
    const double high = a->z + bound_of(s, a), low = b->z - bound_of(s, b);
    return high > low || (high == low && first < second);
}

static int descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Those that at most chosen - 1 others beat whatever their errors; `low` is scratch. False: too many. */
static bool find_plausible(const search *s, double *low, candidates *c)
{
    const ffl_layer *l = s->experts->layer;
    const ffl_node *gates = s->experts->gates;
    for (size_t e = 0; e < l->experts; e++)
        low[e] = gates[e].z - bound_of(s, &gates[e]);
    qsort(low, l->experts, sizeof *low, descending);
    const double last = low[l->chosen - 1];
    c->unsure_count = 0;
    for (size_t e = 0; e < l->experts; e++)
        if (gates[e].z + bound_of(s, &gates[e]) >= last)
            c->unsure[c->unsure_count++] = (int32_t)e;
    return c->unsure_count <= FFL_CHOICES_MAX + l->chosen;
}

/* Sorts the plausible experts into those in every set, in some, in none. */
static void sort_candidates(const search *s, candidates *c)
{
    const size_t chosen = s->experts->layer->chosen, count = c->unsure_count;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        c->plausible[i] = c->unsure[i];
    for (size_t i = 0; i < count; i++) {
        const size_t e = (size_t)c->plausible[i];
        size_t may_lose_to = 0, loses_to = 0;
        for (size_t k = 0; k < count; k++) {
            const size_t f = (size_t)c->plausible[k];
            may_lose_to += f != e && may_win(s, f, e);
            loses_to += f != e && !may_win(s, e, f);
        }
        if (may_lose_to < chosen)
            c->set[c->sure_count++] = (int32_t)e;
        else if (loses_to < chosen)
            c->unsure[kept++] = (int32_t)e;
    }
    c->unsure_count = kept;
}

static bool too_many_sets(size_t from, size_t count)
{
    double sets = 1;
    for (size_t i = 0; i < count && sets <= FFL_CHOICES_MAX; i++)
        sets *= (double)(from - i) / (double)(i + 1);
    return sets > FFL_CHOICES_MAX;
}

/* Is the set open, every member against every other expert? If so, by what margin is it not the reference's?
 */
static bool is_open(const search *s, candidates *c, double *margin)
{
    const ffl_layer *l = s->experts->layer;
    memset(c->in, 0, l->experts);
    for (size_t k = 0; k < l->chosen; k++)
        c->in[c->set[k]] = 1;
    *margin = -1;
    for (size_t k = 0; k < l->chosen; k++)
        for (size_t f = 0; f < l->experts; f++) {
            const ffl_node *in = &s->experts->gates[c->set[k]], *out = &s->experts->gates[f];
            if (c->in[f])
                continue;
            if (!may_win(s, (size_t)c->set[k], f))
                return false;
            const double behind = out->z - in->z;
            if (behind > 0 || (behind == 0 && f < (size_t)c->set[k]))
                *margin = fmax(*margin, behind / (in->statistical + out->statistical));
        }
    return true;
}

static ffl_status choose_rest(search *s, candidates *c, size_t from, size_t count)
{
    const ffl_layer *l = s->experts->layer;
    double margin;
    if (s->stop || s->too_many)
        return FFL_OK;
    if (count == l->chosen)
        return is_open(s, c, &margin) ? found(s, c->set, margin) : FFL_OK;
    for (size_t i = from; i + (l->chosen - count) <= c->unsure_count; i++) {
        c->set[count] = c->unsure[i];
        FFL_TRY(choose_rest(s, c, i + 1, count + 1));
    }
    return FFL_OK;
}

static ffl_status candidates_new(const search *s, candidates *c)
{
    const ffl_layer *l = s->experts->layer;
    *c = (candidates){.set = ffl_alloc_array(l->experts, sizeof *c->set),
                      .unsure = ffl_alloc_array(l->experts, sizeof *c->unsure),
                      .plausible = ffl_alloc_array(l->experts, sizeof *c->plausible),
                      .in = ffl_alloc(l->experts)};
    double *low = ffl_alloc_array(l->experts, sizeof *low);
    const bool made = c->set && c->unsure && c->plausible && c->in && low;
    if (made && find_plausible(s, low, c))
        sort_candidates(s, c);
    else
        c->too_many = true;
    ffl_free(low);
    if (made)
        c->too_many |= too_many_sets(c->unsure_count, l->chosen - c->sure_count);
    return made ? FFL_OK : FFL_NO_MEMORY;
}

static void candidates_free(candidates *c)
{
    ffl_free(c->set);
    ffl_free(c->unsure);
    ffl_free(c->plausible);
    ffl_free(c->in);
}

static ffl_status choose(search *s)
{
    candidates c;
    ffl_status status = candidates_new(s, &c);
    if (status == FFL_OK) {
        s->too_many = c.too_many;
        status = choose_rest(s, &c, 0, c.sure_count);
    }
    candidates_free(&c);
    return status;
}

ffl_status ffl_choices_each(ffl_experts *experts, bool worst, ffl_choice_visit visit, void *to,
                            bool *too_many)
{
    search s = {.experts = experts, .worst = worst, .visit = visit, .to = to};
    const ffl_status status = experts->layer->operation == FFL_MOE ? choose(&s) : descend(&s, 0, 0, -1);
    *too_many = s.too_many;
    return status;
}

/* ---- Where no choice reaches ---- */

ffl_status ffl_choices_reach(ffl_experts *e, bool worst, const float *got, bool *yes)
{
    const size_t width = e->layer->width_out;
    const search s = {.experts = e, .worst = worst};
    candidates c = {0};
    double *low = ffl_alloc_array(2 * width, sizeof *low), *high = low ? low + width : NULL;
    *yes = true;
    if (e->layer->operation != FFL_MOE) { /* a subtree of leaves that are not even listed */
        ffl_free(low);
        return FFL_OK;
    }
    ffl_status status = low ? candidates_new(&s, &c) : FFL_NO_MEMORY;
    if (c.sure_count + c.unsure_count > FFL_CHOICES_MAX) { /* not worth their memory */
        candidates_free(&c);
        ffl_free(low);
        return status;
    }
    for (size_t j = 0; low && j < width; j++) {
        low[j] = INFINITY;
        high[j] = -INFINITY;
    }
    for (size_t i = 0; i < c.sure_count + c.unsure_count && status == FFL_OK; i++) {
        const ffl_expert_output *one;
        const int32_t expert = i < c.sure_count ? c.set[i] : c.unsure[i - c.sure_count];
        status = ffl_experts_alone(e, (size_t)expert, &one);
        for (size_t j = 0; status == FFL_OK && j < width; j++) {
            /* Shares are a little off, too. */
            const double slack = 2 * one->worst[j] + one->flat + 1e-3 * fabs(one->y[j]);
            low[j] = fmin(low[j], one->y[j] - slack);
            high[j] = fmax(high[j], one->y[j] + slack);
        }
    }
    for (size_t j = 0; j < width && status == FFL_OK; j++)
        *yes &= (double)got[j] >= low[j] && (double)got[j] <= high[j];
    candidates_free(&c);
    ffl_free(low);
    return status;
}
