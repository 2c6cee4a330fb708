/* What the routing of some rows really is (routing.h). */
#include "harness/workload/impose.h"
#include "harness/workload/parallel.h"
#include "harness/workload/quick_logit.h"
#include "harness/workload/routing.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct measuring {
    const ffl_layer *layer;
    const double *squares;
    const float *x;
    size_t ldx;
    atomic_uint *hits; /* [trees][leaves] */
    pthread_mutex_t lock;
    double margin;
} measuring;

static double logit(const measuring *m, const float *x, double scale, size_t row)
{
    const ffl_quick_logit quick = ffl_logit_quickly(m->layer, row, x, scale);
    /* Written so that NaN and infinity, from rows too large for float, are computed again too. */
    if (fabs(quick.z) > quick.doubt && isfinite(quick.z))
        return quick.z;
    const size_t n = m->layer->width_in;
    return ffl_reference_dot(x, m->layer->w_in + row * n, n) + (double)m->layer->b_in[row];
}

static void walk_rows(void *user, size_t begin, size_t end)
{
    measuring *m = user;
    const ffl_layer *l = m->layer;
    const size_t leaves = (size_t)1 << (l->levels - 1);
    double margin = 1;
    for (size_t t = begin; t < end; t++) {
        const float *x = m->x + t * m->ldx;
        const double length = sqrt(ffl_reference_dot(x, x, l->width_in));
        for (size_t tree = 0; tree < l->trees; tree++) {
            size_t node = 0;
            for (size_t level = 0; level + 1 < l->levels; level++) {
                const size_t row = tree * l->nodes + node;
                const double scale = length * sqrt(m->squares[row]), z = logit(m, x, scale, row);
                const double share = fabs(z) / scale;
                margin = share < margin ? share : !(scale > 0) ? 0 : margin;
                node = 2 * node + 1 + (z > 0.0);
            }
            atomic_fetch_add_explicit(&m->hits[tree * leaves + node - (leaves - 1)], 1, memory_order_relaxed);
        }
    }
    pthread_mutex_lock(&m->lock);
    m->margin = margin < m->margin ? margin : m->margin;
    pthread_mutex_unlock(&m->lock);
}

/* Nodes of one tree on the way to any leaf that was hit: level by level towards the root. */
static size_t visited_nodes(atomic_uint *hits, size_t leaves)
{
    size_t visited = 0;
    for (size_t nodes = leaves; nodes > 0; nodes /= 2) {
        for (size_t i = 0; i < nodes; i++)
            visited += hits[i] != 0;
        for (size_t i = 0; i < nodes / 2; i++)
            hits[i] = hits[2 * i] != 0 || hits[2 * i + 1] != 0;
    }
    return visited;
}

static ffl_tree_routing summarise_tree(const atomic_uint *hits, size_t leaves, size_t tokens)
{
    ffl_tree_routing out = {0};
    for (size_t i = 0; i < leaves; i++) {
        const double share = (double)hits[i] / (double)tokens;
        if (share > 0) {
            out.leaves++;
            out.entropy -= share * log2(share);
            out.top1 = fmax(out.top1, share);
        }
    }
    return out;
}

static void summarise(const measuring *m, size_t tokens, ffl_routing_report *out, ffl_tree_routing *each)
{
    const ffl_layer *l = m->layer;
    const size_t leaves = (size_t)1 << (l->levels - 1);
    const double trees = (double)l->trees;
    size_t visited = 0;
    for (size_t tree = 0; tree < l->trees; tree++) {
        const ffl_tree_routing one = summarise_tree(m->hits + tree * leaves, leaves, tokens);
        out->leaves_mean += (double)one.leaves / trees;
        out->leaves_max = fmax(out->leaves_max, (double)one.leaves);
        out->entropy_mean += one.entropy / trees;
        out->entropy_max = fmax(out->entropy_max, one.entropy);
        out->top1_mean += one.top1 / trees;
        out->top1_max = fmax(out->top1_max, one.top1);
        visited += visited_nodes(m->hits + tree * leaves, leaves);
        if (each)
            each[tree] = one;
    }
    out->unique_weight_bytes = (double)visited * (double)(l->width_in + 1 + l->width_out) * sizeof(float);
}

