/*
 * Leaf trees and mixtures that are wrong on purpose (experts_rows.h): what the check must reject and explain
 * (test_check_experts.c). The first of each is right.
 */
#include "kernels/variant.h"
#include "tests/experts_rows.h"
#include <string.h>

enum { EXPERTS_MAX = 64 };

static bool supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    (void)tokens;
    *why = "more than 64 experts";
    return shape->operation == FFL_FFF_LEAF || shape->experts <= EXPERTS_MAX;
}

static mistake mistake_of(const ffl_variant *variant);

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const mistake m = mistake_of(plan->variant);
    (void)exec;
    for (size_t t = 0; t < tokens; t++, x += ldx, y += ldy) {
        memset(y, 0, l->width_out * sizeof *y);
        (l->operation == FFL_MOE ? mixture_row : leaf_row)(l, x, m, y);
    }
    return FFL_OK;
}

#define BROKEN(operation_, name_, summary_)                                                                  \
    {                                                                                                        \
        .name = name_, .source = "this lab's tests", .summary = summary_, .operation = operation_,           \
        .contract = FFL_CONTRACT_F32, .supports = supports, .prepare = ffl_prepare_nothing, .run = run       \
    }

FFL_VARIANTS(broken_experts) = {
    BROKEN(FFL_FFF_LEAF, "fff_leaf_honest", "right"),
    BROKEN(FFL_FFF_LEAF, "fff_leaf_broken_tie", "a tie goes right"),
    BROKEN(FFL_FFF_LEAF, "fff_leaf_broken_neighbour", "the next leaf"),
    BROKEN(FFL_MOE, "moe_honest", "right"),
    BROKEN(FFL_MOE, "moe_broken_tie", "of equal gates the higher index"),
    BROKEN(FFL_MOE, "moe_broken_shares", "shares of 1"),
    {0},
};

static mistake mistake_of(const ffl_variant *variant)
{
    static const mistake mistakes[] = {RIGHT, TIE, NEIGHBOUR, RIGHT, TIE, UNWEIGHTED};
    return mistakes[variant - ffl_variants_broken_experts];
}

FFL_PLUGIN(broken_experts);
