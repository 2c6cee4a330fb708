/* From options to groups. */
#include "harness/bench/groups.h"
#include "harness/bench/pin.h"
#include "harness/registry.h"
#include "harness/workload/shapes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Places: the host, the device, and the device by programs of their own. */
enum { BATCH_MAX = 1 << 22, THREADS_MAX = 1024, GROUPS_MAX = 100000, PLACES = 3 };

/* The lists whose product the groups are. */
typedef struct axes {
    ffl_shape_list shapes;
    ffl_size_list batches, threads;
    ffl_word_list routings;
    bool states[FFL_CACHE_STATES];
    bool classes[FFL_TYPE_COUNT];
} axes;

const char *const ffl_cache_state_names[FFL_CACHE_STATES] = {"hot", "weights-cold", "all-cold"};

static ffl_status read_caches(const ffl_options *options, axes *out)
{
    ffl_word_list words;
    FFL_TRY(ffl_option_words(options, FFL_OPT_CACHE, "hot", &words));
    for (size_t i = 0; i < words.count; i++) {
        size_t state = 0;
        while (state < FFL_CACHE_STATES && strcmp(words.value[i], ffl_cache_state_names[state]) != 0)
            state++;
        if (state == FFL_CACHE_STATES)
            return ffl_fail(FFL_BAD_INPUT, "--cache %s: expected hot, weights-cold or all-cold",
                            words.value[i]);
        out->states[state] = true;
    }
    return FFL_OK;
}

/* Without --class: every class that a selected variant has. */
static ffl_status read_classes(const ffl_options *options, axes *out)
{
    if (!ffl_option_given(options, FFL_OPT_CLASS)) {
        for (size_t i = 0; i < ffl_registry_count(); i++)
            if (ffl_option_selects(options, ffl_registry_at(i)))
                out->classes[ffl_registry_at(i)->contract.weights] = true;
        return FFL_OK;
    }
    ffl_word_list words;
    FFL_TRY(ffl_option_words(options, FFL_OPT_CLASS, "f32", &words));
    for (size_t i = 0; i < words.count; i++) {
        size_t type = 0;
        while (type < FFL_TYPE_COUNT && strcmp(words.value[i], ffl_type_name((ffl_type)type)) != 0)
            type++;
        if (type == FFL_TYPE_COUNT)
            return ffl_fail(FFL_BAD_INPUT, "--class %s: expected f32, tf32, bf16, f16 or int8",
                            words.value[i]);
        out->classes[type] = true;
    }
    return FFL_OK;
}

static ffl_status read_axes(const ffl_options *options, axes *out)
{
    ffl_routing routing;
    *out = (axes){0};
    FFL_TRY(ffl_shapes_from_options(options, &out->shapes));
    FFL_TRY(ffl_option_size_list(options, FFL_OPT_BATCH, 1, BATCH_MAX, "1,16,128,1024,16384", &out->batches));
    FFL_TRY(ffl_option_size_list(options, FFL_OPT_THREADS, 1, THREADS_MAX, "1", &out->threads));
    FFL_TRY(ffl_option_words(options, FFL_OPT_ROUTING, "uniform", &out->routings));
    for (size_t i = 0; i < out->routings.count; i++) {
        FFL_TRY(ffl_routing_parse(out->routings.value[i], &routing));
        if (strlen(out->routings.value[i]) >= sizeof((ffl_group *)0)->routing)
            return ffl_fail(FFL_BAD_INPUT, "--routing %s: longer than %zu characters", out->routings.value[i],
                            sizeof((ffl_group *)0)->routing - 1);
    }
    FFL_TRY(read_caches(options, out));
    return read_classes(options, out);
}

static ffl_status add_row(ffl_group *group, const ffl_flags *flags, const ffl_variant *variant,
                          const ffl_layer *shape)
{
    const ffl_group_row row = {.variant = variant, .shape = *shape};
    char name[768];
    ffl_group_row_name(group, &row, name, sizeof name);
    if (!ffl_flags_select(flags, name))
        return FFL_OK;
    ffl_group_row *grown = realloc(group->rows, (group->row_count + 1) * sizeof *grown);
    if (!grown)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the rows of a group");
    group->rows = grown;
    group->rows[group->row_count++] = row;
    return FFL_OK;
}

