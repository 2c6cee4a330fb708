/*
 * One token's walk through the trees of an FFF layer: the reference path, its nodes with their bounds, and
 * the bounds of the outputs. Holds the buffers of one row; used again for row after row.
 */
#ifndef FFL_HARNESS_WALK_H
#define FFL_HARNESS_WALK_H

#include "harness/check/bounds.h"

typedef struct ffl_walk {
    const ffl_layer *layer;
    const ffl_arithmetic *arithmetic;
    ffl_input input;
    bool bounded;       /* finite inputs, no sum may overflow */
    ffl_node *nodes;    /* [trees][levels] along the reference path */
    double hidden_peak; /* largest ffl_node_hidden */
    ffl_sums sums;      /* over the nodes; sums.y is NULL */
    double *y;          /* [width_out] reference */
    double *logits;     /* [trees][levels] */
    int32_t *path;      /* [trees][levels] */
} ffl_walk;

ffl_status ffl_walk_new(const ffl_layer *layer, const ffl_arithmetic *arithmetic, ffl_walk *walk);

/* Walks one row. An unbounded row leaves everything but `bounded` unspecified. */
ffl_status ffl_walk_row(ffl_walk *walk, const float *x);

/* Sums over the nodes again, for another hidden peak. */
void ffl_walk_sum(ffl_walk *walk, double hidden_peak);

void ffl_walk_free(ffl_walk *walk);

/* Zeros, in one allocation; y when asked, shared when the arithmetic has such errors. */
ffl_status ffl_sums_new(const ffl_arithmetic *arithmetic, bool with_y, ffl_sums *sums);
void ffl_sums_clear(const ffl_arithmetic *arithmetic, ffl_sums *sums);
void ffl_sums_free(ffl_sums *sums);

#endif
