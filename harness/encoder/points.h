/*
 * The points of a sweep: every length of --seq with every batch of --batch and every dense side of --neurons.
 * One point is one model of one size, run by one worker.
 */
#ifndef FFL_HARNESS_ENCODER_POINTS_H
#define FFL_HARNESS_ENCODER_POINTS_H

#include "harness/cli.h"

typedef struct ffl_encoder_point {
    size_t batch, sequence; /* 0: not said; what --tokens holds, or the default */
    size_t neurons;         /* of the dense side of a model with trees, 0: all that the trees have */
} ffl_encoder_point;

typedef struct ffl_encoder_points {
    ffl_encoder_point *value; /* owned; the smallest first */
    size_t count;
} ffl_encoder_points;

/* FFL_BAD_INPUT names option and value, and refuses lists beside --tokens, --dump, --trace or --record, which
 * are of one. */
ffl_status ffl_encoder_points_from(const ffl_options *options, ffl_encoder_points *out);
void ffl_encoder_points_free(ffl_encoder_points *points);

#endif
