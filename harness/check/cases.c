#include "harness/check/cases.h"
#include "harness/check/fixtures.h"
#include "harness/files/layer_file.h"
#include "harness/workload/shapes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 1024, BATCH_MAX = 1 << 20 };

ffl_status ffl_cases_add(ffl_case_list *list, const ffl_check_case *item)
{
    if (list->count == list->capacity) {
        const size_t capacity = 2 * list->capacity + 64;
        ffl_check_case *grown = realloc(list->items, capacity * sizeof *grown);
        if (!grown)
            return ffl_fail(FFL_NO_MEMORY, "no memory for %zu cases", capacity);
        list->items = grown;
        list->capacity = capacity;
    }
    list->items[list->count++] = *item;
    return FFL_OK;
}

ffl_status ffl_case_shape(ffl_operation operation, const size_t *size, size_t width_in, size_t width_out,
                          ffl_layer *out)
{
    switch (operation) {
    case FFL_FF:
        return ffl_layer_ff(width_in, width_out, size[0], out);
    case FFL_FFF:
        return ffl_layer_fff(width_in, width_out, size[0], ffl_levels_from_depth(size[1]), out);
    case FFL_FFF_LEAF:
        return ffl_layer_leaf(width_in, width_out, size[0], size[1], out);
    default:
        return ffl_layer_moe(width_in, width_out, size[0], size[1], size[2], out);
    }
}

void ffl_cases_free(ffl_case_list *list)
{
    free(list->items);
    *list = (ffl_case_list){0};
}

static bool is_real(const char *fixture)
{
    return strncmp(fixture, "real:", 5) == 0;
}

/* ---- From the command line ---- */

typedef struct wanted {
    ffl_word_list fixtures;
    ffl_size_list batches, threads;
    uint64_t seed;
    bool shapes_given;
    ffl_shape_list shapes;
    ffl_tree_list real_trees; /* one entry of zeros: as the file says */
} wanted;

static ffl_status refuse_for_files(const ffl_options *options, const char *fixture)
{
    static const ffl_option own[] = {FFL_OPT_PRESET, FFL_OPT_NEURONS, FFL_OPT_WIDTH, FFL_OPT_WIDTH_OUT};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (ffl_option_given(options, own[i]))
            return ffl_fail(FFL_BAD_INPUT, "%s %s: the shape of --fixture %s comes from the file",
                            ffl_option_name(own[i]), options->value[own[i]], fixture);
    return FFL_OK;
}

static ffl_status read_wanted(const ffl_options *options, wanted *out)
{
    static const ffl_option shape_options[] = {FFL_OPT_PRESET,    FFL_OPT_TREE,  FFL_OPT_NEURONS,
                                               FFL_OPT_LEAF,      FFL_OPT_MOE,   FFL_OPT_WIDTH,
                                               FFL_OPT_WIDTH_OUT, FFL_OPT_BATCH, FFL_OPT_ACTIVATION};
    char all[256] = "";
    for (size_t i = 0; ffl_fixture_names[i]; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? "," : "", ffl_fixture_names[i]);
    *out = (wanted){0};
    for (size_t i = 0; i < sizeof shape_options / sizeof *shape_options; i++)
        out->shapes_given |= ffl_option_given(options, shape_options[i]);
    FFL_TRY(ffl_option_words(options, FFL_OPT_FIXTURE, all, &out->fixtures));
    for (size_t i = 0; i < out->fixtures.count; i++) {
        const char *name = out->fixtures.value[i];
        FFL_TRY(ffl_fixture_check_name(name));
        if (strlen(name) >= sizeof((ffl_check_case *)0)->fixture)
            return ffl_fail(FFL_BAD_INPUT, "--fixture %s: the name is too long", name);
        if (is_real(name))
            FFL_TRY(refuse_for_files(options, name));
    }
    FFL_TRY(ffl_option_size_list(options, FFL_OPT_BATCH, 1, BATCH_MAX, "1,17", &out->batches));
    FFL_TRY(ffl_option_size_list(options, FFL_OPT_THREADS, 1, THREADS_MAX, "1", &out->threads));
    FFL_TRY(ffl_option_seed(options, 1, &out->seed));
    FFL_TRY(ffl_shapes_from_options(options, &out->shapes));
    out->real_trees.count = 1;
    return ffl_option_given(options, FFL_OPT_TREE) ? ffl_option_trees(options, "", &out->real_trees) : FFL_OK;
}

