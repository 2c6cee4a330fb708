#include "kernels/gelu.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <math.h>

static void choose_leaf(const ffl_layer *layer, const double *gates, int32_t *chosen)
{
    size_t node = 0;
    for (size_t level = 0; level < layer->levels; level++)
        node = 2 * node + 1 + (gates[node] > 0.0);
    *chosen = (int32_t)(node - layer->gates);
}

static bool taken(const int32_t *chosen, size_t count, size_t expert)
{
    for (size_t k = 0; k < count; k++)
        if ((size_t)chosen[k] == expert)
            return true;
    return false;
}

/* The largest that is left; the first of equals; NaN only when nothing else is left. */
static size_t choose_next(const double *gates, size_t experts, const int32_t *chosen, size_t count)
{
    size_t best = experts;
    for (size_t e = 0; e < experts; e++)
        if (!taken(chosen, count, e) &&
            (best == experts || gates[e] > gates[best] || (isnan(gates[best]) && !isnan(gates[e]))))
            best = e;
    return best;
}

void ffl_reference_choose(const ffl_layer *layer, const double *gates, int32_t *chosen, double *share)
{
    if (layer->operation == FFL_FFF_LEAF) {
        choose_leaf(layer, gates, chosen);
        share[0] = 1;
        return;
    }
    double sum = 0;
    for (size_t k = 0; k < layer->chosen; k++) {
        chosen[k] = (int32_t)choose_next(gates, layer->experts, chosen, k);
        sum += share[k] = exp(gates[chosen[k]] - gates[chosen[0]]);
    }
    for (size_t k = 0; k < layer->chosen; k++)
        share[k] /= sum;
}

/* y += share · FF(x) of one expert; its neurons in ascending order, then its bias. */
static void add_expert(const ffl_layer *e, const float *x, double share, double *y)
{
    for (size_t row = 0; row < e->neurons; row++) {
        const double z =
            ffl_reference_dot(x, e->w_in + row * e->width_in, e->width_in) + (double)e->b_in[row];
        const double g = share * ffl_activate_double(e->activation, z);
        const float *w = e->w_out + row * e->width_out;
        for (size_t j = 0; j < e->width_out; j++)
            y[j] += g * (double)w[j];
    }
    for (size_t j = 0; e->b_out && j < e->width_out; j++)
        y[j] += share * (double)e->b_out[j];
}

ffl_status ffl_reference_experts(const ffl_layer *l, const float *x, size_t ldx, size_t tokens, double *y,
                                 double *gates, int32_t *chosen, double *share)
{
    double *own = ffl_alloc_array(l->gates + l->chosen, sizeof *own);
    int32_t *own_chosen = ffl_alloc_array(l->chosen, sizeof *own_chosen);
    ffl_status status = own && own_chosen ? FFL_OK : FFL_NO_MEMORY;
    for (size_t t = 0; t < tokens && status == FFL_OK; t++, x += ldx, y += l->width_out) {
        double *z = gates ? gates + t * l->gates : own, *p = share ? share + t * l->chosen : own + l->gates;
        int32_t *c = chosen ? chosen + t * l->chosen : own_chosen;
        for (size_t i = 0; i < l->gates; i++)
            z[i] = ffl_reference_dot(x, l->w_gate + i * l->width_in, l->width_in) + (double)l->b_gate[i];
        ffl_reference_choose(l, z, c, p);
        for (size_t j = 0; j < l->width_out; j++)
            y[j] = 0;
        for (size_t k = 0; k < l->chosen; k++) {
            const ffl_layer expert = ffl_layer_expert(l, (size_t)c[k]);
            add_expert(&expert, x, p[k], y);
        }
    }
    ffl_free(own);
    ffl_free(own_chosen);
    return status;
}
