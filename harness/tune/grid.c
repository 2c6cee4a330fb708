#include "harness/tune/grid.h"
#include "harness/auto/choice.h"
#include "harness/registry.h"
#include "harness/tune/front.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Kernels this much slower in the first calls of a cell are not timed in it. */
static const double prune_probe = 2, prune_main = 2;

/* Without --full, of the batches above LONG_BATCH only the largest with at most so many visited neurons:
 * longer calls would take most of the time. */
enum { LOOKED_AT = 100, LONG_BATCH = 1024, VISITS_MAX = 250000 };

/* The grid without options, and with --full; dense calls are long, and their ranking settles early. */
static const struct {
    const char *trees, *batches, *dense_batches, *routings;
} grids[] = {
    {"1x11,8x8,128x4", "1,16,128,1024,4096,16384", "1,16,128", "uniform,single"},
    {"1x11,2x10,4x9,8x8,16x7,32x6,64x5,128x4", "1,4,16,64,128,1024,16384", "1,4,16,64,128,1024,16384",
     "uniform,zipf:1,single,prototypes:16"},
};

const ffl_variant *ffl_grid_dispatcher(ffl_operation operation, ffl_type clazz)
{
    for (size_t i = 0; i < ffl_registry_count(); i++) {
        const ffl_variant *v = ffl_registry_at(i);
        if (v->family == FFL_AUTO && v->operation == operation && v->contract.weights == clazz)
            return v;
    }
    return NULL;
}

static void set_default(ffl_options *options, ffl_option option, const char *value)
{
    if (!ffl_option_given(options, option))
        options->value[option] = value;
}

/* The user's options with the grid's defaults for one operation. */
static ffl_options with_defaults(const ffl_options *options, ffl_operation operation, char threads[32])
{
    const size_t g = ffl_option_given(options, FFL_OPT_FULL);
    ffl_options out = *options;
    const bool own_trees = ffl_option_given(options, FFL_OPT_TREE), dense = operation == FFL_FF;
    const int cpus = ffl_machine_host()->cpus;
    /* Dense work depends on the routing no more than on the tree that its neurons come from. */
    if (dense)
        out.value[FFL_OPT_ROUTING] = "uniform";
    if (dense && !own_trees && !ffl_option_given(options, FFL_OPT_WIDTH))
        set_default(&out, FFL_OPT_NEURONS, "4095,3072");
    set_default(&out, FFL_OPT_TREE, dense ? "1x11" : grids[g].trees);
    set_default(&out, FFL_OPT_BATCH, dense ? grids[g].dense_batches : grids[g].batches);
    set_default(&out, FFL_OPT_ROUTING, grids[g].routings);
    snprintf(threads, 32, cpus > 1 && !ffl_option_given(options, FFL_OPT_CPUS) ? "1,%d" : "1", cpus);
    set_default(&out, FFL_OPT_THREADS, threads);
    /* Here --full is about the grid, there about calls of many seconds. */
    out.value[FFL_OPT_FULL] = NULL;
    return out;
}

/* Plain C and level 1 win nowhere that a vector kernel runs; libraries only with dense layers. --full asks.
 */
static bool contends(const ffl_options *options, const ffl_variant *v)
{
    const bool vectors = ffl_machine_host()->isa[FFL_ISA_AVX2];
    if (ffl_option_given(options, FFL_OPT_FULL) || !vectors)
        return true;
    return v->family == FFL_SIMD || v->family == FFL_TENSOR ||
           (v->operation == FFL_FF && (v->family == FFL_BLAS2 || v->family == FFL_BLAS3));
}

static bool may_run(const ffl_options *options, const ffl_group *group, const ffl_group_row *row,
                    ffl_operation operation)
{
    const ffl_variant *self = ffl_grid_dispatcher(row->variant->operation, group->clazz);
    const char *why;
    return row->variant->operation == operation && self && contends(options, row->variant) &&
           ffl_auto_may_use(self, row->variant, &row->shape, group->batch) &&
           ffl_variant_supports(row->variant, &row->shape, group->batch, group->threads, &why);
}