/* One case per number of threads. */
static ffl_status add_threads(const wanted *w, ffl_check_case item, ffl_case_list *list)
{
    for (size_t i = 0; i < w->threads.count; i++) {
        item.threads = (int)w->threads.value[i];
        FFL_TRY(ffl_cases_add(list, &item));
    }
    return FFL_OK;
}

static ffl_status add_shape(const wanted *w, const char *fixture, const ffl_layer *shape, ffl_case_list *list)
{
    ffl_check_case item = {.shape = *shape, .seed = w->seed};
    snprintf(item.fixture, sizeof item.fixture, "%s", fixture);
    for (size_t b = 0; b < w->batches.count; b++) {
        item.batch = w->batches.value[b];
        FFL_TRY(add_threads(w, item, list));
    }
    return FFL_OK;
}

/* Reads the file once to learn its shape and how many inputs it has. */
static ffl_status add_file(const ffl_options *options, const wanted *w, const char *fixture,
                           ffl_operation operation, ffl_case_list *list)
{
    const size_t trees = operation == FFL_FFF ? w->real_trees.count : 1;
    const bool has_experts = ffl_operation_has_experts(operation);
    const char *path = fixture + strlen("real:");
    ffl_layer_request experts = {.operation = operation};
    ffl_operation named;
    bool known;
    FFL_TRY(ffl_layer_file_experts(path, &named, &known));
    if (has_experts)
        FFL_TRY(ffl_layer_request_read(options, operation, &experts));
    /* Another operation's file is no mistake: variants of several may be selected. */
    if ((known && named != operation) || (has_experts && !known && !experts.expert_width))
        return FFL_OK;
    for (size_t i = 0; i < trees; i++) {
        ffl_fixture file;
        ffl_fixture_request request = {.name = fixture, .seed = w->seed};
        request.shape.operation = operation;
        request.shape.activation = w->shapes.value[0].tree.activation;
        if (operation == FFL_FFF) {
            request.shape.trees = w->real_trees.value[i].trees;
            request.shape.levels = w->real_trees.value[i].levels;
        }
        if (has_experts) {
            request.shape.levels = experts.levels;
            request.shape.experts = experts.experts;
            request.shape.expert_width = experts.expert_width;
            request.shape.chosen = experts.chosen;
        }
        FFL_TRY(ffl_fixture_make(&request, &file));
        ffl_check_case item = {.batch = file.tokens, .shape = file.weights.layer, .seed = w->seed};
        item.shape.w_in = item.shape.b_in = item.shape.w_out = item.shape.b_out = NULL;
        item.shape.w_gate = item.shape.b_gate = NULL;
        ffl_fixture_free(&file);
        snprintf(item.fixture, sizeof item.fixture, "%s", fixture);
        if (ffl_option_given(options, FFL_OPT_BATCH))
            FFL_TRY(add_shape(w, fixture, &item.shape, list));
        else
            FFL_TRY(add_threads(w, item, list));
    }
    return FFL_OK;
}

static ffl_status add_product(const wanted *w, const char *fixture, ffl_operation operation,
                              ffl_case_list *list)
{
    for (size_t s = 0; s < w->shapes.count; s++) {
        const ffl_shape_case *shape = &w->shapes.value[s];
        if (operation == FFL_FFF)
            FFL_TRY(add_shape(w, fixture, &shape->tree, list));
        for (size_t d = 0; operation == FFL_FF && d < shape->dense_count; d++)
            FFL_TRY(add_shape(w, fixture, &shape->dense[d], list));
        /* Peers do not depend on the tree: once is enough. */
        for (size_t p = 0; s == 0 && p < shape->peer_count; p++)
            if (shape->peers[p].operation == operation)
                FFL_TRY(add_shape(w, fixture, &shape->peers[p], list));
    }
    return FFL_OK;
}

/* The cases of the default design that have one of the wanted fixtures. */
static ffl_status add_from_design(const ffl_options *options, const wanted *w, ffl_operation operation,
                                  ffl_case_list *list)
{
    ffl_case_list design = {0};
    ffl_status status = ffl_cases_default(operation, w->seed, &design);
    /* A run that is resumed or repeated by its seed knows its cases. */
    if (status == FFL_OK && !ffl_option_given(options, FFL_OPT_SEED) &&
        !ffl_option_given(options, FFL_OPT_RESUME))
        status = ffl_cases_fresh(operation, &design);
    for (size_t i = 0; i < design.count && status == FFL_OK; i++)
        for (size_t f = 0; f < w->fixtures.count && status == FFL_OK; f++)
            if (strcmp(design.items[i].fixture, w->fixtures.value[f]) == 0)
                status = ffl_option_given(options, FFL_OPT_THREADS) ? add_threads(w, design.items[i], list)
                                                                    : ffl_cases_add(list, &design.items[i]);
    ffl_cases_free(&design);
    return status;
}

