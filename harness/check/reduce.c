#include "harness/check/reduce.h"
#include "kernels/memory.h"
#include <string.h>

/* Indices that are kept along one dimension. */
typedef struct kept {
    size_t *at, count;
} kept;

/* Of what a capsule is copied from: shape, and which rows, columns, neurons, gates and experts. */
typedef struct cut {
    ffl_layer shape;
    kept rows, in, out, neurons, gates, experts;
} cut;

static ffl_status keep_all(size_t total, kept *out)
{
    out->count = total;
    out->at = ffl_alloc_array(total, sizeof *out->at);
    for (size_t i = 0; out->at && i < total; i++)
        out->at[i] = i;
    return out->at ? FFL_OK : FFL_NO_MEMORY;
}

static void drop(kept *k, size_t begin, size_t count)
{
    memmove(k->at + begin, k->at + begin + count, (k->count - begin - count) * sizeof *k->at);
    k->count -= count;
}

static void cut_free(cut *c)
{
    ffl_free(c->rows.at);
    ffl_free(c->in.at);
    ffl_free(c->out.at);
    ffl_free(c->neurons.at);
    ffl_free(c->gates.at);
    ffl_free(c->experts.at);
}

static ffl_status cut_nothing(const ffl_capsule *from, cut *c)
{
    const ffl_layer *l = &from->fixture.weights.layer;
    *c = (cut){.shape = *l};
    ffl_status status = keep_all(from->fixture.tokens, &c->rows);
    if (status == FFL_OK)
        status = keep_all(l->width_in, &c->in);
    if (status == FFL_OK)
        status = keep_all(l->width_out, &c->out);
    if (status == FFL_OK)
        status = keep_all(l->neurons, &c->neurons);
    if (status == FFL_OK)
        status = keep_all(l->gates, &c->gates);
    if (status == FFL_OK) /* rows of the output bias */
        status = keep_all(l->experts ? l->experts : 1, &c->experts);
    if (status != FFL_OK)
        cut_free(c);
    return status;
}

/* A node of the subtree of the root's child `side` (0 left, 1 right), as a node of the whole tree. */
static size_t in_subtree(size_t node, size_t side)
{
    size_t first = 0; /* of the node's level */
    while (2 * first + 1 <= node)
        first = 2 * first + 1;
    const size_t width = first + 1; /* nodes of the level */
    return 2 * first + 1 + side * width + (node - first);
}

/* Trees of fewer levels: the first ones (side < 0), or those of a subtree. */
static void cut_levels(const ffl_layer *l, size_t levels, int side, cut *c)
{
    const size_t nodes = ((size_t)1 << levels) - 1;
    for (size_t tree = 0; tree < l->trees; tree++)
        for (size_t node = 0; node < nodes; node++)
            c->neurons.at[tree * nodes + node] =
                tree * l->nodes + (side < 0 ? node : in_subtree(node, (size_t)side));
    c->neurons.count = l->trees * nodes;
    c->shape.levels = levels;
    c->shape.nodes = nodes;
}

/* All neurons of the experts that are kept. */
static void keep_experts(const ffl_layer *l, cut *c)
{
    size_t count = 0;
    for (size_t e = 0; e < c->experts.count; e++)
        for (size_t k = 0; k < l->expert_width; k++)
            c->neurons.at[count++] = c->experts.at[e] * l->expert_width + k;
    c->neurons.count = count;
    c->shape.experts = c->experts.count;
}

/* A leaf tree of fewer levels, with the first leaf of each subtree that goes; or a subtree with its leaves.
 */
static void cut_leaves(const ffl_layer *l, size_t levels, int side, cut *c)
{
    const size_t gates = ((size_t)1 << levels) - 1, leaves = gates + 1;
    for (size_t node = 0; node < gates; node++)
        c->gates.at[node] = side < 0 ? node : in_subtree(node, (size_t)side);
    for (size_t leaf = 0; leaf < leaves; leaf++)
        c->experts.at[leaf] = side < 0 ? leaf << (l->levels - levels) : leaf + (size_t)side * leaves;
    c->gates.count = c->shape.gates = c->shape.nodes = gates;
    c->experts.count = leaves;
    c->shape.levels = levels;
    keep_experts(l, c);
}