/* Leaf trees and mixtures are other functions: they join where they are asked for. */
static bool peers_asked(const ffl_options *options)
{
    return options->list_count[FFL_OPT_VARIANT] > 0 || ffl_option_given(options, FFL_OPT_LEAF) ||
           ffl_option_given(options, FFL_OPT_MOE);
}

static ffl_status add_rows(ffl_group *group, const ffl_options *options, const ffl_flags *flags,
                           const ffl_shape_case *shapes)
{
    for (size_t i = 0; i < ffl_registry_count(); i++) {
        const ffl_variant *v = ffl_registry_at(i);
        const bool program = group->place == FFL_CUDA && v->library == FFL_PROCESS;
        if (v->contract.weights != group->clazz || v->place != group->place || program != group->programs ||
            !ffl_option_selects(options, v))
            continue;
        if (v->operation == FFL_FFF)
            FFL_TRY(add_row(group, flags, v, &shapes->tree));
        for (size_t d = 0; v->operation == FFL_FF && d < shapes->dense_count; d++)
            FFL_TRY(add_row(group, flags, v, &shapes->dense[d]));
        for (size_t p = 0; peers_asked(options) && p < shapes->peer_count; p++)
            if (v->operation == shapes->peers[p].operation)
                FFL_TRY(add_row(group, flags, v, &shapes->peers[p]));
    }
    return FFL_OK;
}

static ffl_status add_group(ffl_group_list *list, const ffl_group *head, const ffl_options *options,
                            const ffl_flags *flags, const ffl_shape_case *shapes)
{
    if (list->count == GROUPS_MAX)
        return ffl_fail(FFL_BAD_INPUT, "more than %d groups: fewer shapes, batches or routings", GROUPS_MAX);
    ffl_group group = *head;
    const ffl_status status = add_rows(&group, options, flags, shapes);
    ffl_group *grown =
        status == FFL_OK && group.row_count ? realloc(list->value, (list->count + 1) * sizeof *grown) : NULL;
    if (grown) {
        list->value = grown;
        list->value[list->count++] = group;
        return FFL_OK;
    }
    const bool empty = group.row_count == 0;
    ffl_group_free(&group);
    if (status != FFL_OK || empty)
        return status;
    return ffl_fail(FFL_NO_MEMORY, "no memory for the groups");
}

/* What the repeat command of every row needs beside the axes. */
static ffl_status extra_words(const ffl_options *options, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (ffl_option o = FFL_OPT_PLUGIN; o <= FFL_OPT_PROCESS; o++)
        for (size_t i = 0; i < options->list_count[o] && used < size; i++)
            used +=
                (size_t)snprintf(out + used, size - used, " %s %s", ffl_option_name(o), options->list[o][i]);
    static const ffl_option others[] = {FFL_OPT_BLAS_LIBRARY, FFL_OPT_KEEP_BLAS_ENVIRONMENT, FFL_OPT_FULL,
                                        FFL_OPT_CPUS};
    for (size_t i = 0; i < sizeof others / sizeof *others && used < size; i++) {
        const char *value = options->value[others[i]];
        if (value)
            used += (size_t)snprintf(out + used, size - used, " %s%s%s", ffl_option_name(others[i]),
                                     *value ? " " : "", value);
    }
    return used < size
               ? FFL_OK
               : ffl_fail(FFL_BAD_INPUT, "the paths of --plugin, --process and --blas-library are too long");
}

