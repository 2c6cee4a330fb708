/* What a group and its rows are called, and the part of a record that is known before anything ran. */
#include "harness/bench/groups.h"
#include "harness/registry.h"
#include "harness/variant_record.h"
#include "harness/workload/shapes.h"
#include "kernels/device.h"
#include <stdio.h>
#include <string.h>

static size_t depth_of(const ffl_layer *tree)
{
    return tree->levels - 1;
}

static void group_name(const ffl_group *g, char *out, size_t size)
{
    const ffl_layer *tree = &g->tree;
    snprintf(out, size, "%zux%zu/width:%zu:%zu/%s/batch:%zu/%s/%s/%s/threads:%d/seed:%llu%s%s", tree->trees,
             depth_of(tree), tree->width_in, tree->width_out, ffl_activation_names[tree->activation],
             g->batch, g->routing, ffl_cache_state_names[g->cache], ffl_type_name(g->clazz), g->threads,
             (unsigned long long)g->seed, g->place == FFL_CUDA ? "/cuda" : "", g->full ? "/full" : "");
}

/* "leaf" or "moe": the option without its dashes. */
static const char *peer_word(const ffl_layer *shape)
{
    return ffl_option_name(ffl_shape_option(shape->operation)) + 2;
}

void ffl_group_row_name(const ffl_group *group, const ffl_group_row *row, char *out, size_t size)
{
    char name[512];
    group_name(group, name, sizeof name);
    if (ffl_operation_has_experts(row->shape.operation)) {
        char shape[48];
        ffl_shape_name(&row->shape, shape, sizeof shape);
        snprintf(out, size, "%s/%s:%s/%s", row->variant->name, peer_word(&row->shape), shape, name);
    } else {
        snprintf(out, size, "%s/neurons:%zu/%s", row->variant->name, row->shape.neurons, name);
    }
}

static void fill_case(const ffl_group *g, const ffl_layer *shape, ffl_record *out)
{
    ffl_shape_record(shape, out);
    snprintf(out->routing, sizeof out->routing, "%s", g->routing);
    snprintf(out->cache, sizeof out->cache, "%s", ffl_cache_state_names[g->cache]);
    snprintf(out->cpus, sizeof out->cpus, "%s", g->cpus);
    out->batch = (int64_t)g->batch;
    out->threads = g->threads;
    out->seed = g->seed;
}

void ffl_group_record(const ffl_group *g, const ffl_group_row *row, ffl_record *out)
{
    ffl_record_init(out);
    strcpy(out->kind, "bench");
    ffl_variant_record(row->variant, out);
    out->emulated = ffl_group_on_device(g) && ffl_device_emulated();
    fill_case(g, &row->shape, out);
    const ffl_layer *tree = &g->tree;
    group_name(g, out->group, sizeof out->group);
    ffl_group_row_name(g, row, out->key, sizeof out->key);
    char shape[48], size[80] = "";
    ffl_shape_name(&row->shape, shape, sizeof shape);
    if (row->shape.operation != FFL_FFF)
        snprintf(size, sizeof size, " %s %s", ffl_option_name(ffl_shape_option(row->shape.operation)), shape);
    snprintf(out->command, sizeof out->command,
             "./fflab bench -v %s --tree %zux%zu%s --width %zu --width-out %zu --activation %s --batch %zu "
             "--routing %s --cache %s --threads %d --seed %llu%s",
             row->variant->name, tree->trees, depth_of(tree), size, tree->width_in, tree->width_out,
             ffl_activation_names[tree->activation], g->batch, g->routing, ffl_cache_state_names[g->cache],
             g->threads, (unsigned long long)g->seed, g->words);
}
