#include "harness/check/match.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>

/* A kernel's own account of its path, judged like everything else it says. */
static ffl_status follow_trace(ffl_walk *walk, const float *got, const int32_t *trace, ffl_openness limit,
                               ffl_match *out)
{
    const ffl_layer *l = walk->layer;
    ffl_alternatives traced = {0};
    ffl_status status = FFL_OK;
    for (size_t tree = 0; tree < l->trees && status == FFL_OK; tree++)
        status = ffl_alternatives_add(walk, tree, trace + tree * l->levels, &traced);
    out->verdict = FFL_FAILED;
    if (status == FFL_BAD_INPUT) {
        snprintf(out->reason, sizeof out->reason, "its trace is impossible: %s", ffl_error());
        status = FFL_OK;
    } else if (status == FFL_OK) {
        status = ffl_alternatives_measure(walk, &traced);
        ffl_openness openness = FFL_OPEN_STATISTICAL;
        for (size_t i = 0; i < traced.count && openness <= limit; i++) {
            const ffl_alternative *a = &traced.item[i];
            openness = a->openness > openness ? a->openness : openness;
            out->margin = fmax(out->margin, a->margin);
            if (openness > limit)
                snprintf(out->reason, sizeof out->reason,
                         "its trace turns the wrong way at node %zu of tree %zu, where z = %.3g",
                         a->deviant.neuron - a->tree * l->nodes, a->tree, a->deviant.z);
        }
        size_t *chosen = ffl_alloc_array(traced.count + 1, sizeof *chosen);
        for (size_t i = 0; chosen && i < traced.count; i++)
            chosen[i] = i;
        if (!chosen)
            status = FFL_NO_MEMORY;
        else if (status == FFL_OK && openness <= limit) {
            out->errors = ffl_combination_errors(walk, &traced, chosen, traced.count, got);
            if (out->errors.worst <= 1)
                out->verdict = openness == FFL_OPEN_STATISTICAL && out->errors.statistical <= 1 ? FFL_PASSED
                                                                                                : FFL_SUSPECT;
            else
                snprintf(out->reason, sizeof out->reason,
                         "it does not match along the path of its own trace");
        }
        ffl_free(chosen);
    }
    ffl_alternatives_free(&traced);
    return status;
}

/* More combinations than can be tried: the kernel's trace may settle it, or nothing does. */
static ffl_status undecided(ffl_walk *walk, const ffl_alternatives *alternatives, const float *got,
                            const int32_t *trace, bool worst, ffl_match *out)
{
    if (trace) {
        ffl_match traced = {.verdict = FFL_FAILED, .margin = -1, .errors = out->errors};
        FFL_TRY(follow_trace(walk, got, trace, worst ? FFL_OPEN_WORST : FFL_OPEN_STATISTICAL, &traced));
        if (traced.verdict < out->verdict || out->verdict == FFL_FAILED)
            *out = traced;
    } else if ((out->verdict == FFL_FAILED || !worst) && ffl_combination_reachable(walk, alternatives, got)) {
        /* Also where the one combination that was tried fits the worst-case bound alone: another may fit
         * better. */
        out->weak = true;
        snprintf(out->reason, sizeof out->reason,
                 "%s%zu alternative paths are too many for %zu outputs to tell them apart",
                 alternatives->too_many ? "at least " : "", alternatives->count, walk->layer->width_out);
    }
    return FFL_OK;
}

/* One tier. PASSED and SUSPECT: matched; FAILED: nothing matches; weak: open. */
static ffl_status match_tier(ffl_walk *walk, const float *got, const int32_t *trace, bool worst,
                             ffl_match *out)
{
    ffl_alternatives alternatives;
    ffl_combination found;
    *out = (ffl_match){.verdict = FFL_FAILED, .margin = -1, .errors = {INFINITY, INFINITY}};
    FFL_TRY(ffl_alternatives_find(walk, worst, &alternatives));
    ffl_status status = FFL_OK;
    if (alternatives.unbounded) {
        out->unbounded = true;
    } else if ((status = ffl_combination_search(walk, &alternatives, got, &found)) == FFL_OK) {
        out->errors = found.errors;
        out->margin = found.margin;
        if (found.errors.worst <= 1)
            out->verdict = worst || !(found.errors.statistical <= 1) ? FFL_SUSPECT : FFL_PASSED;
        if (out->verdict != FFL_PASSED && !found.decided)
            status = undecided(walk, &alternatives, got, trace, worst, out);
    }
    ffl_alternatives_free(&alternatives);
    return status;
}

