/*
 * Routing: which paths the tokens of a workload take. A conditional kernel's speed depends on it, so it is
 * made by construction and measured, never left to luck.
 *
 *   uniform        every leaf equally likely          single          one path for all tokens
 *   zipf:S         leaf of rank r with weight r^-S    thrash          the leaves in turn, far ones next
 *   prototypes:K   K clusters of inputs with noise    recorded:FILE   inputs of a real model: recorded.h
 */
#ifndef FFL_HARNESS_ROUTING_H
#define FFL_HARNESS_ROUTING_H

#include "kernels/layer.h"
#include <stdint.h>

typedef enum ffl_routing_kind {
    FFL_UNIFORM = 0,
    FFL_ZIPF,
    FFL_PROTOTYPES,
    FFL_SINGLE,
    FFL_THRASH,
    FFL_RECORDED
} ffl_routing_kind;

typedef struct ffl_routing {
    ffl_routing_kind kind;
    double exponent; /* zipf */
    size_t clusters; /* prototypes */
    char file[256];  /* recorded */
} ffl_routing;

/* What the routing of some tokens really is: in one tree … */
typedef struct ffl_tree_routing {
    size_t leaves;  /* distinct ones reached */
    double entropy; /* of the leaf distribution, bits */
    double top1;    /* share of the most frequent leaf */
} ffl_tree_routing;

/* … and as mean and maximum over the trees. */
typedef struct ffl_routing_report {
    double leaves_mean, leaves_max;   /* distinct leaves reached */
    double entropy_mean, entropy_max; /* of the leaf distribution, bits */
    double top1_mean, top1_max;       /* share of the most frequent leaf */
    double unique_weight_bytes;       /* of the w_in, b_in and w_out rows visited by any token */
    double margin;    /* smallest |z| / (‖x‖·‖w‖) of any decision; 1 when nothing is decided */
    bool constructed; /* false: as drawn; some leaf could not be imposed (trees*depth > width) */
} ffl_routing_report;

/* "zipf:1.2" and the like. FFL_BAD_INPUT names the word and what was expected. */
ffl_status ffl_routing_parse(const char *text, ffl_routing *out);

/*
 * Fills x [tokens][ldx] (padding untouched) with seeded rows of about unit variance per element that follow
 * the routing on this FFF layer: rows are corrected along the w_in rows of the wanted path until every sign
 * holds with a minimum margin (harness/workload/impose.h). Prototypes: the centres are made so, the rows
 * around them are not corrected. For a dense layer or recorded inputs nothing is; `constructed` is then true,
 * and the report of a dense layer says no more than its weights. Uses all processors; the rows do not depend
 * on how many. FFL_BAD_INPUT for a recorded file that does not fit.
 */
ffl_status ffl_routing_inputs(const ffl_layer *layer, const ffl_routing *routing, uint64_t seed, float *x,
                              size_t ldx, size_t tokens, ffl_routing_report *report);

/* Only measures (double walk over all tokens). Leaf trees and mixtures: of experts, as if each were a leaf,
 * every choice counted; `constructed` is false. */
ffl_status ffl_routing_measure(const ffl_layer *layer, const float *x, size_t ldx, size_t tokens,
                               ffl_routing_report *report);

/*
 * The same, of an FFF layer and tree by tree: trees [trees], and in visits [trees][2^(levels-1)] how many
 * tokens reached each leaf, from left to right. Either may be NULL.
 */
ffl_status ffl_routing_measure_trees(const ffl_layer *layer, const float *x, size_t ldx, size_t tokens,
                                     ffl_routing_report *report, ffl_tree_routing *trees, uint32_t *visits);

#endif
