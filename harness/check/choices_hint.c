/* Which wrong choice, or which wrong shares, explain a row (choices.h). */
#include "harness/check/choices.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { EXPERTS_TRIED = 1024, REPLACED_TRIED = 4096 };

void ffl_choice_name(const ffl_layer *layer, const int32_t *set, char *out, size_t size)
{
    const char *one = layer->operation == FFL_FFF_LEAF ? "leaf" : layer->chosen > 1 ? "experts" : "expert";
    size_t used = (size_t)snprintf(out, size, "%s", one);
    for (size_t k = 0; k < layer->chosen && used < size; k++)
        used += (size_t)snprintf(out + used, size - used, "%s%d",
                                 k == 0                   ? " "
                                 : k + 1 == layer->chosen ? " and "
                                                          : ", ",
                                 (int)set[k]);
}

/* Does got equal the sum of these experts' outputs with these weights? The tolerance is generous: right rows
 * do not come here. */
static ffl_status fits(ffl_experts *e, const float *got, const int32_t *set, const double *weight,
                       size_t count, double *sums, bool *yes)
{
    const size_t width = e->layer->width_out;
    double *y = sums, *slack = sums + width;
    memset(sums, 0, 2 * width * sizeof *sums);
    for (size_t k = 0; k < count; k++) {
        const ffl_expert_output *one;
        FFL_TRY(ffl_experts_alone(e, (size_t)set[k], &one));
        for (size_t j = 0; j < width; j++) {
            y[j] += weight[k] * one->y[j];
            slack[j] += weight[k] * (one->worst[j] + 1e-5 * fabs(one->y[j])) + one->flat;
        }
    }
    *yes = true;
    for (size_t j = 0; j < width && *yes; j++)
        *yes = fabs((double)got[j] - y[j]) <= slack[j];
    return FFL_OK;
}

/* ", as if gate 3 had turned left, where z = …": where the paths to the two leaves part. */
static void add_turn(const ffl_experts *e, size_t leaf, char *out, size_t size)
{
    /* Leaves are all on one level of the heap, so both climb at once. */
    size_t right = (size_t)e->chosen[0] + e->layer->gates, wrong = leaf + e->layer->gates;
    while ((right - 1) / 2 != (wrong - 1) / 2) {
        right = (right - 1) / 2;
        wrong = (wrong - 1) / 2;
    }
    const size_t gate = (wrong - 1) / 2, used = strlen(out);
    snprintf(out + used, size - used, ", as if gate %zu had turned %s, where z = %.3g", gate,
             wrong % 2 ? "left" : "right", ffl_experts_gate(e, gate).z);
}

/* One expert alone, or in the place of one that was chosen. */
static ffl_status find_other(ffl_experts *e, const float *got, double *sums, int32_t *set, double *weight,
                             char *out, size_t size)
{
    const ffl_layer *l = e->layer;
    char name[96], right[96];
    static const double whole = 1;
    bool yes = false;
    ffl_choice_name(l, e->chosen, right, sizeof right);
    for (size_t i = 0; i < l->experts && i < EXPERTS_TRIED && !yes; i++) {
        const int32_t expert = (int32_t)i;
        if (l->chosen == 1 && expert == e->chosen[0])
            continue;
        FFL_TRY(fits(e, got, &expert, &whole, 1, sums, &yes));
        if (yes)
            snprintf(out, size, "; it is what %s %zu alone gives, not %s",
                     l->operation == FFL_MOE ? "expert" : "leaf", i, right);
        if (yes && l->operation == FFL_FFF_LEAF)
            add_turn(e, i, out, size);
    }
    for (size_t i = 0; i < l->experts * l->chosen && i < REPLACED_TRIED && l->chosen > 1 && !yes; i++) {
        const size_t expert = i / l->chosen, place = i % l->chosen;
        double sum = 0;
        bool twice = false;
        memcpy(set, e->chosen, l->chosen * sizeof *set);
        for (size_t k = 0; k < l->chosen; k++)
            twice |= (size_t)set[k] == expert;
        set[place] = (int32_t)expert;
        for (size_t k = 0; k < l->chosen; k++)
            sum += weight[k] = exp(e->gates[set[k]].z - e->gates[e->chosen[0]].z);
        for (size_t k = 0; k < l->chosen; k++)
            weight[k] /= sum;
        if (!twice && isfinite(sum))
            FFL_TRY(fits(e, got, set, weight, l->chosen, sums, &yes));
        if (yes) {
            ffl_choice_name(l, set, name, sizeof name);
            snprintf(out, size, "; it is what %s give, not %s", name, right);
        }
    }
    return FFL_OK;
}

/* The right experts with other weights: what mistakes in a softmax make of them. */
static ffl_status find_shares(ffl_experts *e, const float *got, double *sums, double *weight, char *out,
                              size_t size)
{
    static const char *const names[] = {"with their shares in reverse", "with equal shares",
                                        "each with a share of 1", "with shares of all experts' sum"};
    const size_t count = e->layer->chosen;
    double all = 0, own = 0;
    bool yes = false;
    for (size_t i = 0; i < e->layer->experts; i++)
        all += exp(e->gates[i].z - e->gates[e->chosen[0]].z);
    for (size_t k = 0; k < count; k++)
        own += exp(e->gates[e->chosen[k]].z - e->gates[e->chosen[0]].z);
    for (size_t i = 0; i < sizeof names / sizeof *names && !yes; i++) {
        for (size_t k = 0; k < count; k++) {
            const double weights[] = {e->share[count - 1 - k], 1 / (double)count, 1, e->share[k] * own / all};
            weight[k] = weights[i];
        }
        FFL_TRY(fits(e, got, e->chosen, weight, count, sums, &yes));
        if (yes)
            snprintf(out, size, "; it is what the right experts give %s", names[i]);
    }
    return FFL_OK;
}

ffl_status ffl_choices_hint(ffl_experts *e, const float *got, char *out, size_t size)
{
    const ffl_layer *l = e->layer;
    double *sums = ffl_alloc_array(2 * l->width_out, sizeof *sums);
    double *weight = ffl_alloc_array(l->chosen, sizeof *weight);
    int32_t *set = ffl_alloc_array(l->chosen, sizeof *set);
    ffl_status status = sums && weight && set ? FFL_OK : FFL_NO_MEMORY;
    out[0] = '\0';
    if (status == FFL_OK && l->operation == FFL_MOE)
        status = find_shares(e, got, sums, weight, out, size);
    if (status == FFL_OK && !out[0])
        status = find_other(e, got, sums, set, weight, out, size);
    ffl_free(sums);
    ffl_free(weight);
    ffl_free(set);
    return status;
}