/* Rows of `group` that `keeps` wants. */
static void keep_rows(ffl_group *group, bool (*keeps)(void *, const ffl_group *, const ffl_group_row *),
                      void *user)
{
    size_t kept = 0;
    for (size_t i = 0; i < group->row_count; i++)
        if (keeps(user, group, &group->rows[i]))
            group->rows[kept++] = group->rows[i];
    group->row_count = kept;
}

static void drop_empty(ffl_group_list *groups)
{
    size_t kept = 0;
    for (size_t g = 0; g < groups->count; g++)
        if (groups->value[g].row_count)
            groups->value[kept++] = groups->value[g];
        else
            ffl_group_free(&groups->value[g]);
    groups->count = kept;
}

typedef struct filter {
    const ffl_options *options;
    ffl_operation operation;
    const ffl_rows *probe;
} filter;

static bool keeps_possible(void *user, const ffl_group *group, const ffl_group_row *row)
{
    const filter *f = user;
    return may_run(f->options, group, row, f->operation);
}

static bool too_long(const ffl_group *group)
{
    return group->batch > LONG_BATCH && group->batch * group->tree.trees * group->tree.levels > VISITS_MAX;
}

/* Routing is not looked at in small batches. */
static bool unseen(const ffl_group_list *all, const ffl_group *group)
{
    return group->batch < LOOKED_AT && strcmp(group->routing, all->value[0].routing) != 0;
}

/* Another group of the same tree makes this one superfluous. */
static bool outdone(const ffl_group_list *all, const ffl_group *group)
{
    for (size_t g = 0; g < all->count && group->batch > LONG_BATCH; g++) {
        const ffl_group *other = &all->value[g];
        if (other->tree.trees == group->tree.trees && other->tree.levels == group->tree.levels &&
            other->batch > group->batch && !too_long(other))
            return true;
    }
    return false;
}

static ffl_status make(const ffl_options *options, ffl_operation operation, ffl_group_list *out)
{
    static const ffl_flags flags = {.interleave = true};
    char threads[32];
    const ffl_options with = with_defaults(options, operation, threads);
    FFL_TRY(ffl_groups_from_options(&with, &flags, out));
    const bool all = ffl_option_given(options, FFL_OPT_FULL) || ffl_option_given(options, FFL_OPT_BATCH);
    size_t kept = 0;
    bool *drop = calloc(out->count + 1, sizeof *drop);
    if (!drop) {
        ffl_groups_free(out);
        return ffl_fail(FFL_NO_MEMORY, "no memory for the groups");
    }
    for (size_t g = 0; g < out->count; g++)
        drop[g] = out->value[g].place != FFL_HOST || /* dispatchers run on the host */
                  (!all && operation == FFL_FFF &&
                   (too_long(&out->value[g]) || outdone(out, &out->value[g]) || unseen(out, &out->value[g])));
    for (size_t g = 0; g < out->count; g++)
        if (drop[g])
            ffl_group_free(&out->value[g]);
        else
            out->value[kept++] = out->value[g];
    out->count = kept;
    free(drop);
    return FFL_OK;
}

static ffl_status append(ffl_group_list *to, ffl_group_list *from)
{
    ffl_group *grown = realloc(to->value, (to->count + from->count + 1) * sizeof *grown);
    if (!grown) {
        ffl_groups_free(from);
        return ffl_fail(FFL_NO_MEMORY, "no memory for the groups");
    }
    to->value = grown;
    memcpy(to->value + to->count, from->value, from->count * sizeof *grown);
    to->count += from->count;
    free(from->value);
    return FFL_OK;
}

/* ---- Probe ---- */

/* Smallest, largest, and the one in the middle of the batches of this tree. */
static bool probes_batch(const ffl_group_list *all, const ffl_group *group)
{
    size_t below = 0, count = 0, batches[FFL_LIST_MAX];
    for (size_t g = 0; g < all->count; g++) {
        bool known =
            all->value[g].tree.trees != group->tree.trees || all->value[g].tree.levels != group->tree.levels;
        for (size_t i = 0; i < count; i++)
            known = known || batches[i] == all->value[g].batch;
        if (!known && count < FFL_LIST_MAX)
            batches[count++] = all->value[g].batch;
    }
    for (size_t i = 0; i < count; i++)
        below += batches[i] < group->batch;
    return below == 0 || below == count / 2 || below == count - 1;
}

