#include "harness/tune/front.h"
#include <string.h>

/* Of each cell of the probe so many kernels go on, and none that was this much slower than its best. */
enum { FRONT = 6 };
static const double near_front = 1.5;

static bool same_layer(const ffl_record *r, const ffl_group *group, const ffl_group_row *row)
{
    const ffl_layer *l = &row->shape;
    const bool tree = l->operation == FFL_FFF;
    return strcmp(r->operation, tree ? "fff" : "ff") == 0 && r->neurons == (int64_t)l->neurons &&
           (!tree || r->trees == (int64_t)l->trees) && r->width_in == (int64_t)l->width_in &&
           r->width_out == (int64_t)l->width_out && strcmp(r->clazz, ffl_type_name(group->clazz)) == 0;
}

static double token_ns(const ffl_record *r)
{
    return r->calls > 0 && r->tokens > 0 ? r->median_ns / (double)r->tokens : 0;
}

/* Among the first in the probe's cell of this batch; false when there is none such. */
static bool near_at(const ffl_rows *probe, const ffl_group *group, const ffl_group_row *row, int64_t batch)
{
    double best = 0, own = 0;
    size_t ahead = 0;
    for (size_t i = 0; i < probe->count; i++) {
        const ffl_record *r = &probe->value[i].record;
        const double ns = token_ns(r);
        if (!(ns > 0) || r->batch != batch || !same_layer(r, group, row))
            continue;
        if (!(best > 0) || ns < best)
            best = ns;
        if (strcmp(r->variant, row->variant->name) == 0)
            own = ns;
    }
    for (size_t i = 0; i < probe->count; i++) {
        const ffl_record *r = &probe->value[i].record;
        const double ns = token_ns(r);
        ahead += ns > 0 && ns < own && r->batch == batch && same_layer(r, group, row);
    }
    return own > 0 && own <= near_front * best && ahead < FRONT;
}

/* The probe's batches around this one; 0 for none. */
static void neighbours(const ffl_rows *probe, const ffl_group *group, const ffl_group_row *row,
                       int64_t *below, int64_t *above)
{
    const int64_t batch = (int64_t)group->batch;
    *below = *above = 0;
    for (size_t i = 0; i < probe->count; i++) {
        const ffl_record *r = &probe->value[i].record;
        if (!same_layer(r, group, row))
            continue;
        if (r->batch <= batch && r->batch > *below)
            *below = r->batch;
        if (r->batch >= batch && (*above == 0 || r->batch < *above))
            *above = r->batch;
    }
}

/* Near the front at any of the probe's batches; another routing may turn the order round. */
static bool near_anywhere(const ffl_rows *probe, const ffl_group *group, const ffl_group_row *row)
{
    for (size_t i = 0; i < probe->count; i++) {
        const ffl_record *r = &probe->value[i].record;
        if (strcmp(r->variant, row->variant->name) == 0 && same_layer(r, group, row) &&
            near_at(probe, group, row, r->batch))
            return true;
    }
    return false;
}

static bool probed_routing(const ffl_rows *probe, const ffl_group *group)
{
    for (size_t i = 0; i < probe->count; i++)
        if (strcmp(probe->value[i].record.routing, group->routing) == 0)
            return true;
    return false;
}

bool ffl_front_has(const ffl_rows *probe, const ffl_group *group, const ffl_group_row *row)
{
    int64_t below, above;
    neighbours(probe, group, row, &below, &above);
    if (!below && !above)
        return true; /* not probed: a layer with one kernel has nothing to choose */
    if (!probed_routing(probe, group))
        return near_anywhere(probe, group, row);
    return near_at(probe, group, row, below) || near_at(probe, group, row, above);
}
