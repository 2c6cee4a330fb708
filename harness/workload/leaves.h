/* Which leaf of which tree each token is meant to reach. A leaf is a node of the last level, 0 … 2^depth - 1
 * from left to right; the only node of a tree of depth 0 is its leaf 0. */
#ifndef FFL_HARNESS_LEAVES_H
#define FFL_HARNESS_LEAVES_H

#include "harness/workload/routing.h"

typedef struct ffl_leaves {
    ffl_routing routing;
    uint64_t seed;
    size_t trees, depth, count; /* count = 2^depth leaves per tree */
    double *cumulative;         /* zipf: share of the ranks up to this one */
    uint32_t *of_rank;          /* zipf: [trees][count], the leaf that has this rank in this tree */
} ffl_leaves;

ffl_status ffl_leaves_new(const ffl_layer *layer, const ffl_routing *routing, uint64_t seed, ffl_leaves *out);

/*
 * Leaves of one token, into leaf [trees]; the same for the same token, whatever was asked before. Trees are
 * independent, except that thrash visits the same leaf in each. Prototypes: `token` is the cluster.
 */
void ffl_leaves_of(const ffl_leaves *leaves, size_t token, uint32_t *leaf);

void ffl_leaves_free(ffl_leaves *leaves);

/* The row (within its tree, heap order) at `level` on the way to `leaf`, in a tree of `depth`. */
static inline size_t ffl_leaf_ancestor(uint32_t leaf, size_t depth, size_t level)
{
    return (((size_t)1 << level) - 1) + ((size_t)leaf >> (depth - level));
}

#endif
