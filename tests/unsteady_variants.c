/*
 * Variants that `check --invariance` and `check --properties` must reject (test_ways.c), on top of one
 * correct walk: their bits depend on what their contracts promise they do not depend on, or they break an
 * equation of the layer. The first two are right; the second promises nothing.
 */
#include "kernels/gelu.h"
#include "kernels/variant.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef enum mode {
    STEADY,
    OTHER_BATCHES, /* another order of sums in batches of more than 2; promises nothing */
    /* other bits, each result right */
    CALLS,
    THREADS,
    BATCHES,
    PLACES_IN_BATCH,
    SPLITS, /* rows of the second half of a call */
    ADDRESSES,
    STRIDES,
    /* wrong where it matters */
    INSTANCES,  /* keeps its layer in a static variable: the one prepared last serves all */
    NEIGHBOURS, /* a NaN in row 0 spoils the others */
    FLUSHED,    /* forgets the bias when the caller flushes denormals */
    /* wrong everywhere */
    WRONG_CHILD,   /* of one node */
    SWAPPED_LEVEL, /* children of level 1 */
    DOUBLE_LEAF,
    IDENTITY,    /* no activation */
    STALE_ORDER, /* the trees' rows one inside the other, as another packing had them */
    FIRST_TREE,  /* the activations of tree 0 for all */
    THRESHOLD    /* drops inputs below 0.001 */
} mode;

static const ffl_layer *last_prepared;

static mode mode_of(const ffl_plan *plan);

/* The dot product by index, or from the other end: other bits, as right. */
static float logit(const ffl_layer *l, size_t row, const float *x, bool backwards, float least)
{
    float z = 0;
    for (size_t i = 0; i < l->width_in; i++) {
        const size_t at = backwards ? l->width_in - 1 - i : i;
        z += fabsf(x[at]) < least ? 0 : x[at] * l->w_in[row * l->width_in + at];
    }
    return z + l->b_in[row];
}

static void walk(const ffl_layer *l, mode m, const float *x, float *y, bool backwards)
{
    float first[32] = {0};
    memset(y, 0, l->width_out * sizeof *y);
    for (size_t tree = 0; tree < l->trees; tree++) {
        size_t node = 0;
        for (size_t level = 0; level < l->levels; level++) {
            const size_t row = m == STALE_ORDER ? node * l->trees + tree : tree * l->nodes + node;
            const float z = logit(l, row, x, backwards, m == THRESHOLD ? 0.001f : 0);
            float g = m == IDENTITY ? z : ffl_activate(l->activation, z);
            if (m == DOUBLE_LEAF && level + 1 == l->levels)
                g += g;
            first[level] = tree == 0 ? g : first[level];
            for (size_t j = 0; j < l->width_out; j++)
                y[j] += (m == FIRST_TREE ? first[level] : g) * l->w_out[row * l->width_out + j];
            const bool swap = (m == SWAPPED_LEVEL && level == 1) || (m == WRONG_CHILD && node == 2);
            node = 2 * node + 1 + ((z > 0) != swap);
        }
    }
}

/* Does the caller flush? */
static bool flushing(void)
{
    volatile float tiny = 0x1p-140f;
    return tiny * 2 == 0;
}

static bool differs(mode m, const ffl_exec *exec, size_t *calls, const float *x, size_t ldx, size_t width,
                    size_t tokens, size_t token)
{
    switch (m) {
    case CALLS:
        return token == 0 && ++*calls % 3 == 0;
    case THREADS:
        return exec->threads > 1;
    case OTHER_BATCHES:
    case BATCHES:
        return tokens > 2;
    case PLACES_IN_BATCH:
        return token == 3;
    case SPLITS:
        return tokens > 64 && token > 64;
    case ADDRESSES:
        return (uintptr_t)x % 16 != 0;
    case STRIDES:
        return ldx > width;
    default:
        return false;
    }
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const mode m = mode_of(plan);
    const ffl_layer *l = m == INSTANCES ? last_prepared : plan->layer;
    for (size_t t = 0; t < tokens; t++) {
        walk(l, m, x + t * ldx, y + t * ldy, differs(m, exec, plan->state, x, ldx, l->width_in, tokens, t));
        if (m == NEIGHBOURS && isnan(x[(tokens - 1) * ldx]))
            y[t * ldy] += 1;
        if (m == FLUSHED && flushing())
            y[t * ldy] += 1;
    }
    return FFL_OK;
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    last_prepared = layer;
    plan->state = calloc(1, sizeof(size_t)); /* calls so far */
    return plan->state ? FFL_OK : FFL_NO_MEMORY;
}

static void release(ffl_plan *plan)
{
    free(plan->state);
}

#define ROW(name_, summary_, contract_)                                                                      \
    {                                                                                                        \
        .name = "fff_" name_, .source = "this lab's tests", .summary = summary_, .operation = FFL_FFF,       \
        .threaded = true, .contract = contract_, .prepare = prepare, .run = run, .release = release          \
    }
#define UNSTEADY(name, summary) ROW("unsteady_" name, summary, FFL_CONTRACT_F32_ROWS)
#define LAWLESS(name, summary) ROW("lawless_" name, summary, FFL_CONTRACT_F32_ROWS)

FFL_VARIANTS(unsteady_variants) = {
    [STEADY] = ROW("steady", "right, and keeps what it promises", FFL_CONTRACT_F32_ROWS),
    [OTHER_BATCHES] = ROW("modest", "other bits in larger batches, nothing promised", FFL_CONTRACT_F32),
    [CALLS] = UNSTEADY("calls", "other bits on every third call"),
    [THREADS] = UNSTEADY("threads", "other bits with two threads"),
    [BATCHES] = UNSTEADY("batches", "other bits in batches of more than 2"),
    [PLACES_IN_BATCH] = UNSTEADY("places_in_batch", "other bits for the fourth row"),
    [SPLITS] = UNSTEADY("splits", "other bits from row 65 on"),
    [ADDRESSES] = UNSTEADY("addresses", "other bits for unaligned rows"),
    [STRIDES] = UNSTEADY("strides", "other bits for padded rows"),
    [INSTANCES] = UNSTEADY("instances", "one layer for all instances"),
    [NEIGHBOURS] = UNSTEADY("neighbours", "wrong beside a NaN"),
    [FLUSHED] = UNSTEADY("flushed", "wrong when the caller flushes denormals"),
    [WRONG_CHILD] = LAWLESS("wrong_child", "turns the wrong way at one node"),
    [SWAPPED_LEVEL] = LAWLESS("swapped_level", "children swapped at one level"),
    [DOUBLE_LEAF] = LAWLESS("double_leaf", "evaluates the leaf twice"),
    [IDENTITY] = LAWLESS("identity", "drops the activation"),
    [STALE_ORDER] = LAWLESS("stale_order", "expects the trees interleaved"),
    [FIRST_TREE] = LAWLESS("first_tree", "the first tree's activations for all"),
    [THRESHOLD] = LAWLESS("threshold", "drops small inputs"),
    {0},
};

static mode mode_of(const ffl_plan *plan)
{
    return (mode)(plan->variant - ffl_variants_unsteady_variants);
}

FFL_PLUGIN(unsteady_variants);