ffl_status ffl_routing_measure_trees(const ffl_layer *layer, const float *x, size_t ldx, size_t tokens,
                                     ffl_routing_report *report, ffl_tree_routing *trees, uint32_t *visits)
{
    const size_t all = layer->trees << (layer->levels - 1);
    *report = (ffl_routing_report){.margin = 1, .constructed = true};
    measuring m = {.layer = layer, .x = x, .ldx = ldx, .lock = PTHREAD_MUTEX_INITIALIZER, .margin = 1};
    double *squares = ffl_alloc_array(layer->neurons, sizeof *squares);
    m.hits = ffl_alloc_array(all, sizeof *m.hits);
    ffl_status status = squares && m.hits ? FFL_OK : FFL_NO_MEMORY;
    if (status == FFL_OK) {
        ffl_impose_squares(layer, squares);
        m.squares = squares;
        ffl_parallel_rows(tokens, walk_rows, &m);
        for (size_t i = 0; visits && i < all; i++) /* the summary overwrites them */
            visits[i] = m.hits[i];
        summarise(&m, tokens, report, trees);
        report->margin = m.margin;
    }
    ffl_free(squares);
    ffl_free(m.hits);
    return status;
}

/* ---- Leaf trees and mixtures ---- */

static double gate(const ffl_layer *l, const float *x, size_t row)
{
    return ffl_reference_dot(x, l->w_gate + row * l->width_in, l->width_in) + (double)l->b_gate[row];
}

/* Gates are in heap order: only those on the path are evaluated. */
static void walk_gates(const ffl_layer *l, const float *x, double *gates)
{
    size_t node = 0;
    for (size_t level = 0; level < l->levels; level++) {
        gates[node] = gate(l, x, node);
        node = 2 * node + 1 + (gates[node] > 0);
    }
}

typedef struct asking {
    const ffl_layer *layer;
    const float *x;
    size_t ldx;
    atomic_uint *hits; /* [experts] */
    atomic_bool failed;
} asking;

static void ask_rows(void *user, size_t begin, size_t end)
{
    asking *a = user;
    const ffl_layer *l = a->layer;
    double *gates = ffl_alloc_array(l->gates + l->chosen, sizeof *gates);
    int32_t *chosen = ffl_alloc_array(l->chosen, sizeof *chosen);
    for (size_t t = begin; t < end && gates && chosen; t++) {
        const float *x = a->x + t * a->ldx;
        if (l->operation == FFL_FFF_LEAF)
            walk_gates(l, x, gates);
        for (size_t i = 0; l->operation == FFL_MOE && i < l->gates; i++)
            gates[i] = gate(l, x, i);
        ffl_reference_choose(l, gates, chosen, gates + l->gates);
        for (size_t k = 0; k < l->chosen; k++)
            atomic_fetch_add_explicit(&a->hits[chosen[k]], 1, memory_order_relaxed);
    }
    if (!gates || !chosen)
        a->failed = true;
    ffl_free(gates);
    ffl_free(chosen);
}

/* A leaf tree's gates are those on the way to a leaf that was asked; a mixture's are all of them. */
static void summarise_experts(const asking *a, size_t tokens, ffl_routing_report *out)
{
    const ffl_layer *l = a->layer;
    const ffl_tree_routing one = summarise_tree(a->hits, l->experts, tokens * l->chosen);
    size_t gates = l->gates;
    if (l->operation == FFL_FFF_LEAF)
        gates =
            visited_nodes(a->hits, l->experts) - one.leaves; /* the last level are the leaves themselves */
    out->leaves_mean = out->leaves_max = (double)one.leaves;
    out->entropy_mean = out->entropy_max = one.entropy;
    out->top1_mean = out->top1_max = one.top1;
    const double expert =
        (double)(l->expert_width * (l->width_in + 1 + l->width_out) + (l->b_out ? l->width_out : 0));
    out->unique_weight_bytes =
        ((double)one.leaves * expert + (double)gates * (double)(l->width_in + 1)) * sizeof(float);
}

static ffl_status measure_experts(const ffl_layer *layer, const float *x, size_t ldx, size_t tokens,
                                  ffl_routing_report *report)
{
    asking a = {.layer = layer, .x = x, .ldx = ldx};
    *report = (ffl_routing_report){.margin = 1};
    a.hits = ffl_alloc_array(layer->experts, sizeof *a.hits);
    if (a.hits)
        ffl_parallel_rows(tokens, ask_rows, &a);
    const bool done = a.hits && !a.failed;
    if (done)
        summarise_experts(&a, tokens, report);
    ffl_free(a.hits);
    return done ? FFL_OK : ffl_fail(FFL_NO_MEMORY, "no memory to count experts");
}

ffl_status ffl_routing_measure(const ffl_layer *layer, const float *x, size_t ldx, size_t tokens,
                               ffl_routing_report *report)
{
    if (layer->operation == FFL_FFF)
        return ffl_routing_measure_trees(layer, x, ldx, tokens, report, NULL, NULL);
    if (ffl_operation_has_experts(layer->operation))
        return measure_experts(layer, x, ldx, tokens, report);
    *report = (ffl_routing_report){.margin = 1, .constructed = true};
    report->unique_weight_bytes = (double)ffl_layer_bytes(layer);
    return FFL_OK;
}
