#include "harness/check/explain.h"
#include "harness/check/choices.h"
#include "harness/check/combine.h"
#include "harness/check/expected.h"
#include "harness/check/match.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PATHS_SHOWN = 4, LEAVES_MAX = 1024 };

typedef struct text {
    char *at;
    size_t left;
} text;

__attribute__((format(printf, 2, 3))) static void add(text *t, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(t->at, t->left, format, arguments);
    va_end(arguments);
    const size_t used = length < 0 ? 0 : (size_t)length < t->left ? (size_t)length : t->left - 1;
    t->at += used;
    t->left -= used;
}

static void add_value(text *t, const ffl_arithmetic *a, double y, double bound)
{
    if (a->data == FFL_DATA_EXACT)
        add(t, "exactly %.9g", (double)(float)y);
    else
        add(t, "%.9g ± %.3g", y, bound);
}

/* "0-2-5" */
static void add_path(text *t, const ffl_walk *walk, size_t tree, const ffl_node *nodes)
{
    const ffl_layer *l = walk->layer;
    for (size_t level = 0; level < l->levels; level++)
        add(t, "%s%zu", level ? "-" : "", nodes[level].neuron - tree * l->nodes);
}

/* ---- What might have come out ---- */

static ffl_status add_admissible(text *t, ffl_walk *walk, size_t element)
{
    const ffl_layer *l = walk->layer;
    ffl_alternatives open;
    FFL_TRY(ffl_alternatives_find(walk, false, &open));
    const ffl_element e = ffl_combination_element(walk, &open, NULL, 0, element);
    add(t, "\nadmissible: ");
    add_value(t, walk->arithmetic, e.y, e.statistical);
    add(t, " along ");
    if (l->trees == 1)
        add_path(t, walk, 0, walk->nodes);
    else
        add(t, "the reference's paths");
    for (size_t i = 0; i < open.count && i < PATHS_SHOWN; i++) {
        const ffl_alternative *a = &open.item[i];
        const ffl_element other = ffl_combination_element(walk, &open, &i, 1, element);
        add(t, "; ");
        add_value(t, walk->arithmetic, other.y, other.statistical);
        add(t, " where tree %zu goes ", a->tree);
        add_path(t, walk, a->tree, a->nodes);
        add(t, " (z = %.3g ± %.3g at node %zu)", a->deviant.z, a->deviant.statistical,
            a->deviant.neuron - a->tree * l->nodes);
    }
    if (open.count > PATHS_SHOWN)
        add(t, "; and %s%zu more paths", open.too_many ? "at least " : "", open.count - PATHS_SHOWN);
    if (open.count > 1 && l->trees > 1)
        add(t, "; and combinations of them");
    ffl_alternatives_free(&open);
    return FFL_OK;
}

/* ---- The first wrong node ---- */

static void add_turn(text *t, const ffl_walk *walk, size_t tree, const ffl_node *node, const char *how)
{
    add(t, "node %zu of tree %zu: %s %s, where z = %.6g ± %.3g", node->neuron - tree * walk->layer->nodes,
        tree, how, node->z > 0 ? "left" : "right", node->z, node->statistical);
}

/* By the variant's own account: the first branch that no rounding explains. */
static ffl_status find_in_trace(text *t, const ffl_walk *walk, const int32_t *trace, bool *found)
{
    const ffl_layer *l = walk->layer;
    ffl_alternatives told = {0};
    ffl_status status = FFL_OK;
    for (size_t tree = 0; tree < l->trees && status == FFL_OK; tree++)
        status = ffl_alternatives_add(walk, tree, trace + tree * l->levels, &told);
    if (status == FFL_BAD_INPUT) {
        add(t, "its trace is impossible: %s", ffl_error());
        *found = true;
        status = FFL_OK;
    }
    for (size_t i = 0; i < told.count && !*found; i++)
        for (size_t level = 0; level + 1 < l->levels && !*found; level++) {
            const ffl_alternative *a = &told.item[i];
            const ffl_node *node = &a->nodes[level];
            const size_t at = node->neuron - a->tree * l->nodes, next = a->nodes[level + 1].neuron;
            const bool right = next - a->tree * l->nodes == 2 * at + 2;
            *found = right != (node->z > 0) && !ffl_node_open(walk->arithmetic, node, false);
            if (*found)
                add_turn(t, walk, a->tree, node, "its trace goes");
        }
    ffl_alternatives_free(&told);
    return status;
}