static ffl_status add_probe(const ffl_options *options, ffl_operation operation, ffl_group_list *out)
{
    ffl_group_list all;
    filter f = {.options = options, .operation = operation};
    FFL_TRY(make(options, operation, &all));
    const ffl_group *first = all.value;
    size_t kept = 0;
    bool *wanted = calloc(all.count + 1, sizeof *wanted);
    for (size_t g = 0; wanted && g < all.count; g++) {
        keep_rows(&all.value[g], keeps_possible, &f);
        all.value[g].prune = prune_probe;
        wanted[g] = all.value[g].row_count > 1 && all.value[g].threads == first->threads &&
                    strcmp(all.value[g].routing, first->routing) == 0 && probes_batch(&all, &all.value[g]);
    }
    for (size_t g = 0; wanted && g < all.count; g++)
        if (wanted[g])
            all.value[kept++] = all.value[g];
        else
            ffl_group_free(&all.value[g]);
    all.count = kept;
    const bool lacking = !wanted;
    free(wanted);
    if (lacking) {
        ffl_groups_free(&all);
        return ffl_fail(FFL_NO_MEMORY, "no memory for the groups");
    }
    return append(out, &all);
}

ffl_status ffl_grid_probe(const ffl_options *options, ffl_group_list *out)
{
    *out = (ffl_group_list){0};
    FFL_TRY(add_probe(options, FFL_FFF, out));
    return add_probe(options, FFL_FF, out);
}

/* ---- Grid ---- */

static bool keeps_near(void *user, const ffl_group *group, const ffl_group_row *row)
{
    const filter *f = user;
    return may_run(f->options, group, row, f->operation) && ffl_front_has(f->probe, group, row);
}

/* -v is about the kernels; a report without the dispatcher would report nothing. */
static ffl_status join(ffl_group *group, ffl_operation operation)
{
    const ffl_variant *self = ffl_grid_dispatcher(operation, group->clazz);
    const size_t count = group->row_count;
    ffl_group_row *grown = realloc(group->rows, (2 * count + 1) * sizeof *grown);
    if (!grown)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the rows of a group");
    group->rows = grown;
    for (size_t i = 0; i < count; i++) {
        bool known = false;
        for (size_t k = count; k < group->row_count; k++)
            known = known || grown[k].shape.neurons == grown[i].shape.neurons;
        if (!known)
            grown[group->row_count++] = (ffl_group_row){.variant = self, .shape = grown[i].shape};
    }
    return FFL_OK;
}

static ffl_status add_main(const ffl_options *options, ffl_operation operation, const ffl_rows *probe,
                           bool report, ffl_group_list *out)
{
    ffl_group_list all;
    filter f = {.options = options, .operation = operation, .probe = probe};
    FFL_TRY(make(options, operation, &all));
    ffl_status status = FFL_OK;
    for (size_t g = 0; g < all.count && status == FFL_OK; g++) {
        keep_rows(&all.value[g], keeps_near, &f);
        all.value[g].prune = prune_main;
        if (report)
            status = join(&all.value[g], operation);
    }
    drop_empty(&all);
    if (status != FFL_OK)
        ffl_groups_free(&all);
    return status == FFL_OK ? append(out, &all) : status;
}

ffl_status ffl_grid_main(const ffl_options *options, const ffl_rows *probe, bool report, ffl_group_list *out)
{
    *out = (ffl_group_list){0};
    FFL_TRY(add_main(options, FFL_FFF, probe, report, out));
    return add_main(options, FFL_FF, probe, report, out);
}

size_t ffl_grid_drop(const ffl_rows *rows, ffl_group_list *groups)
{
    const size_t before = groups->count;
    for (size_t g = 0; g < before; g++) {
        bool done = false;
        ffl_record made;
        ffl_group_record(&groups->value[g], &groups->value[g].rows[0], &made);
        for (size_t i = 0; i < rows->count && !done; i++)
            done = strcmp(rows->value[i].record.group, made.group) == 0 &&
                   strcmp(rows->value[i].record.operation, made.operation) == 0;
        ffl_record_free(&made);
        if (done)
            groups->value[g].row_count = 0;
    }
    drop_empty(groups);
    return before - groups->count;
}
