#include "harness/auto/view.h"
#include "harness/auto/observe.h"
#include <math.h>
#include <string.h>

/* Log2 steps between shapes: trees, levels (neurons), widths. Beyond this a table says nothing. */
static const double distance_max = 6;
static const double never_measured = 3; /* regret of a kernel without a time */
/* A time of the one-thread run is from another group than the others. */
static const double other_group = 1.05;

static double steps(size_t a, size_t b)
{
    return a && b ? fabs(log2((double)a / (double)b)) : 0;
}

static double distance(const ffl_layer *a, const ffl_layer *b)
{
    const double widths = steps(a->width_in, b->width_in) + steps(a->width_out, b->width_out);
    if (a->operation == FFL_FF)
        return widths + steps(a->neurons, b->neurons);
    return widths + steps(a->trees, b->trees) + fabs((double)a->levels - (double)b->levels);
}

static bool same_shape(const ffl_layer *a, const ffl_layer *b)
{
    return a->width_in == b->width_in && a->width_out == b->width_out && a->neurons == b->neurons &&
           a->trees == b->trees && a->levels == b->levels;
}

static bool concerns(const ffl_variant *self, const ffl_tuned_cell *cell)
{
    return cell->shape.operation == self->operation && cell->clazz == self->contract.weights;
}

/* A cell of the nearest tuned shape and number of threads, the former first; NULL when nothing is near. */
static const ffl_tuned_cell *nearest(const ffl_view *v, const ffl_tuned_table *table)
{
    const ffl_tuned_cell *best = NULL;
    double least = distance_max;
    for (size_t i = 0; i < table->count; i++) {
        const ffl_tuned_cell *c = &table->cells[i];
        if (!concerns(v->self, c) || (c->threads > 1) != (v->threads > 1))
            continue;
        const double d = distance(&c->shape, v->shape) + 1e-3 * steps((size_t)c->threads, (size_t)v->threads);
        if (d < least) {
            least = d;
            best = c;
        }
    }
    return best;
}

static ffl_view_batch *batch_of(ffl_view *v, size_t tokens)
{
    size_t at = 0;
    while (at < v->batches && v->batch[at].tokens < tokens)
        at++;
    if (at < v->batches && v->batch[at].tokens == tokens)
        return &v->batch[at];
    if (v->batches == FFL_AUTO_RANGES)
        return NULL;
    memmove(&v->batch[at + 1], &v->batch[at], (v->batches++ - at) * sizeof *v->batch);
    v->batch[at] = (ffl_view_batch){.tokens = tokens};
    return &v->batch[at];
}

static void add_cell(ffl_view *v, const ffl_tuned_table *table, const ffl_tuned_cell *cell)
{
    ffl_view_batch *b = batch_of(v, cell->batch);
    if (!b || b->routings == FFL_AUTO_ROUTINGS)
        return;
    ffl_view_routing s = {.cell = cell};
    for (size_t i = 0; i < table->count && cell->threads > 1; i++) {
        const ffl_tuned_cell *c = &table->cells[i];
        if (concerns(v->self, c) && c->threads == 1 && c->batch == cell->batch &&
            same_shape(&c->shape, &cell->shape) && strcmp(c->routing, cell->routing) == 0)
            s.alone = c;
    }
    size_t at = 0;
    while (at < b->routings && b->routing[at].cell->shared <= cell->shared)
        at++;
    memmove(&b->routing[at + 1], &b->routing[at], (b->routings++ - at) * sizeof *b->routing);
    b->routing[at] = s;
}

static double time_in(const ffl_tuned_cell *cell, const ffl_variant *v)
{
    for (size_t i = 0; cell && i < cell->count; i++)
        if (cell->times[i].variant == v)
            return cell->times[i].ns;
    return INFINITY;
}

/* NaN-free: a kernel without a time takes forever. */
static double time_of(const ffl_view_routing *s, const ffl_variant *v)
{
    const double own = time_in(s->cell, v);
    return isfinite(own) || v->threaded ? own : other_group * time_in(s->alone, v);
}

static void add_candidates(ffl_view *v, const ffl_tuned_cell *cell)
{
    for (size_t i = 0; cell && i < cell->count; i++) {
        const ffl_variant *variant = cell->times[i].variant;
        size_t at = 0;
        while (at < v->candidates && v->candidate[at] != variant)
            at++;
        const size_t tokens = cell->batch < v->max_tokens ? cell->batch : v->max_tokens;
        if (at == v->candidates && at < FFL_VIEW_CANDIDATES &&
            (cell->threads > 1 || !variant->threaded || v->threads == 1) &&
            ffl_auto_may_use(v->self, variant, v->shape, tokens))
            v->candidate[v->candidates++] = variant;
    }
}

/* Batches that max_tokens reaches: those up to it, and the nearest one above when that is nearer. */
static bool reaches(const ffl_view *v, size_t b)
{
    return b == 0 || (double)v->batch[b - 1].tokens * (double)v->batch[b].tokens <
                         (double)v->max_tokens * (double)v->max_tokens;
}

static void fill_regret(const ffl_view *v, ffl_view_routing *s)
{
    double best = INFINITY, *regret = s->regret;
    for (size_t c = 0; c < v->candidates; c++) {
        regret[c] = time_of(s, v->candidate[c]);
        best = fmin(best, regret[c]);
    }
    for (size_t c = 0; c < v->candidates; c++)
        regret[c] = isfinite(regret[c]) ? regret[c] / best - 1 : isfinite(best) ? never_measured : 0;
}

void ffl_view_look_up(ffl_view *v, const ffl_tuned_table *table)
{
    const ffl_tuned_cell *near = nearest(v, table);
    for (size_t i = 0; near && i < table->count; i++)
        if (concerns(v->self, &table->cells[i]) && table->cells[i].threads == near->threads &&
            same_shape(&table->cells[i].shape, &near->shape))
            add_cell(v, table, &table->cells[i]);
    size_t reached = 0;
    while (reached < v->batches && reaches(v, reached))
        reached++;
    v->batches = reached;
    for (size_t b = 0; b < v->batches; b++) {
        v->batch[b].looks = v->batch[b].routings > 1 &&
                            ffl_auto_look_at(v->shape, v->batch[b].tokens, v->threads).samples > 0;
        for (size_t r = 0; r < v->batch[b].routings; r++) {
            add_candidates(v, v->batch[b].routing[r].cell);
            add_candidates(v, v->batch[b].routing[r].alone);
        }
    }
    for (size_t b = 0; b < v->batches; b++)
        for (size_t r = 0; r < v->batch[b].routings; r++)
            fill_regret(v, &v->batch[b].routing[r]);
}