ffl_status ffl_match_row(ffl_walk *walk, const float *got, ffl_errors errors, const int32_t *trace,
                         ffl_match *out)
{
    *out = (ffl_match){.verdict = FFL_FAILED, .errors = errors};
    for (size_t j = 0; j < walk->layer->width_out; j++)
        if (!isfinite(got[j]))
            return FFL_OK;
    FFL_TRY(match_tier(walk, got, trace, false, out));
    if (out->weak || out->unbounded || out->verdict == FFL_PASSED) {
        if (out->weak)
            out->verdict = FFL_PASSED;
    } else if (out->verdict == FFL_FAILED) {
        FFL_TRY(match_tier(walk, got, trace, true, out));
        if (out->weak)
            out->verdict = FFL_SUSPECT;
    }
    out->flipped = out->verdict != FFL_FAILED && out->margin >= 0;
    if (out->verdict == FFL_FAILED || out->weak)
        out->errors = errors;
    return FFL_OK;
}

/* True when the walk with these decisions reversed in this tree (all trees: trees) explains the row. */
static ffl_status explains(ffl_walk *walk, const float *got, size_t tree, unsigned reversed, bool *yes,
                           ffl_node *node)
{
    const ffl_layer *l = walk->layer;
    ffl_alternatives list = {0};
    size_t *chosen = ffl_alloc_array(l->trees, sizeof *chosen);
    ffl_status status = chosen ? FFL_OK : FFL_NO_MEMORY;
    for (size_t t = 0; t < l->trees && status == FFL_OK; t++) {
        int32_t path[FFL_LEVELS_MAX];
        if (tree != l->trees && tree != t)
            continue;
        ffl_path_reversed(walk, t, reversed, path);
        status = ffl_alternatives_add(walk, t, path, &list);
    }
    if (status == FFL_OK)
        status = ffl_alternatives_measure(walk, &list);
    *yes = false;
    if (status == FFL_OK && list.count > 0 && !list.unbounded) {
        for (size_t i = 0; i < list.count; i++)
            chosen[i] = i;
        *yes = ffl_combination_errors(walk, &list, chosen, list.count, got).worst <= 1;
        *node = list.item[0].nodes[list.item[0].level];
    }
    ffl_alternatives_free(&list);
    ffl_free(chosen);
    return status;
}

bool ffl_match_shortened(const ffl_walk *walk, const float *got)
{
    const ffl_layer *l = walk->layer;
    for (size_t j = 0; j < l->width_out; j++) {
        double y = walk->y[j];
        for (size_t tree = 0; tree < l->trees; tree++) {
            const ffl_node *last = &walk->nodes[tree * l->levels + l->levels - 1];
            y -= last->g * (double)l->w_out[last->neuron * l->width_out + j];
        }
        if (!(fabs((double)got[j] - y) <= walk->sums.worst[j] + walk->sums.flat_worst))
            return false;
    }
    return true;
}

ffl_status ffl_match_hint(ffl_walk *walk, const float *got, char *out, size_t size)
{
    const ffl_layer *l = walk->layer;
    enum { TURNS_MAX = 512 };
    bool yes;
    ffl_node node;
    out[0] = 0;
    if (ffl_match_shortened(walk, got)) {
        snprintf(out, size, "; it matches the walk without its last level");
        return FFL_OK;
    }
    for (size_t k = 0; k < l->trees * (l->levels - 1) && k < TURNS_MAX; k++) {
        const size_t tree = k / (l->levels - 1);
        FFL_TRY(explains(walk, got, tree, 1u << (k % (l->levels - 1)), &yes, &node));
        if (yes) {
            snprintf(out, size, "; it matches the walk that goes %s at node %zu of tree %zu, where z = %.3g",
                     node.z > 0 ? "left" : "right", node.neuron - tree * l->nodes, tree, node.z);
            return FFL_OK;
        }
    }
    if (l->levels > 1) {
        FFL_TRY(explains(walk, got, l->trees, ~0u, &yes, &node));
        if (yes) {
            snprintf(out, size, "; it matches the walk that turns the wrong way at every node");
            return FFL_OK;
        }
    }
    return FFL_OK;
}
