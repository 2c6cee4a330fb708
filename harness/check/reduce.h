/* Smaller capsules out of larger ones: what shrinking tries. */
#ifndef FFL_HARNESS_REDUCE_H
#define FFL_HARNESS_REDUCE_H

#include "harness/check/capsule.h"

/* What can be taken away, in the order in which it is tried. */
typedef enum ffl_axis {
    FFL_AXIS_ROWS = 0,
    FFL_AXIS_WIDTH_IN,
    FFL_AXIS_WIDTH_OUT,
    FFL_AXIS_LEVELS,       /* FFF, leaf FFF: the levels below the first ones; the leaves left of those stay */
    FFL_AXIS_ROOTS,        /* the same: all of each tree but the subtree of a child of its root; two parts */
    FFL_AXIS_CHOSEN,       /* MoE: how many experts a token has */
    FFL_AXIS_TREES,        /* FF: neurons; MoE: experts */
    FFL_AXIS_EXPERT_WIDTH, /* leaf FFF, MoE: neurons, of every expert at once */
    FFL_AXIS_CALL,         /* threads, paddings, offsets: as plain as can be */
    FFL_AXIS_X,            /* from here on: values become 0 */
    FFL_AXIS_W_IN,
    FFL_AXIS_B_IN,
    FFL_AXIS_W_OUT,
    FFL_AXIS_B_OUT,
    FFL_AXIS_W_GATE,
    FFL_AXIS_B_GATE,
    FFL_AXIS_COUNT
} ffl_axis;

/* How many parts the capsule has along an axis; 0: the axis does not apply. */
size_t ffl_axis_size(const ffl_capsule *capsule, ffl_axis axis);

/*
 * The capsule without parts begin … begin + count - 1 of an axis, or with zeros in their place. *changed is
 * false where that would leave nothing, or changes nothing; *out is not made then.
 */
ffl_status ffl_capsule_reduce(const ffl_capsule *from, ffl_axis axis, size_t begin, size_t count,
                              ffl_capsule *out, bool *changed);

#endif
