#include "harness/check/admissible.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <math.h>
#include <string.h>

/* Beyond this many a row is not decided; the changes of 1024 alternatives of width 768 take 25 MB. */
enum { ALTERNATIVES_MAX = 1024 };

static double logit(const ffl_walk *walk, size_t neuron)
{
    const ffl_layer *l = walk->layer;
    return ffl_reference_dot(walk->input.x, l->w_in + neuron * l->width_in, l->width_in) +
           (double)l->b_in[neuron];
}

/* The node at `level` of a path that may have left the reference path by then. */
static ffl_node node_at(const ffl_walk *walk, size_t tree, size_t level, size_t node)
{
    const size_t visited = tree * walk->layer->levels + level, neuron = tree * walk->layer->nodes + node;
    if (walk->nodes[visited].neuron == neuron)
        return walk->nodes[visited];
    return ffl_node_new(walk->arithmetic, &walk->input, neuron, logit(walk, neuron));
}

void ffl_path_reversed(const ffl_walk *walk, size_t tree, unsigned reversed, int32_t *path)
{
    size_t node = 0;
    for (size_t level = 0; level < walk->layer->levels; level++) {
        path[level] = (int32_t)node;
        const bool right = node_at(walk, tree, level, node).z > 0;
        node = 2 * node + 1 + (right != (bool)((reversed >> level) & 1));
    }
}

static ffl_status grow(ffl_alternatives *list)
{
    if (list->count < list->capacity)
        return FFL_OK;
    const size_t capacity = list->capacity ? 2 * list->capacity : 4;
    ffl_alternative *item = ffl_alloc_array(capacity, sizeof *item);
    if (!item)
        return FFL_NO_MEMORY;
    if (list->count)
        memcpy(item, list->item, list->count * sizeof *item);
    ffl_free(list->item);
    list->item = item;
    list->capacity = capacity;
    return FFL_OK;
}

/* Notes that the path takes the other branch at this node than its logit says. */
static void deviate(const ffl_arithmetic *arithmetic, const ffl_node *node, ffl_alternative *a)
{
    const ffl_openness openness = ffl_node_open(arithmetic, node, false)  ? FFL_OPEN_STATISTICAL
                                  : ffl_node_open(arithmetic, node, true) ? FFL_OPEN_WORST
                                                                          : FFL_CLOSED;
    const double margin = node->statistical > 0 ? fabs(node->z) / node->statistical : INFINITY;
    if (openness > a->openness)
        a->openness = openness;
    if (!(margin <= a->margin)) {
        a->margin = margin;
        a->deviant = *node;
    }
}

ffl_status ffl_alternatives_add(const ffl_walk *walk, size_t tree, const int32_t *path, ffl_alternatives *out)
{
    const ffl_layer *l = walk->layer;
    const int32_t *reference = walk->path + tree * l->levels;
    size_t shared = 0;
    while (shared < l->levels && path[shared] == reference[shared])
        shared++;
    if (shared == l->levels)
        return FFL_OK;
    if (shared == 0)
        return ffl_fail(FFL_BAD_INPUT, "tree %zu: the path starts at node %d, not at the root", tree,
                        (int)path[0]);
    FFL_TRY(grow(out));
    ffl_alternative *a = &out->item[out->count];
    *a = (ffl_alternative){.tree = tree, .level = shared - 1, .margin = -1};
    for (size_t level = 0; level < l->levels; level++) {
        const size_t node = (size_t)path[level];
        a->nodes[level] = node_at(walk, tree, level, node);
        out->unbounded |= a->nodes[level].overflows;
        if (level + 1 == l->levels)
            break;
        if (path[level + 1] < 0 ||
            ((size_t)path[level + 1] != 2 * node + 1 && (size_t)path[level + 1] != 2 * node + 2))
            return ffl_fail(FFL_BAD_INPUT, "tree %zu: node %d is no child of node %zu", tree,
                            (int)path[level + 1], node);
        const bool right = (size_t)path[level + 1] == 2 * node + 2;
        if (right != (a->nodes[level].z > 0))
            deviate(walk->arithmetic, &a->nodes[level], a);
    }
    out->count++;
    return FFL_OK;
}

typedef struct search {
    const ffl_walk *walk;
    size_t tree;
    bool worst;
    int32_t path[FFL_LEVELS_MAX];
    ffl_alternatives *out;
} search;

static ffl_status descend(search *s, size_t level, size_t node)
{
    s->path[level] = (int32_t)node;
    if (s->out->too_many)
        return FFL_OK;
    if (level + 1 == s->walk->layer->levels) {
        s->out->too_many = s->out->count == ALTERNATIVES_MAX;
        return s->out->too_many ? FFL_OK : ffl_alternatives_add(s->walk, s->tree, s->path, s->out);
    }
    const ffl_node here = node_at(s->walk, s->tree, level, node);
    const bool right = here.z > 0;
    FFL_TRY(descend(s, level + 1, 2 * node + 1 + right));
    return ffl_node_open(s->walk->arithmetic, &here, s->worst) ? descend(s, level + 1, 2 * node + 1 + !right)
                                                               : FFL_OK;
}

ffl_status ffl_alternatives_find(ffl_walk *walk, bool worst, ffl_alternatives *out)
{
    *out = (ffl_alternatives){0};
    ffl_status status = FFL_OK;
    for (size_t tree = 0; tree < walk->layer->trees && status == FFL_OK; tree++) {
        search s = {.walk = walk, .tree = tree, .worst = worst, .out = out};
        status = descend(&s, 0, 0);
    }
    if (status == FFL_OK)
        status = ffl_alternatives_measure(walk, out);
    if (status != FFL_OK)
        ffl_alternatives_free(out);
    return status;
}

ffl_status ffl_alternatives_measure(ffl_walk *walk, ffl_alternatives *alternatives)
{
    const ffl_layer *l = walk->layer;
    double peak = walk->hidden_peak;
    for (size_t i = 0; i < alternatives->count; i++)
        for (size_t level = 0; level < l->levels; level++)
            peak = fmax(peak, ffl_node_hidden(walk->arithmetic, &alternatives->item[i].nodes[level]));
    if (walk->arithmetic->hidden_codes > 0 && peak > walk->hidden_peak)
        ffl_walk_sum(walk, peak);
    for (size_t i = 0; i < alternatives->count; i++) {
        ffl_alternative *a = &alternatives->item[i];
        FFL_TRY(ffl_sums_new(walk->arithmetic, true, &a->change));
        for (size_t level = a->level + 1; level < l->levels; level++) {
            ffl_sums_add(walk->arithmetic, &a->nodes[level], walk->hidden_peak, 1, &a->change);
            ffl_sums_add(walk->arithmetic, &walk->nodes[a->tree * l->levels + level], walk->hidden_peak, -1,
                         &a->change);
        }
    }
    return FFL_OK;
}

void ffl_alternatives_free(ffl_alternatives *alternatives)
{
    for (size_t i = 0; i < alternatives->count; i++)
        ffl_sums_free(&alternatives->item[i].change);
    ffl_free(alternatives->item);
    *alternatives = (ffl_alternatives){0};
}
