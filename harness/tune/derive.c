#include "harness/tune/derive.h"
#include "harness/registry.h"
#include "harness/workload/routing.h"
#include "kernels/memory.h"
#include "reports/speedup.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Σp² of leaves with p ~ rank^-s. */
static double zipf_share(double exponent, double leaves)
{
    double sum = 0, squares = 0;
    for (double rank = 1; rank <= leaves; rank++) {
        const double weight = pow(rank, -exponent);
        sum += weight;
        squares += weight * weight;
    }
    return squares / (sum * sum);
}

/* Of a cluster not all tokens reach its leaf, but a share q; the most frequent leaf has q/K of all. */
static double cluster_share(double clusters, double top1)
{
    const double q = isfinite(top1) ? fmin(1, top1 * clusters) : 1;
    return q * q / clusters;
}

double ffl_derive_shared(const ffl_record *r)
{
    ffl_routing routing;
    const double leaves = exp2((double)r->depth), chance = 1 / leaves;
    double share = chance;
    if (r->depth == 0 || strcmp(r->operation, "ff") == 0 || ffl_routing_parse(r->routing, &routing) != FFL_OK)
        return 0;
    if (routing.kind == FFL_SINGLE)
        share = 1;
    else if (routing.kind == FFL_ZIPF)
        share = zipf_share(routing.exponent, leaves);
    else if (routing.kind == FFL_PROTOTYPES)
        share = cluster_share((double)routing.clusters, r->top1_mean) + chance;
    else if (routing.kind == FFL_RECORDED && isfinite(r->top1_mean))
        share = r->top1_mean * r->top1_mean;
    share = (share - chance) / (1 - chance);
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

/* The variant of a row that belongs in a table; NULL for others. */
static const ffl_variant *kernel_of(const ffl_row *row)
{
    const ffl_record *r = &row->record;
    const ffl_variant *v = ffl_registry_find(r->variant);
    return v && ffl_tuned_kernel(v) && ffl_row_ranks(row) && strcmp(r->cache, "hot") == 0 ? v : NULL;
}

static ffl_status make_shape(const ffl_record *r, ffl_layer *out)
{
    if (strcmp(r->operation, "fff") == 0)
        return ffl_layer_fff((size_t)r->width_in, (size_t)r->width_out, (size_t)r->trees,
                             ffl_levels_from_depth((size_t)r->depth), out);
    return ffl_layer_ff((size_t)r->width_in, (size_t)r->width_out, (size_t)r->neurons, out);
}

static bool belongs(const ffl_tuned_cell *c, const ffl_record *r, const ffl_layer *shape, ffl_type clazz)
{
    return c->shape.operation == shape->operation && c->shape.width_in == shape->width_in &&
           c->shape.width_out == shape->width_out && c->shape.neurons == shape->neurons &&
           c->shape.trees == shape->trees && c->clazz == clazz && c->batch == (size_t)r->batch &&
           c->threads == (int)r->threads && strcmp(c->routing, r->routing) == 0;
}

static ffl_status add_row(const ffl_row *row, const ffl_variant *v, ffl_tuned_table *out)
{
    const ffl_record *r = &row->record;
    ffl_layer shape;
    FFL_TRY(make_shape(r, &shape));
    size_t at = 0;
    while (at < out->count && !belongs(&out->cells[at], r, &shape, v->contract.weights))
        at++;
    ffl_tuned_cell *c = &out->cells[at];
    if (at == out->count) {
        *c = (ffl_tuned_cell){.shape = shape,
                              .clazz = v->contract.weights,
                              .batch = (size_t)r->batch,
                              .threads = (int)r->threads,
                              .shared = ffl_derive_shared(r),
                              .times = ffl_alloc_array(ffl_registry_count(), sizeof *c->times)};
        if (!c->times)
            return FFL_NO_MEMORY;
        memcpy(c->routing, r->routing, strlen(r->routing) + 1);
        out->count++;
    }
    const double quartile = ffl_samples_quantile(&r->samples, 0.25);
    c->times[c->count++] = (ffl_tuned_time){v, quartile / (double)r->tokens};
    return FFL_OK;
}

ffl_status ffl_derive_table(const ffl_rows *rows, ffl_tuned_table *out)
{
    ffl_status status = FFL_OK;
    *out = (ffl_tuned_table){.cells = ffl_alloc_array(rows->count + 1, sizeof *out->cells)};
    if (!out->cells)
        return FFL_NO_MEMORY;
    for (size_t i = 0; i < rows->count && status == FFL_OK; i++) {
        const ffl_variant *v = kernel_of(&rows->value[i]);
        if (v && strlen(rows->value[i].record.routing) < sizeof out->cells->routing)
            status = add_row(&rows->value[i], v, out);
    }
    if (status == FFL_OK && out->count == 0)
        status = ffl_fail(FFL_BAD_INPUT, "no variant was timed: there is nothing to choose by");
    if (status != FFL_OK)
        ffl_tuned_free(out);
    return status;
}
