/* Which cases --invariance and --properties run. */
#include "harness/check/cases.h"
#include "harness/check/invariance.h"
#include "harness/check/properties.h"
#include "harness/check/spelled.h"
#include "harness/machine.h"
#include "harness/workload/shapes.h"
#include <stdio.h>
#include <string.h>

enum { BATCH_MAX = 1 << 16, THREADS_MAX = 64, THREADS_TRIED = 8 };

/* bias: whether biases are not all zero. Without them rows of denormals have denormal logits. */
typedef struct default_shape {
    size_t size[FFL_CASE_SIZES];
    size_t width, width_out, batch;
    bool bias;
} default_shape;

/* The paper's layer; small odd widths, no vector fits; many trees. Dense: a batch that blocks, and a wide
 * layer. */
static const default_shape invariance_trees[] = {
    {{1, 8}, 256, 256, 4096, false},
    {{1, 11}, 768, 768, 33, true},
    {{5, 3}, 100, 17, 64, false},
    {{16, 5}, 96, 64, 65, true},
};
static const default_shape invariance_dense[] = {
    {{96}, 64, 64, 4096, false},
    {{600}, 200, 100, 33, true},
};
static const default_shape invariance_leaves[] = {
    {{5, 8}, 256, 256, 4096, false},
    {{9, 8}, 768, 768, 33, true},
    {{3, 5}, 100, 17, 64, false},
};
static const default_shape invariance_mixtures[] = {
    {{16, 8, 2}, 128, 128, 4096, false},
    {{512, 8, 1}, 768, 768, 33, true},
    {{11, 5, 3}, 100, 17, 64, false},
};
static const default_shape property_trees[] = {
    {{1, 11}, 768, 0, 300, true},
    {{5, 3}, 100, 0, 1, true},
    {{24, 4}, 64, 0, 40, false},
};
static const default_shape property_dense[] = {
    {{255}, 100, 0, 33, true},
    {{31}, 768, 0, 1, false},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define LIST(array)                                                                                          \
    {                                                                                                        \
        array, COUNT(array)                                                                                  \
    }

typedef struct shape_set {
    const default_shape *all;
    size_t count;
} shape_set;
static const shape_set invariance_shapes[FFL_OPERATION_COUNT] = {[FFL_FF] = LIST(invariance_dense),
                                                                 [FFL_FFF] = LIST(invariance_trees),
                                                                 [FFL_FFF_LEAF] = LIST(invariance_leaves),
                                                                 [FFL_MOE] = LIST(invariance_mixtures)};
static const default_shape property_leaves[] = {{{3, 5}, 64, 0, 17, true}};
static const default_shape property_mixtures[] = {{{8, 5, 2}, 64, 0, 17, true}};
/* One case each where it is said that properties do not apply. */
static const shape_set property_shapes[FFL_OPERATION_COUNT] = {[FFL_FF] = LIST(property_dense),
                                                               [FFL_FFF] = LIST(property_trees),
                                                               [FFL_FFF_LEAF] = LIST(property_leaves),
                                                               [FFL_MOE] = LIST(property_mixtures)};

/* What the options ask for, and which of the two. */
typedef struct wanted {
    bool invariance;
    ffl_size_list batches, threads;
    bool batches_given;
    uint64_t seed;
} wanted;

static ffl_status add_threads(const wanted *w, ffl_check_case item, ffl_case_list *list)
{
    int most = 1;
    for (size_t i = 0; i < w->threads.count; i++) {
        item.threads = (int)w->threads.value[i];
        most = item.threads > most ? item.threads : most;
        if (!w->invariance)
            FFL_TRY(ffl_cases_add(list, &item));
    }
    item.threads = most; /* up to it are tried anyway */
    return w->invariance ? ffl_cases_add(list, &item) : FFL_OK;
}

static ffl_status add_shape(const wanted *w, const ffl_layer *shape, uint64_t seed, ffl_case_list *list)
{
    ffl_check_case item = {.shape = *shape, .seed = seed};
    snprintf(item.fixture, sizeof item.fixture, "%s", w->invariance ? FFL_INVARIANCE : FFL_PROPERTIES);
    if (!w->invariance)
        item.shape.width_out = ffl_spelled_width(shape);
    for (size_t b = 0; b < w->batches.count; b++) {
        item.batch = w->batches.value[b];
        FFL_TRY(add_threads(w, item, list));
    }
    return FFL_OK;
}

static ffl_status add_defaults(const wanted *w, ffl_operation operation, ffl_case_list *list)
{
    const shape_set *list_of = w->invariance ? &invariance_shapes[operation] : &property_shapes[operation];
    for (size_t i = 0; i < list_of->count; i++) {
        const default_shape *s = &list_of->all[i];
        wanted own = *w;
        ffl_layer layer;
        FFL_TRY(ffl_case_shape(operation, s->size, s->width, s->width_out ? s->width_out : 1, &layer));
        if (!w->batches_given)
            own.batches = (ffl_size_list){.value = {s->batch}, .count = 1};
        /* ffl_layout_from_seed */
        FFL_TRY(add_shape(&own, &layer, 4 * w->seed + s->bias, list));
    }
    return FFL_OK;
}

static ffl_status add_product(const wanted *w, ffl_operation operation, const ffl_shape_list *shapes,
                              ffl_case_list *list)
{
    for (size_t s = 0; s < shapes->count; s++) {
        const ffl_shape_case *shape = &shapes->value[s];
        if (operation == FFL_FFF)
            FFL_TRY(add_shape(w, &shape->tree, w->seed, list));
        for (size_t d = 0; operation == FFL_FF && d < shape->dense_count; d++)
            FFL_TRY(add_shape(w, &shape->dense[d], w->seed, list));
        for (size_t p = 0; s == 0 && p < shape->peer_count; p++) /* they do not depend on the tree */
            if (shape->peers[p].operation == operation)
                FFL_TRY(add_shape(w, &shape->peers[p], w->seed, list));
    }
    return FFL_OK;
}

static ffl_status add_kind(const ffl_options *options, bool invariance, ffl_operation operation,
                           ffl_case_list *list)
{
    static const ffl_option shape_options[] = {FFL_OPT_PRESET,    FFL_OPT_TREE,      FFL_OPT_NEURONS,
                                               FFL_OPT_LEAF,      FFL_OPT_MOE,       FFL_OPT_WIDTH,
                                               FFL_OPT_WIDTH_OUT, FFL_OPT_ACTIVATION};
    const int cpus = ffl_machine_host()->cpus;
    char threads[8] = "1";
    bool shapes_given = false;
    ffl_shape_list shapes;
    wanted w = {.invariance = invariance, .batches_given = ffl_option_given(options, FFL_OPT_BATCH)};
    if (invariance)
        snprintf(threads, sizeof threads, "%d", cpus < 2 ? 2 : cpus > THREADS_TRIED ? THREADS_TRIED : cpus);
    for (size_t i = 0; i < COUNT(shape_options); i++)
        shapes_given |= ffl_option_given(options, shape_options[i]);
    FFL_TRY(ffl_shapes_from_options(options, &shapes));
    FFL_TRY(
        ffl_option_size_list(options, FFL_OPT_BATCH, 1, BATCH_MAX, invariance ? "4096" : "17", &w.batches));
    FFL_TRY(ffl_option_size_list(options, FFL_OPT_THREADS, 1, THREADS_MAX, threads, &w.threads));
    FFL_TRY(ffl_option_seed(options, 1, &w.seed));
    return shapes_given ? add_product(&w, operation, &shapes, list) : add_defaults(&w, operation, list);
}

ffl_status ffl_cases_of_ways(const ffl_options *options, ffl_operation operation, ffl_case_list *list)
{
    if (ffl_option_given(options, FFL_OPT_FIXTURE))
        return ffl_fail(FFL_BAD_INPUT, "--fixture %s: --invariance and --properties make their own data",
                        options->value[FFL_OPT_FIXTURE]);
    if (ffl_option_given(options, FFL_OPT_INVARIANCE))
        FFL_TRY(add_kind(options, true, operation, list));
    if (ffl_option_given(options, FFL_OPT_PROPERTIES))
        FFL_TRY(add_kind(options, false, operation, list));
    return FFL_OK;
}

bool ffl_case_of_ways(const ffl_check_case *item)
{
    return strcmp(item->fixture, FFL_INVARIANCE) == 0 || strcmp(item->fixture, FFL_PROPERTIES) == 0;
}
