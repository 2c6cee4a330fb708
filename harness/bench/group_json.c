/* A group on its way to a worker and back. */
#include "harness/bench/groups.h"
#include "harness/registry.h"
#include <stdlib.h>
#include <string.h>

static json_t *row_to_json(const ffl_group_row *row)
{
    const ffl_layer *l = &row->shape;
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:b}", "variant", row->variant->name, "neurons",
                     (json_int_t)l->neurons, "decisions", (json_int_t)l->levels, "expert_width",
                     (json_int_t)l->expert_width, "chosen", (json_int_t)l->chosen, "left_out", row->left_out);
}

json_t *ffl_group_to_json(const ffl_group *g)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < g->row_count; i++)
        json_array_append_new(rows, row_to_json(&g->rows[i]));
    /* The seed has 64 bits, a JSON integer 63 and a sign: the cast goes there and back. */
    return json_pack("{s:I, s:I, s:I, s:I, s:i, s:I, s:s, s:i, s:i, s:i, s:I, s:b, s:s, s:f, s:f, s:I, s:b, "
                     "s:f, s:s, s:i, s:b, s:o}",
                     "trees", (json_int_t)g->tree.trees, "levels", (json_int_t)g->tree.levels, "width_in",
                     (json_int_t)g->tree.width_in, "width_out", (json_int_t)g->tree.width_out, "activation",
                     (int)g->tree.activation, "batch", (json_int_t)g->batch, "routing", g->routing, "cache",
                     (int)g->cache, "class", (int)g->clazz, "threads", g->threads, "seed",
                     (json_int_t)g->seed, "full", g->full, "cpus", g->cpus, "row_seconds", g->row_seconds,
                     "min_time", g->min_time, "repetitions", (json_int_t)g->repetitions, "interleave",
                     g->interleave, "prune", g->prune, "words", g->words, "place", (int)g->place, "programs",
                     g->programs, "rows", rows);
}

static ffl_status row_from_json(const json_t *json, const ffl_layer *tree, ffl_group_row *out)
{
    const char *name;
    json_int_t neurons, decisions, width, chosen;
    int left_out;
    if (json_unpack((json_t *)json, "{s:s, s:I, s:I, s:I, s:I, s:b}", "variant", &name, "neurons", &neurons,
                    "decisions", &decisions, "expert_width", &width, "chosen", &chosen, "left_out",
                    &left_out) != 0)
        return ffl_fail(FFL_INTERNAL, "a row that a worker cannot read");
    *out = (ffl_group_row){.variant = ffl_registry_find(name), .left_out = left_out};
    if (!out->variant)
        return ffl_fail(FFL_INTERNAL, "a worker knows no variant '%s'", name);
    if (out->variant->operation == FFL_FFF) {
        out->shape = *tree;
        return FFL_OK;
    }
    const size_t in = tree->width_in, to = tree->width_out, experts = width ? (size_t)(neurons / width) : 0;
    if (out->variant->operation == FFL_FFF_LEAF)
        FFL_TRY(ffl_layer_leaf(in, to, (size_t)decisions, (size_t)width, &out->shape));
    else if (out->variant->operation == FFL_MOE)
        FFL_TRY(ffl_layer_moe(in, to, experts, (size_t)width, (size_t)chosen, &out->shape));
    else
        FFL_TRY(ffl_layer_ff(in, to, (size_t)neurons, &out->shape));
    out->shape.activation = tree->activation;
    return FFL_OK;
}

ffl_status ffl_group_from_json(const json_t *json, ffl_group *out)
{
    json_int_t trees, levels, width_in, width_out, batch, seed, repetitions;
    int activation, cache, class, full, interleave, place, programs;
    const char *routing, *cpus, *words;
    json_t *rows;
    *out = (ffl_group){0};
    if (json_unpack((json_t *)json,
                    "{s:I, s:I, s:I, s:I, s:i, s:I, s:s, s:i, s:i, s:i, s:I, s:b, s:s, s:F, s:F, s:I, s:b, "
                    "s:F, s:s, s:i, s:b, s:o}",
                    "trees", &trees, "levels", &levels, "width_in", &width_in, "width_out", &width_out,
                    "activation", &activation, "batch", &batch, "routing", &routing, "cache", &cache, "class",
                    &class, "threads", &out->threads, "seed", &seed, "full", &full, "cpus", &cpus,
                    "row_seconds", &out->row_seconds, "min_time", &out->min_time, "repetitions", &repetitions,
                    "interleave", &interleave, "prune", &out->prune, "words", &words, "place", &place,
                    "programs", &programs, "rows", &rows) != 0 ||
        strlen(routing) >= sizeof out->routing || strlen(cpus) >= sizeof out->cpus ||
        strlen(words) >= sizeof out->words)
        return ffl_fail(FFL_INTERNAL, "a group that a worker cannot read");
    FFL_TRY(ffl_layer_fff((size_t)width_in, (size_t)width_out, (size_t)trees, (size_t)levels, &out->tree));
    out->tree.activation = (ffl_activation)activation;
    out->batch = (size_t)batch;
    strcpy(out->routing, routing);
    strcpy(out->cpus, cpus);
    strcpy(out->words, words);
    out->cache = (ffl_cache_state)cache;
    out->clazz = (ffl_type) class;
    out->place = (ffl_place)place;
    out->programs = programs;
    out->seed = (uint64_t)seed;
    out->full = full;
    out->repetitions = (size_t)repetitions;
    out->interleave = interleave;
    out->rows = calloc(json_array_size(rows) + 1, sizeof *out->rows);
    if (!out->rows)
        return ffl_fail(FFL_NO_MEMORY, "no memory for the rows of a group");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const ffl_status status = row_from_json(json_array_get(rows, i), &out->tree, &out->rows[i]);
        if (status != FFL_OK) {
            ffl_group_free(out);
            return status;
        }
        out->row_count++;
    }
    return FFL_OK;
}