/* The parts of an axis that leaf FFF and MoE have and others have not, or otherwise. */
static bool cut_experts(const ffl_layer *l, ffl_axis axis, size_t begin, size_t count, cut *c)
{
    if (axis == FFL_AXIS_CHOSEN) { /* fewer of them: the last ones go */
        c->shape.chosen -= count;
        return begin > 0 && begin + count == l->chosen;
    }
    if (axis == FFL_AXIS_TREES) {
        drop(&c->gates, begin, count);
        drop(&c->experts, begin, count);
        c->shape.gates = c->gates.count;
        keep_experts(l, c);
        return c->experts.count >= l->chosen;
    }
    for (size_t e = c->experts.count; e-- > 0;) /* FFL_AXIS_EXPERT_WIDTH */
        drop(&c->neurons, e * l->expert_width + begin, count);
    c->shape.expert_width -= count;
    return c->shape.expert_width > 0;
}

size_t ffl_axis_size(const ffl_capsule *capsule, ffl_axis axis)
{
    const ffl_layer *l = &capsule->fixture.weights.layer;
    const bool tree = l->operation == FFL_FFF, leaves = l->operation == FFL_FFF_LEAF;
    const bool mixture = l->operation == FFL_MOE;
    switch (axis) {
    case FFL_AXIS_ROWS:
        return capsule->fixture.tokens;
    case FFL_AXIS_WIDTH_IN:
        return l->width_in;
    case FFL_AXIS_WIDTH_OUT:
        return l->width_out;
    case FFL_AXIS_LEVELS:
        return tree || leaves ? l->levels : 0;
    case FFL_AXIS_ROOTS:
        return (tree && l->levels > 1) || (leaves && l->levels > 0) ? 2 : 0;
    case FFL_AXIS_CHOSEN:
        return mixture ? l->chosen : 0;
    case FFL_AXIS_TREES:
        return tree ? l->trees : mixture ? l->experts : leaves ? 0 : l->neurons;
    case FFL_AXIS_EXPERT_WIDTH:
        return l->expert_width;
    case FFL_AXIS_CALL:
        return 3;
    case FFL_AXIS_X:
        return capsule->fixture.tokens * l->width_in;
    case FFL_AXIS_W_IN:
        return l->neurons * l->width_in;
    case FFL_AXIS_B_IN:
        return l->neurons;
    case FFL_AXIS_W_OUT:
        return l->neurons * l->width_out;
    case FFL_AXIS_B_OUT:
        return l->b_out ? ffl_layer_output_biases(l) : 0;
    case FFL_AXIS_W_GATE:
        return l->gates * l->width_in;
    case FFL_AXIS_B_GATE:
        return l->gates;
    default:
        return 0;
    }
}

/* False where nothing would be left. */
static bool make_cut(ffl_axis axis, size_t begin, size_t count, cut *c)
{
    const ffl_layer l = c->shape;
    kept *const lists[] = {&c->rows, &c->in, &c->out};
    if (axis <= FFL_AXIS_WIDTH_OUT) {
        drop(lists[axis], begin, count);
        return lists[axis]->count > 0;
    }
    const bool leaves = l.operation == FFL_FFF_LEAF;
    if (axis == FFL_AXIS_LEVELS) { /* only the last levels can go */
        if ((begin == 0 && !leaves) || begin + count != l.levels)
            return false;
        (leaves ? cut_leaves : cut_levels)(&l, begin, -1, c);
    } else if (axis == FFL_AXIS_ROOTS) { /* one side goes, the other stays */
        if (count != 1)
            return false;
        (leaves ? cut_leaves : cut_levels)(&l, l.levels - 1, begin == 0, c);
    } else if (ffl_operation_has_experts(l.operation)) {
        return cut_experts(&l, axis, begin, count, c);
    } else if (l.operation == FFL_FFF) {
        drop(&c->neurons, begin * l.nodes, count * l.nodes);
        c->shape.trees -= count;
    } else {
        drop(&c->neurons, begin, count);
    }
    return c->neurons.count > 0;
}

static void pick(const float *from, size_t from_width, const kept *rows, const kept *columns, float *to)
{
    for (size_t i = 0; i < rows->count; i++)
        for (size_t j = 0; j < columns->count; j++)
            to[i * columns->count + j] = from[rows->at[i] * from_width + columns->at[j]];
}

