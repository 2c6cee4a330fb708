#include "harness/auto/choice.h"
#include "harness/auto/observe.h"
#include "harness/registry.h"
#include "kernels/memory.h"
#include <math.h>
#include <string.h>

enum { BATCHES_MAX = FFL_AUTO_RANGES, CANDIDATES_MAX = 128 };

/* Log2 steps between shapes: trees, levels (neurons), widths. Beyond this a table says nothing. */
static const double distance_max = 6;
/* A further kernel must lower the mean regret by this much, for it takes memory. */
static const double worth_preparing = 0.005;
/* Looking at the routing must gain this much somewhere. */
static const double worth_looking = 0.03;
/* Weight of the worst regret beside the mean. */
static const double worst_weight = 0.3;
static const double never_measured = 3; /* regret of a kernel without a time */
/* A time of the one-thread run is from another group than the others. */
static const double other_group = 1.05;

bool ffl_auto_may_use(const ffl_variant *self, const ffl_variant *v, const ffl_layer *shape, size_t tokens)
{
    const char *why;
    return v->operation == self->operation && ffl_tuned_kernel(v) &&
           ffl_auto_contract_holds(&v->contract, &self->contract) &&
           ffl_variant_supports(v, shape, tokens, 1, &why);
}

/* ---- What the table says about this shape ---- */

typedef struct slot {
    const ffl_tuned_cell *cell, *alone; /* alone: the same on one thread; NULL without */
} slot;

typedef struct batch {
    size_t tokens;
    slot routing[FFL_AUTO_ROUTINGS]; /* by `shared`, ascending */
    size_t routings;
    bool looks;                                       /* the routing can be observed */
    double regret[FFL_AUTO_ROUTINGS][CANDIDATES_MAX]; /* time over the best candidate's, minus 1 */
} batch;

typedef struct view {
    const ffl_variant *self;
    const ffl_layer *shape;
    size_t max_tokens;
    int threads;
    batch batches[BATCHES_MAX];
    size_t count;
    const ffl_variant *candidate[CANDIDATES_MAX];
    size_t candidates;
} view;

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
static const ffl_tuned_cell *nearest(const view *v, const ffl_tuned_table *table)
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

static batch *batch_of(view *v, size_t tokens)
{
    size_t at = 0;
    while (at < v->count && v->batches[at].tokens < tokens)
        at++;
    if (at < v->count && v->batches[at].tokens == tokens)
        return &v->batches[at];
    if (v->count == BATCHES_MAX)
        return NULL;
    memmove(&v->batches[at + 1], &v->batches[at], (v->count++ - at) * sizeof *v->batches);
    v->batches[at] = (batch){.tokens = tokens};
    return &v->batches[at];
}