static ffl_status read_head(const ffl_options *options, const ffl_flags *flags, ffl_group *out)
{
    *out = (ffl_group){.full = ffl_option_given(options, FFL_OPT_FULL),
                       .min_time = flags->min_time,
                       .repetitions = flags->repetitions,
                       .interleave = flags->interleave};
    FFL_TRY(ffl_option_seed(options, 1, &out->seed));
    const char *cpus = options->value[FFL_OPT_CPUS];
    if (cpus && strlen(cpus) >= sizeof out->cpus)
        return ffl_fail(FFL_BAD_INPUT, "--cpus %s: longer than %zu characters", cpus, sizeof out->cpus - 1);
    if (cpus) {
        FFL_TRY(ffl_pin_check(cpus));
        strcpy(out->cpus, cpus);
    }
    return extra_words(options, out->words, sizeof out->words);
}

/* Routing outside batch, cache innermost: neighbours share as much as possible of what a worker prepares. */
static ffl_status add_groups(const ffl_options *options, const ffl_flags *flags, const axes *a,
                             ffl_group head, ffl_group_list *out)
{
    const size_t inner = a->batches.count * a->threads.count * FFL_TYPE_COUNT * FFL_CACHE_STATES * PLACES;
    for (size_t i = 0; i < a->shapes.count * a->routings.count * inner; i++) {
        size_t rest = i;
        ffl_group group = head;
        group.cache = (ffl_cache_state)(rest % FFL_CACHE_STATES);
        rest /= FFL_CACHE_STATES;
        const size_t thread = rest % a->threads.count;
        rest /= a->threads.count;
        group.batch = a->batches.value[rest % a->batches.count];
        rest /= a->batches.count;
        strcpy(group.routing, a->routings.value[rest % a->routings.count]);
        rest /= a->routings.count;
        group.place = rest % PLACES == 0 ? FFL_HOST : FFL_CUDA;
        group.programs = rest % PLACES == 2;
        rest /= PLACES;
        group.clazz = (ffl_type)(rest % FFL_TYPE_COUNT);
        const ffl_shape_case *shapes = &a->shapes.value[rest / FFL_TYPE_COUNT];
        /* One thread of the host drives the device, whatever --threads asks of host variants. */
        if (group.place == FFL_CUDA && thread > 0)
            continue;
        if (group.programs && group.cache != FFL_HOT)
            continue; /* nobody here reaches the caches of a device that a program drives */
        group.threads = group.place == FFL_CUDA ? 1 : (int)a->threads.value[thread];
        group.tree = shapes->tree;
        if (group.threads == 1 && !*group.cpus)
            ffl_pin_first(group.cpus, sizeof group.cpus);
        if (a->states[group.cache] && a->classes[group.clazz])
            FFL_TRY(add_group(out, &group, options, flags, shapes));
    }
    return FFL_OK;
}

ffl_status ffl_groups_from_options(const ffl_options *options, const ffl_flags *flags, ffl_group_list *out)
{
    *out = (ffl_group_list){0};
    size_t part, parts, kept = 0;
    ffl_group head;
    axes *a = malloc(sizeof *a);
    ffl_status status = a ? ffl_option_shard(options, &part, &parts) : ffl_fail(FFL_NO_MEMORY, "no memory");
    if (status == FFL_OK)
        status = read_head(options, flags, &head);
    if (status == FFL_OK)
        status = read_axes(options, a);
    if (status == FFL_OK)
        status = add_groups(options, flags, a, head, out);
    free(a);
    if (status != FFL_OK) {
        ffl_groups_free(out);
        return status;
    }
    for (size_t g = 0; g < out->count; g++) {
        if (g % parts == part - 1)
            out->value[kept++] = out->value[g];
        else
            ffl_group_free(&out->value[g]);
    }
    out->count = kept;
    return FFL_OK;
}

bool ffl_group_on_device(const ffl_group *group)
{
    return group->place == FFL_CUDA && !group->programs;
}

void ffl_group_free(ffl_group *group)
{
    free(group->rows);
    group->rows = NULL;
    group->row_count = 0;
}

void ffl_groups_free(ffl_group_list *groups)
{
    for (size_t g = 0; g < groups->count; g++)
        ffl_group_free(&groups->value[g]);
    free(groups->value);
    *groups = (ffl_group_list){0};
}