ffl_status ffl_cases_from_options(const ffl_options *options, ffl_operation operation, ffl_case_list *list)
{
    wanted w;
    const char *why;
    if (ffl_option_given(options, FFL_OPT_INVARIANCE) || ffl_option_given(options, FFL_OPT_PROPERTIES))
        return ffl_cases_of_ways(options, operation, list);
    FFL_TRY(read_wanted(options, &w));
    for (size_t f = 0; f < w.fixtures.count; f++) {
        const char *fixture = w.fixtures.value[f];
        if (is_real(fixture))
            FFL_TRY(add_file(options, &w, fixture, operation, list));
        else if (w.shapes_given && ffl_fixture_fits(fixture, operation, &why))
            FFL_TRY(add_product(&w, fixture, operation, list));
    }
    return w.shapes_given ? FFL_OK : add_from_design(options, &w, operation, list);
}

/* ---- As words and as JSON ---- */

void ffl_case_words(const ffl_check_case *item, int threads, char *out, size_t size)
{
    const ffl_layer *s = &item->shape;
    char shape[64], widths[64] = "";
    ffl_shape_name(s, shape, sizeof shape);
    if (!is_real(item->fixture))
        snprintf(widths, sizeof widths, " --width %zu --width-out %zu", s->width_in, s->width_out);
    snprintf(out, size, ffl_case_of_ways(item) ? "--%s" : "--fixture %s", item->fixture);
    if (s->operation != FFL_FF || !is_real(item->fixture))
        snprintf(out + strlen(out), size - strlen(out), " %s %s",
                 ffl_option_name(ffl_shape_option(s->operation)), shape);
    snprintf(out + strlen(out), size - strlen(out), "%s --batch %zu --activation %s --threads %d --seed %llu",
             widths, item->batch, ffl_activation_names[s->activation], threads,
             (unsigned long long)item->seed);
}

/* The inverse of ffl_case_shape. */
static void sizes_of(const ffl_layer *s, json_int_t *size)
{
    const bool mixture = s->operation == FFL_MOE, tree = s->operation == FFL_FFF;
    size[0] = (json_int_t)(mixture                        ? s->experts
                           : tree                         ? s->trees
                           : s->operation == FFL_FFF_LEAF ? s->levels
                                                          : s->neurons);
    size[1] = (json_int_t)(tree ? s->levels - 1 : s->expert_width);
    size[2] = (json_int_t)s->chosen;
}

json_t *ffl_case_to_json(const ffl_check_case *item)
{
    const ffl_layer *s = &item->shape;
    char seed[24];
    snprintf(seed, sizeof seed, "%llu",
             (unsigned long long)item->seed); /* 64 bits do not fit a JSON integer */
    json_int_t size[FFL_CASE_SIZES];
    sizes_of(s, size);
    return json_pack("{s:s, s:i, s:i, s:I, s:I, s:[I, I, I], s:I, s:i, s:s}", "fixture", item->fixture,
                     "operation", (int)s->operation, "activation", (int)s->activation, "width_in",
                     (json_int_t)s->width_in, "width_out", (json_int_t)s->width_out, "size", size[0], size[1],
                     size[2], "batch", (json_int_t)item->batch, "threads", item->threads, "seed", seed);
}

ffl_status ffl_case_from_json(const json_t *json, ffl_check_case *item)
{
    const char *fixture, *seed;
    int operation, activation, threads;
    json_int_t width_in, width_out, batch, a, b, c;
    if (json_unpack((json_t *)json, "{s:s, s:i, s:i, s:I, s:I, s:[I, I, I], s:I, s:i, s:s}", "fixture",
                    &fixture, "operation", &operation, "activation", &activation, "width_in", &width_in,
                    "width_out", &width_out, "size", &a, &b, &c, "batch", &batch, "threads", &threads, "seed",
                    &seed) != 0)
        return ffl_fail(FFL_INTERNAL, "a case that cannot be read");
    *item = (ffl_check_case){.batch = (size_t)batch, .threads = threads, .seed = strtoull(seed, NULL, 10)};
    snprintf(item->fixture, sizeof item->fixture, "%s", fixture);
    const size_t size[FFL_CASE_SIZES] = {(size_t)a, (size_t)b, (size_t)c};
    FFL_TRY(
        ffl_case_shape((ffl_operation)operation, size, (size_t)width_in, (size_t)width_out, &item->shape));
    item->shape.activation = (ffl_activation)activation;
    return FFL_OK;
}