static void add_cell(view *v, const ffl_tuned_table *table, const ffl_tuned_cell *cell)
{
    batch *b = batch_of(v, cell->batch);
    if (!b || b->routings == FFL_AUTO_ROUTINGS)
        return;
    slot s = {.cell = cell};
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
static double time_of(const slot *s, const ffl_variant *v)
{
    const double own = time_in(s->cell, v);
    return isfinite(own) || v->threaded ? own : other_group * time_in(s->alone, v);
}

static void add_candidates(view *v, const ffl_tuned_cell *cell)
{
    for (size_t i = 0; cell && i < cell->count; i++) {
        const ffl_variant *variant = cell->times[i].variant;
        size_t at = 0;
        while (at < v->candidates && v->candidate[at] != variant)
            at++;
        const size_t tokens = cell->batch < v->max_tokens ? cell->batch : v->max_tokens;
        if (at == v->candidates && at < CANDIDATES_MAX &&
            (cell->threads > 1 || !variant->threaded || v->threads == 1) &&
            ffl_auto_may_use(v->self, variant, v->shape, tokens))
            v->candidate[v->candidates++] = variant;
    }
}

/* Batches that max_tokens reaches: those up to it, and the nearest one above when that is nearer. */
static bool reaches(const view *v, size_t b)
{
    return b == 0 || (double)v->batches[b - 1].tokens * (double)v->batches[b].tokens <
                         (double)v->max_tokens * (double)v->max_tokens;
}

static void fill_regret(const view *v, const slot *s, double *regret)
{
    double best = INFINITY;
    for (size_t c = 0; c < v->candidates; c++) {
        regret[c] = time_of(s, v->candidate[c]);
        best = fmin(best, regret[c]);
    }
    for (size_t c = 0; c < v->candidates; c++)
        regret[c] = isfinite(regret[c]) ? regret[c] / best - 1 : isfinite(best) ? never_measured : 0;
}

static void look_up(view *v, const ffl_tuned_table *table)
{
    const ffl_tuned_cell *near = nearest(v, table);
    for (size_t i = 0; near && i < table->count; i++)
        if (concerns(v->self, &table->cells[i]) && table->cells[i].threads == near->threads &&
            same_shape(&table->cells[i].shape, &near->shape))
            add_cell(v, table, &table->cells[i]);
    size_t reached = 0;
    while (reached < v->count && reaches(v, reached))
        reached++;
    v->count = reached;
    for (size_t b = 0; b < v->count; b++) {
        v->batches[b].looks = v->batches[b].routings > 1 &&
                              ffl_auto_look_at(v->shape, v->batches[b].tokens, v->threads).samples > 0;
        for (size_t r = 0; r < v->batches[b].routings; r++) {
            add_candidates(v, v->batches[b].routing[r].cell);
            add_candidates(v, v->batches[b].routing[r].alone);
        }
    }
    for (size_t b = 0; b < v->count; b++)
        for (size_t r = 0; r < v->batches[b].routings; r++)
            fill_regret(v, &v->batches[b].routing[r], v->batches[b].regret[r]);
}

/* ---- Which kernels are worth preparing ---- */

typedef struct kernel_set {
    size_t candidate[FFL_AUTO_KERNELS];
    size_t count;
} kernel_set;

/* The kernel of the set that serves all routings of this batch best, when they cannot be told apart. */
static size_t blind_of(const batch *b, const kernel_set *set)
{
    size_t best = 0;
    double least = INFINITY;
    for (size_t k = 0; k < set->count; k++) {
        double sum = 0, worst = 0;
        for (size_t r = 0; r < b->routings; r++) {
            const double one = b->regret[r][set->candidate[k]];
            sum += one;
            worst = fmax(worst, one);
        }
        const double cost = sum / (double)b->routings + worst_weight * worst;
        if (cost < least) {
            least = cost;
            best = k;
        }
    }
    return best;
}

static size_t best_of(const double *regret, const kernel_set *set)
{
    size_t best = 0;
    for (size_t k = 1; k < set->count; k++)
        if (regret[set->candidate[k]] < regret[set->candidate[best]])
            best = k;
    return best;
}

/* Mean and worst regret over batches and routings, when only this set is there. */
static double cost_of(const view *v, const kernel_set *set)
{
    double sum = 0, worst = 0, count = 0;
    for (size_t b = 0; b < v->count; b++) {
        const batch *at = &v->batches[b];
        const size_t blind = blind_of(at, set);
        for (size_t r = 0; r < at->routings; r++) {
            const size_t k = at->looks ? best_of(at->regret[r], set) : blind;
            const double one = at->regret[r][set->candidate[k]];
            sum += one;
            worst = fmax(worst, one);
            count++;
        }
    }
    return sum / count + worst_weight * worst;
}

/* Greedily: the kernel that helps most, until none helps enough. */
static kernel_set gather(const view *v)
{
    kernel_set set = {.count = 0};
    double cost = INFINITY;
    while (set.count < FFL_AUTO_KERNELS) {
        size_t best = v->candidates;
        double least = isfinite(cost) ? cost - worth_preparing : cost;
        for (size_t c = 0; c < v->candidates; c++) {
            kernel_set tried = set;
            tried.candidate[tried.count++] = c;
            const double with = cost_of(v, &tried);
            if (with < least) {
                least = with;
                best = c;
            }
        }
        if (best == v->candidates)
            break;
        set.candidate[set.count++] = best;
        cost = least;
    }
    return set;
}

/* ---- The decision ---- */

static size_t last_of(const view *v, size_t b)
{
    if (b + 1 == v->count)
        return v->max_tokens;
    const double between = sqrt((double)v->batches[b].tokens * (double)v->batches[b + 1].tokens);
    return between < (double)v->max_tokens ? (size_t)between : v->max_tokens;
}

static ffl_auto_range range_of(const view *v, size_t b, const kernel_set *set)
{
    const batch *at = &v->batches[b];
    ffl_auto_range range = {.last = last_of(v, b), .blind = blind_of(at, set)};
    double gain = 0;
    for (size_t r = 0; r < at->routings; r++) {
        const double *regret = at->regret[r];
        range.routing[r].shared = at->routing[r].cell->shared;
        range.routing[r].kernel = best_of(regret, set);
        gain =
            fmax(gain, regret[set->candidate[range.blind]] - regret[set->candidate[range.routing[r].kernel]]);
    }
    if (at->looks && gain > worth_looking)
        range.routings = at->routings;
    return range;
}

static void note_use(ffl_auto_choice *out, size_t kernel, size_t tokens)
{
    if (out->kernel[kernel].max_tokens < tokens)
        out->kernel[kernel].max_tokens = tokens;
}

/* Any token count must find a kernel that takes it; the tuned ones may not. */
static ffl_status cover(const view *v, ffl_auto_choice *out)
{
    ffl_auto_choice spare;
    bool covered = true;
    for (size_t tokens = 1; tokens <= v->max_tokens && covered; tokens += 1 + tokens / 16) {
        bool taken = false;
        for (size_t k = 0; k < out->kernels && !taken; k++)
            taken = tokens <= out->kernel[k].max_tokens &&
                    ffl_auto_may_use(v->self, out->kernel[k].variant, v->shape, tokens);
        covered = taken;
    }
    if (covered)
        return FFL_OK;
    FFL_TRY(ffl_auto_defaults(v->self, v->shape, v->max_tokens, v->threads, &spare));
    *out = spare;
    return FFL_OK;
}

static ffl_status decide(view *v, const ffl_tuned_table *table, ffl_auto_choice *out)
{
    look_up(v, table);
    const kernel_set set = gather(v);
    if (v->count == 0 || set.count == 0)
        return ffl_auto_defaults(v->self, v->shape, v->max_tokens, v->threads, out);
    *out = (ffl_auto_choice){.tuned = true, .kernels = set.count};
    for (size_t k = 0; k < set.count; k++)
        out->kernel[k].variant = v->candidate[set.candidate[k]];
    for (size_t b = 0; b < v->count; b++) {
        const ffl_auto_range range = range_of(v, b, &set);
        out->range[out->ranges++] = range;
        note_use(out, range.blind, range.last);
        for (size_t r = 0; r < range.routings; r++)
            note_use(out, range.routing[r].kernel, range.last);
    }
    return cover(v, out);
}

ffl_status ffl_auto_choose(const ffl_variant *self, const ffl_layer *shape, size_t max_tokens, int threads,
                           const ffl_tuned_table *table, ffl_auto_choice *out)
{
    if (!table)
        return ffl_auto_defaults(self, shape, max_tokens, threads, out);
    view *v = ffl_alloc(sizeof *v);
    if (!v)
        return FFL_NO_MEMORY;
    *v = (view){.self = self, .shape = shape, .max_tokens = max_tokens, .threads = threads};
    const ffl_status status = decide(v, table, out);
    ffl_free(v);
    return status;
}

const ffl_auto_range *ffl_auto_range_of(const ffl_auto_choice *choice, size_t tokens)
{
    size_t r = 0;
    while (r + 1 < choice->ranges && tokens > choice->range[r].last)
        r++;
    return &choice->range[r];
}

static bool takes(const ffl_auto_choice *choice, const ffl_layer *shape, size_t kernel, size_t tokens)
{
    const ffl_variant *v = choice->kernel[kernel].variant;
    const char *why;
    return tokens <= choice->kernel[kernel].max_tokens && (!v->supports || v->supports(shape, tokens, &why));
}

size_t ffl_auto_pick(const ffl_auto_choice *choice, const ffl_layer *shape, size_t tokens, double shared)
{
    const ffl_auto_range *range = ffl_auto_range_of(choice, tokens);
    size_t kernel = range->blind;
    double least = INFINITY;
    /* Nearest by square root: between "all spread" (0) and "16 clusters" (0.06) lies as much as above. */
    for (size_t r = 0; r < range->routings && !isnan(shared); r++) {
        const double d = fabs(sqrt(shared) - sqrt(range->routing[r].shared));
        if (d < least) {
            least = d;
            kernel = range->routing[r].kernel;
        }
    }
    for (size_t k = 0; k < choice->kernels && !takes(choice, shape, kernel, tokens); k++)
        kernel = k;
    return kernel;
}
