#include "harness/check/experts.h"
#include "harness/check/sums.h"
#include "harness/check/walk.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <math.h>
#include <string.h>

/* Shares below may be flushed, or come from an exponential that is clamped at the smallest normal number. */
#define SHARE_TINY 0x1p-126
#define EXACT_TINY 0x1p-100

ffl_status ffl_experts_new(const ffl_layer *layer, const ffl_arithmetic *arithmetic, ffl_experts *out)
{
    *out = (ffl_experts){.layer = layer, .arithmetic = arithmetic};
    /* Rows of w_gate stand in for the output weights that gates lack: a node looks up their scale. */
    out->gate_layer = (ffl_layer){.operation = FFL_FF,
                                  .activation = layer->activation,
                                  .width_in = layer->width_in,
                                  .width_out = layer->width_in,
                                  .neurons = layer->gates,
                                  .w_in = layer->w_gate,
                                  .b_in = layer->b_gate,
                                  .w_out = layer->w_gate};
    out->gate_arithmetic = ffl_arithmetic_gates(arithmetic, &out->gate_layer);
    if (layer->operation == FFL_MOE) {
        out->gates = ffl_alloc_array(layer->gates, sizeof *out->gates);
        out->logits = ffl_alloc_array(layer->gates, sizeof *out->logits);
    }
    out->chosen = ffl_alloc_array(layer->chosen, sizeof *out->chosen);
    out->share = ffl_alloc_array(layer->chosen, sizeof *out->share);
    out->neuron_logits = ffl_alloc_array(layer->expert_width, sizeof *out->neuron_logits);
    out->neurons = ffl_alloc_array(layer->expert_width, sizeof *out->neurons);
    if ((layer->operation == FFL_MOE && (!out->gates || !out->logits)) || !out->chosen || !out->share ||
        !out->neuron_logits || !out->neurons || ffl_sums_new(arithmetic, false, &out->sums) != FFL_OK) {
        ffl_experts_free(out);
        return FFL_NO_MEMORY;
    }
    return FFL_OK;
}

void ffl_experts_free(ffl_experts *e)
{
    for (size_t i = 0; i < e->capacity; i++)
        ffl_free(e->known[i].y);
    ffl_free(e->known);
    ffl_free(e->gates);
    ffl_free(e->logits);
    ffl_free(e->chosen);
    ffl_free(e->share);
    ffl_free(e->neuron_logits);
    ffl_free(e->neurons);
    ffl_sums_free(&e->sums);
    *e = (ffl_experts){0};
}

static ffl_node new_gate(const ffl_experts *e, size_t gate)
{
    const ffl_layer *l = e->layer;
    const double z =
        ffl_reference_dot(e->input.x, l->w_gate + gate * l->width_in, l->width_in) + (double)l->b_gate[gate];
    return ffl_node_new(&e->gate_arithmetic, &e->input, gate, z);
}

ffl_node ffl_experts_gate(const ffl_experts *e, size_t gate)
{
    return e->gates ? e->gates[gate] : new_gate(e, gate);
}

static void walk_to_leaf(ffl_experts *e)
{
    size_t node = 0;
    for (size_t level = 0; level < e->layer->levels; level++) {
        const ffl_node gate = new_gate(e, node);
        e->bounded &= !gate.overflows;
        node = 2 * node + 1 + (gate.z > 0);
    }
    e->chosen[0] = (int32_t)(node - e->layer->gates);
    e->share[0] = 1;
}

ffl_status ffl_experts_row(ffl_experts *e, const float *x)
{
    const ffl_layer *l = e->layer;
    e->gate_arithmetic.layer = &e->gate_layer; /* wherever the struct is by now */
    e->input = ffl_input_new(e->arithmetic, x);
    e->bounded = e->input.bounded;
    e->known_count = 0;
    if (!e->bounded)
        return FFL_OK;
    if (l->operation == FFL_FFF_LEAF) {
        walk_to_leaf(e);
        return FFL_OK;
    }
    for (size_t i = 0; i < l->gates; i++) {
        e->gates[i] = new_gate(e, i);
        e->logits[i] = e->gates[i].z;
        e->bounded &= !e->gates[i].overflows;
    }
    ffl_reference_choose(l, e->logits, e->chosen, e->share);
    return FFL_OK;
}

