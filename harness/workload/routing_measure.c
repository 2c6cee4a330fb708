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

ffl_status ffl_routing_measure(const ffl_layer *layer, const float *x, size_t ldx, size_t tokens,
                               ffl_routing_report *report)
{
    if (layer->operation == FFL_FFF)
        return ffl_routing_measure_trees(layer, x, ldx, tokens, report, NULL, NULL);
    *report = (ffl_routing_report){.margin = 1, .constructed = true};
    report->unique_weight_bytes = (double)ffl_layer_bytes(layer);
    return FFL_OK;
}