/* The path to the leaf-th leaf. */
static void path_to(size_t leaf, size_t levels, int32_t *path)
{
    path[0] = 0;
    for (size_t level = 1; level < levels; level++)
        path[level] = 2 * path[level - 1] + 1 + (int32_t)(leaf >> (levels - 1 - level) & 1);
}

/* All paths of one tree: does the row match along one of them? */
static ffl_status find_path(text *t, ffl_walk *walk, const float *got, size_t tree, bool *found)
{
    const ffl_layer *l = walk->layer;
    const size_t leaves = (size_t)1 << (l->levels - 1), one = 0;
    ffl_status status = FFL_OK;
    for (size_t leaf = 0; leaf < leaves && leaves <= LEAVES_MAX && !*found && status == FFL_OK; leaf++) {
        ffl_alternatives list = {0};
        int32_t path[FFL_LEVELS_MAX];
        path_to(leaf, l->levels, path);
        status = ffl_alternatives_add(walk, tree, path, &list);
        if (status == FFL_OK)
            status = ffl_alternatives_measure(walk, &list);
        if (status == FFL_OK && list.count && !list.unbounded)
            *found = ffl_combination_errors(walk, &list, &one, 1, got).worst <= 1;
        if (*found) {
            add_turn(t, walk, tree, &list.item->nodes[list.item->level], "as if it went");
            add(t, " (the row matches along ");
            add_path(t, walk, tree, list.item->nodes);
            add(t, ffl_match_shortened(walk, got) ? ", and without any last node)" : ")");
        }
        ffl_alternatives_free(&list);
    }
    return status;
}

/* What one neuron's activation would have to be off by to give this row; false when nothing does. */
static bool explains(const ffl_layer *l, size_t neuron, const float *got, const double *y, const float *worst,
                     double *off)
{
    const float *w = l->w_out + neuron * l->width_out;
    double product = 0, square = 0;
    for (size_t j = 0; j < l->width_out; j++) {
        product += ((double)got[j] - y[j]) * (double)w[j];
        square += (double)w[j] * (double)w[j];
    }
    *off = product / square;
    for (size_t j = 0; j < l->width_out; j++)
        if (!(fabs((double)got[j] - y[j] - *off * (double)w[j]) <= (double)worst[j]))
            return false;
    return true;
}

/* One activation that is off moves all outputs along its own row of w_out: with several outputs that shows.
 */
static bool find_neuron(text *t, const ffl_layer *l, const ffl_node *nodes, size_t count, const float *got,
                        const ffl_expected *e)
{
    const ffl_node *only = count == 1 ? nodes : NULL;
    double off = 0, this_off;
    size_t matches = 0;
    for (size_t k = 0; k < count && l->width_out > 1; k++)
        if (explains(l, nodes[k].neuron, got, e->y, e->worst, &this_off)) {
            only = &nodes[k];
            off = this_off;
            matches++;
        }
    if (count > 1 && matches != 1)
        return false;
    if (l->operation == FFL_FFF)
        add(t, "node %zu of tree %zu", only->neuron % l->nodes, only->neuron / l->nodes);
    else
        add(t, "neuron %zu", only->neuron);
    if (count == 1)
        add(t, ", the only one: z = %.6g, activation %.6g", only->z, only->g);
    else
        add(t, ": as if its activation were %.6g instead of %.6g (z = %.6g)", only->g + off, only->g,
            only->z);
    return true;
}

static ffl_status find_wrong(text *t, ffl_walk *walk, const ffl_bad_row *row, const ffl_expected *e)
{
    const ffl_layer *l = walk->layer;
    bool found = false;
    add(t, "\nfirst wrong node: ");
    if (row->trace)
        FFL_TRY(find_in_trace(t, walk, row->trace, &found));
    for (size_t tree = 0; tree < l->trees && !found; tree++)
        FFL_TRY(find_path(t, walk, row->got, tree, &found));
    if (!found && !find_neuron(t, l, walk->nodes, l->trees * l->levels, row->got, e))
        add(t, "no single node explains the row");
    return FFL_OK;
}

/* ---- One row ---- */

static ffl_status explain_tree(const ffl_arithmetic *a, const ffl_bad_row *row, const ffl_expected *e,
                               text *t)
{
    ffl_walk walk;
    FFL_TRY(ffl_walk_new(a->layer, a, &walk));
    ffl_status status = ffl_walk_row(&walk, row->x);
    if (status == FFL_OK)
        status = add_admissible(t, &walk, row->element);
    if (status == FFL_OK)
        status = find_wrong(t, &walk, row, e);
    ffl_walk_free(&walk);
    return status;
}

