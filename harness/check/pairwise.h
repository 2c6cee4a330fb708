/*
 * Pairwise test design: a few rows in which every pair of values of any two axes occurs together. Mistakes
 * that need three particular values at once are rare; the full product would take hours.
 */
#ifndef FFL_HARNESS_PAIRWISE_H
#define FFL_HARNESS_PAIRWISE_H

#include "kernels/status.h"
#include <stddef.h>
#include <stdint.h>

enum { FFL_AXES_MAX = 12, FFL_AXIS_VALUES_MAX = 16 };

typedef struct ffl_axes {
    size_t count;
    size_t values[FFL_AXES_MAX]; /* of each axis, 1 … FFL_AXIS_VALUES_MAX */
    /* Optional, in newly covered pairs: of two candidates the cheaper wins unless it covers so many less. */
    double (*cost)(const size_t *choice);
} ffl_axes;

/* One choice per axis. */
typedef struct ffl_pairwise_row {
    size_t choice[FFL_AXES_MAX];
} ffl_pairwise_row;

/* Fills at most `max` rows; the same seed gives the same rows. FFL_INTERNAL when max is too small. */
ffl_status ffl_pairwise(const ffl_axes *axes, uint64_t seed, ffl_pairwise_row *rows, size_t max,
                        size_t *count);

#endif