/* ---- One expert ---- */

static ffl_status evaluate(ffl_experts *e, ffl_expert_output *out)
{
    const ffl_layer own = ffl_layer_expert(e->layer, out->expert);
    ffl_arithmetic a = *e->arithmetic;
    double peak = 0;
    a.layer = &own;
    out->overflows = false;
    out->flat = 0;
    FFL_TRY(ffl_reference(&own, e->input.x, own.width_in, 1, out->y, e->neuron_logits, NULL));
    ffl_sums_clear(&a, &e->sums);
    for (size_t k = 0; k < own.neurons; k++) {
        e->neurons[k] = ffl_node_new(&a, &e->input, k, e->neuron_logits[k]);
        out->overflows |= e->neurons[k].overflows;
        peak = fmax(peak, ffl_node_hidden(&a, &e->neurons[k]));
    }
    for (size_t k = 0; k < own.neurons; k++) {
        ffl_sums_add(&a, &e->neurons[k], peak, 1, &e->sums);
        if (a.hidden_tiny > 0 && e->layer->chosen > 1) {
            double largest, absolute, squares;
            ffl_sum_norms(own.w_out + k * own.width_out, own.width_out, &largest, &absolute, &squares);
            out->flat += 2 * a.hidden_tiny * largest;
        }
    }
    out->overflows |= ffl_sums_overflow(&a, &e->sums);
    ffl_sums_finish(&a, &e->sums, out->y, own.b_out, own.width_out, out->statistical, out->worst);
    return FFL_OK;
}

static ffl_status add_place(ffl_experts *e)
{
    const size_t capacity = e->layer->chosen > 1 ? 2 * e->capacity + e->layer->chosen : 1;
    if (e->known_count < e->capacity)
        return FFL_OK;
    ffl_expert_output *grown = ffl_alloc_array(capacity, sizeof *grown);
    if (!grown)
        return FFL_NO_MEMORY;
    memset(grown, 0, capacity * sizeof *grown);
    if (e->capacity)
        memcpy(grown, e->known, e->capacity * sizeof *grown);
    ffl_free(e->known);
    e->known = grown;
    e->capacity = capacity;
    return FFL_OK;
}

ffl_status ffl_experts_alone(ffl_experts *e, size_t expert, const ffl_expert_output **out)
{
    const size_t width = e->layer->width_out;
    for (size_t i = 0; i < e->known_count; i++)
        if (e->known[i].expert == expert) {
            *out = &e->known[i];
            return FFL_OK;
        }
    if (e->layer->chosen == 1)
        e->known_count = 0; /* no choice has two of them: one place is enough */
    FFL_TRY(add_place(e));
    ffl_expert_output *place = &e->known[e->known_count];
    if (!place->y && !(place->y = ffl_alloc_array(3 * width, sizeof *place->y)))
        return FFL_NO_MEMORY;
    place->statistical = place->y + width;
    place->worst = place->y + 2 * width;
    place->expert = expert;
    FFL_TRY(evaluate(e, place));
    e->known_count++;
    *out = place;
    return FFL_OK;
}

/* ---- A choice ---- */

/* ln p of the set's members, and half of what ln p may be off by in either tier. */
typedef struct shares {
    double largest, log_sum, statistical, worst;
} shares;

static shares weigh(const ffl_experts *e, const int32_t *set)
{
    const size_t count = e->layer->chosen;
    shares s = {.largest = -INFINITY};
    double smallest = INFINITY, sum = 0;
    for (size_t k = 0; k < count; k++) {
        const ffl_node *gate = &e->gates[set[k]];
        s.largest = fmax(s.largest, gate->z);
        smallest = fmin(smallest, gate->z);
        s.statistical = fmax(s.statistical, gate->statistical);
        s.worst = fmax(s.worst, gate->worst);
    }
    for (size_t k = 0; k < count; k++)
        sum += exp(e->gates[set[k]].z - s.largest);
    s.log_sum = log(sum);
    /* z - max, its product with log2(e), and an exponential good to a few units. */
    const double rounded = e->arithmetic->roundoff * (3 * (s.largest - smallest) + 8);
    s.statistical += rounded;
    s.worst += rounded;
    return s;
}