static ffl_status explain_dense(const ffl_arithmetic *a, const ffl_bad_row *row, const ffl_expected *e,
                                text *t)
{
    const ffl_layer *l = a->layer;
    const ffl_input input = ffl_input_new(a, row->x);
    ffl_node *nodes = ffl_alloc_array(l->neurons, sizeof *nodes);
    if (!nodes)
        return FFL_NO_MEMORY;
    for (size_t k = 0; k < l->neurons; k++)
        nodes[k] = ffl_node_new(a, &input, k,
                                ffl_reference_dot(row->x, l->w_in + k * l->width_in, l->width_in) +
                                    (double)l->b_in[k]);
    add(t, "\nadmissible: ");
    add_value(t, a, e->y[row->element], (double)e->statistical[row->element]);
    add(t, "\nfirst wrong neuron: ");
    if (!find_neuron(t, l, nodes, l->neurons, row->got, e))
        add(t, "no single neuron explains the row");
    ffl_free(nodes);
    return FFL_OK;
}

/* ---- Experts ---- */

typedef struct telling {
    text *t;
    const ffl_bad_row *row;
    ffl_experts *experts;
    ffl_outcome outcome;
    size_t shown;
} telling;

static ffl_status tell_choice(void *to, const int32_t *set, double margin, bool *stop)
{
    telling *told = to;
    const ffl_experts *e = told->experts;
    char name[96];
    *stop = told->shown++ == PATHS_SHOWN;
    if (*stop) {
        add(told->t, "; and more");
        return FFL_OK;
    }
    FFL_TRY(ffl_experts_outcome(told->experts, set, &told->outcome));
    ffl_choice_name(e->layer, set, name, sizeof name);
    add(told->t, "%s", told->shown == 1 ? "\nadmissible: " : "; ");
    add_value(told->t, e->arithmetic, told->outcome.y[told->row->element],
              (double)told->outcome.statistical[told->row->element]);
    add(told->t, " from %s", name);
    if (margin >= 0)
        add(told->t, " (a gate is off by %.2g of its bound)", margin);
    return FFL_OK;
}

static ffl_status explain_experts(const ffl_arithmetic *a, const ffl_bad_row *row, text *t)
{
    const size_t width = a->layer->width_out;
    ffl_experts experts;
    char hint[256];
    bool too_many = false;
    FFL_TRY(ffl_experts_new(a->layer, a, &experts));
    telling told = {.t = t,
                    .row = row,
                    .experts = &experts,
                    .outcome = {.y = ffl_alloc_array(width, 2 * sizeof(double))}};
    told.outcome.statistical = (float *)(told.outcome.y + width);
    told.outcome.worst = told.outcome.statistical + width;
    ffl_status status = told.outcome.y ? ffl_experts_row(&experts, row->x) : FFL_NO_MEMORY;
    if (status == FFL_OK)
        status = ffl_choices_each(&experts, false, tell_choice, &told, &too_many);
    if (status == FFL_OK && too_many && told.shown == 0)
        add(t, "\nadmissible: more than %d choices of experts", FFL_CHOICES_MAX);
    if (status == FFL_OK)
        status = ffl_choices_hint(&experts, row->got, hint, sizeof hint);
    if (status == FFL_OK)
        add(t, "\nwrong choice: %s",
            hint[0] ? hint + strlen("; ") : "no other expert or share explains the row");
    ffl_experts_free(&experts);
    ffl_free(told.outcome.y);
    return status;
}

ffl_status ffl_explain_row(const ffl_layer *layer, const ffl_contract *contract, ffl_data data,
                           const ffl_bad_row *row, char *out, size_t size)
{
    const ffl_arithmetic a = ffl_arithmetic_new(layer, contract, data);
    const size_t first = 0;
    ffl_expected e;
    text t = {.at = out, .left = size};
    FFL_TRY(ffl_expected_new(&a, row->x, layer->width_in, &first, 1, &e));
    add(&t, "row %zu element %zu: got %.9g", row->row, row->element, (double)row->got[row->element]);
    const ffl_status status = layer->operation == FFL_FFF  ? explain_tree(&a, row, &e, &t)
                              : layer->operation == FFL_FF ? explain_dense(&a, row, &e, &t)
                                                           : explain_experts(&a, row, &t);
    ffl_expected_free(&e);
    return status;
}