static ffl_status copy_cut(const ffl_capsule *from, const cut *c, ffl_capsule *out)
{
    const ffl_layer *l = &from->fixture.weights.layer;
    const size_t zero = 0;
    const kept first = {.at = (size_t *)&zero, .count = 1};
    ffl_layer shape = c->shape;
    shape.width_in = c->in.count;
    shape.width_out = c->out.count;
    shape.neurons = c->neurons.count;
    *out = *from;
    out->fixture = (ffl_fixture){.tokens = c->rows.count, .data = from->fixture.data};
    out->batch = from->batch < c->rows.count ? from->batch : c->rows.count;
    FFL_TRY(ffl_weights_new(&shape, l->b_out != NULL, &out->fixture.weights));
    ffl_weights *w = &out->fixture.weights;
    out->fixture.x = ffl_alloc_array(c->rows.count * c->in.count, sizeof(float));
    if (!out->fixture.x) {
        ffl_capsule_free(out);
        return FFL_NO_MEMORY;
    }
    pick(l->w_in, l->width_in, &c->neurons, &c->in, w->w_in);
    pick(l->w_out, l->width_out, &c->neurons, &c->out, w->w_out);
    pick(l->b_in, 1, &c->neurons, &first, w->b_in);
    if (l->b_out)
        pick(l->b_out, l->width_out, &c->experts, &c->out, w->b_out);
    if (shape.gates) {
        pick(l->w_gate, l->width_in, &c->gates, &c->in, w->w_gate);
        pick(l->b_gate, 1, &c->gates, &first, w->b_gate);
    }
    pick(from->fixture.x, l->width_in, &c->rows, &c->in, out->fixture.x);
    return FFL_OK;
}

/*
 * What is left of a claim. Logits without rounding stay so when terms go, for sums of fewer terms are
 * multiples of the same quantum. Exact outputs need logits that no activation rounds, and rows that hold
 * their maximum.
 */
static void weaken_claim(ffl_axis axis, ffl_capsule *c)
{
    const bool whole_neurons = axis >= FFL_AXIS_LEVELS && axis <= FFL_AXIS_EXPERT_WIDTH;
    const bool keeps = whole_neurons || axis == FFL_AXIS_ROWS || axis == FFL_AXIS_CALL;
    if (!keeps && c->fixture.data == FFL_DATA_EXACT)
        c->fixture.data = FFL_DATA_EXACT_LOGITS;
}

static bool zero(float *v, size_t begin, size_t count)
{
    bool changed = false;
    for (size_t i = begin; i < begin + count; i++) {
        changed |= v[i] != 0;
        v[i] = 0;
    }
    return changed;
}

static bool make_zero(ffl_axis axis, size_t begin, size_t count, ffl_capsule *c)
{
    ffl_weights *w = &c->fixture.weights;
    float *const arrays[] = {c->fixture.x, w->w_in, w->b_in, w->w_out, w->b_out, w->w_gate, w->b_gate};
    return zero(arrays[axis - FFL_AXIS_X], begin, count);
}

static bool make_plain(size_t begin, size_t count, ffl_capsule *c)
{
    bool changed = false;
    if (begin == 0) {
        changed |= c->threads != 1;
        c->threads = 1;
    }
    if (begin <= 1 && begin + count > 1) {
        changed |= c->layout.padding_x || c->layout.padding_y;
        c->layout.padding_x = c->layout.padding_y = 0;
    }
    if (begin + count > 2) {
        changed |= c->layout.offset_x || c->layout.offset_y;
        c->layout.offset_x = c->layout.offset_y = 0;
    }
    return changed;
}

ffl_status ffl_capsule_reduce(const ffl_capsule *from, ffl_axis axis, size_t begin, size_t count,
                              ffl_capsule *out, bool *changed)
{
    cut c;
    FFL_TRY(cut_nothing(from, &c));
    const bool cuts = axis < FFL_AXIS_CALL;
    *changed = !cuts || make_cut(axis, begin, count, &c);
    const ffl_status status = *changed ? copy_cut(from, &c, out) : FFL_OK;
    cut_free(&c);
    if (status != FFL_OK || !*changed)
        return status;
    if (axis == FFL_AXIS_CALL)
        *changed = make_plain(begin, count, out);
    else if (!cuts)
        *changed = make_zero(axis, begin, count, out);
    weaken_claim(axis, out);
    if (!*changed)
        ffl_capsule_free(out);
    return FFL_OK;
}