/* What a share e^ln_p grows by when ln p grows by `off`. */
static double growth(double ln_p, double off)
{
    return off < 1 ? exp(ln_p) * expm1(off) : exp(ln_p + off);
}

/* |δp| of member k: it moves by no more than itself, or than all others together. */
static double share_error(const ffl_experts *e, const int32_t *set, const shares *s, double off, size_t k)
{
    const size_t count = e->layer->chosen;
    double own = 0, others = 0, p = 0;
    for (size_t i = 0; i < count; i++) {
        const double ln_p = e->gates[set[i]].z - s->largest - s->log_sum, grown = growth(ln_p, 2 * off);
        if (i == k) {
            own = grown;
            p = exp(ln_p);
        } else {
            others += grown;
        }
    }
    return fmin(1, fmin(own, others)) + ((double)count + 3) * e->arithmetic->roundoff * p + SHARE_TINY;
}

static ffl_status single(ffl_experts *e, size_t expert, ffl_outcome *out)
{
    const ffl_expert_output *only;
    FFL_TRY(ffl_experts_alone(e, expert, &only));
    memcpy(out->y, only->y, e->layer->width_out * sizeof *out->y);
    for (size_t j = 0; j < e->layer->width_out; j++) {
        out->statistical[j] = ffl_bound_rounded_up(only->statistical[j]);
        out->worst[j] = ffl_bound_rounded_up(only->worst[j]);
    }
    out->overflows = only->overflows;
    return FFL_OK;
}

/* Both bounds of output j: shares times the experts' own, errors of shares times their outputs, one rounding
 * per product and addition. Sums are double until all members are in. */
static ffl_status mix(ffl_experts *e, const int32_t *set, double *statistical, double *worst,
                      ffl_outcome *out)
{
    const size_t count = e->layer->chosen, width = e->layer->width_out;
    const shares s = weigh(e, set);
    const double additions = ((double)count + 1) * e->arithmetic->roundoff;
    double flat =
        (2 * (double)e->arithmetic->visited + 4) * e->arithmetic->sum_tiny + e->arithmetic->output_tiny;
    memset(out->y, 0, width * sizeof *out->y);
    memset(statistical, 0, width * sizeof *statistical);
    memset(worst, 0, width * sizeof *worst);
    out->overflows = false;
    for (size_t k = 0; k < count; k++) {
        const ffl_expert_output *one;
        FFL_TRY(ffl_experts_alone(e, (size_t)set[k], &one));
        const double p = exp(e->gates[set[k]].z - s.largest - s.log_sum);
        const double ds = share_error(e, set, &s, s.statistical, k);
        const double dw = share_error(e, set, &s, s.worst, k);
        flat += one->flat;
        out->overflows |= one->overflows;
        for (size_t j = 0; j < width; j++) {
            const double y = fabs(one->y[j]);
            out->y[j] += p * one->y[j];
            statistical[j] += (p + ds) * one->statistical[j] + (ds + additions * p) * y;
            worst[j] += (p + dw) * one->worst[j] + (dw + additions * p) * y;
        }
    }
    for (size_t j = 0; j < width; j++) {
        out->statistical[j] = ffl_bound_rounded_up(statistical[j] + flat);
        out->worst[j] = ffl_bound_rounded_up(worst[j] + flat);
    }
    return FFL_OK;
}

ffl_status ffl_experts_outcome(ffl_experts *e, const int32_t *set, ffl_outcome *out)
{
    const size_t width = e->layer->width_out;
    if (e->layer->chosen == 1)
        return single(e, (size_t)set[0], out);
    double *sums = ffl_alloc_array(2 * width, sizeof *sums);
    if (!sums)
        return FFL_NO_MEMORY;
    const ffl_status status = mix(e, set, sums, sums + width, out);
    ffl_free(sums);
    return status;
}

bool ffl_experts_exact(const ffl_layer *layer, const float *got, const double *y)
{
    for (size_t j = 0; j < layer->width_out; j++)
        if (got[j] != (float)y[j] &&
            (layer->chosen == 1 || !(fabs((double)got[j] - (double)(float)y[j]) < EXACT_TINY)))
            return false;
    return true;
}
