#include "harness/auto/choice.h"
#include "harness/auto/view.h"
#include "harness/registry.h"
#include "kernels/memory.h"
#include <math.h>

/* A further kernel must lower the mean regret by this much, for it takes memory. */
static const double worth_preparing = 0.005;
/* Looking at the routing must gain this much somewhere. */
static const double worth_looking = 0.03;
/* Weight of the worst regret beside the mean. */
static const double worst_weight = 0.3;

bool ffl_auto_may_use(const ffl_variant *self, const ffl_variant *v, const ffl_layer *shape, size_t tokens)
{
    const char *why;
    return v->operation == self->operation && ffl_tuned_kernel(v) &&
           ffl_auto_contract_holds(&v->contract, &self->contract) &&
           ffl_variant_supports(v, shape, tokens, 1, &why);
}

/* ---- Which kernels are worth preparing ---- */

typedef struct kernel_set {
    size_t candidate[FFL_AUTO_KERNELS];
    size_t count;
} kernel_set;

/* The kernel of the set that serves all routings of this batch best, when they cannot be told apart. */
static size_t blind_of(const ffl_view_batch *b, const kernel_set *set)
{
    size_t best = 0;
    double least = INFINITY;
    for (size_t k = 0; k < set->count; k++) {
        double sum = 0, worst = 0;
        for (size_t r = 0; r < b->routings; r++) {
            const double one = b->routing[r].regret[set->candidate[k]];
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
static double cost_of(const ffl_view *v, const kernel_set *set)
{
    double sum = 0, worst = 0, count = 0;
    for (size_t b = 0; b < v->batches; b++) {
        const ffl_view_batch *at = &v->batch[b];
        const size_t blind = blind_of(at, set);
        for (size_t r = 0; r < at->routings; r++) {
            const size_t k = at->looks ? best_of(at->routing[r].regret, set) : blind;
            const double one = at->routing[r].regret[set->candidate[k]];
            sum += one;
            worst = fmax(worst, one);
            count++;
        }
    }
    return sum / count + worst_weight * worst;
}

/* Greedily: the kernel that helps most, until none helps enough. */
static kernel_set gather(const ffl_view *v)
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

static size_t last_of(const ffl_view *v, size_t b)
{
    if (b + 1 == v->batches)
        return v->max_tokens;
    const double between = sqrt((double)v->batch[b].tokens * (double)v->batch[b + 1].tokens);
    return between < (double)v->max_tokens ? (size_t)between : v->max_tokens;
}

static ffl_auto_range range_of(const ffl_view *v, size_t b, const kernel_set *set)
{
    const ffl_view_batch *at = &v->batch[b];
    ffl_auto_range range = {.last = last_of(v, b), .blind = blind_of(at, set)};
    double gain = 0;
    for (size_t r = 0; r < at->routings; r++) {
        const double *regret = at->routing[r].regret;
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
static ffl_status cover(const ffl_view *v, ffl_auto_choice *out)
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

static ffl_status decide(ffl_view *v, const ffl_tuned_table *table, ffl_auto_choice *out)
{
    ffl_view_look_up(v, table);
    const kernel_set set = gather(v);
    if (v->batches == 0 || set.count == 0)
        return ffl_auto_defaults(v->self, v->shape, v->max_tokens, v->threads, out);
    *out = (ffl_auto_choice){.tuned = true, .kernels = set.count};
    for (size_t k = 0; k < set.count; k++)
        out->kernel[k].variant = v->candidate[set.candidate[k]];
    for (size_t b = 0; b < v->batches; b++) {
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
    ffl_view *v = ffl_alloc(sizeof *v);
    if (!v)
        return FFL_NO_MEMORY;
    *v = (ffl_view){.self = self, .shape = shape, .max_tokens = max_tokens, .threads = threads};
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
