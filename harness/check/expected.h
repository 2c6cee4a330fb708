/*
 * The expected outputs of some rows, with both bounds of every element: made once, compared many times.
 */
#ifndef FFL_HARNESS_EXPECTED_H
#define FFL_HARNESS_EXPECTED_H

#include "harness/check/bounds.h"

typedef struct ffl_expected {
    size_t row_count, width;
    unsigned char *bounded;     /* [row_count] */
    double *y;                  /* [row_count][width] reference; unspecified in rows without a bound */
    float *statistical, *worst; /* the same, rounded up; never 0, so that error / bound is a number */
} ffl_expected;

/* Expects the layer's answer to row rows[i] of x [..][ldx]. FFF by the walk, FF by all neurons, leaf FFF and
 * MoE by the experts chosen. */
ffl_status ffl_expected_new(const ffl_arithmetic *arithmetic, const float *x, size_t ldx, const size_t *rows,
                            size_t row_count, ffl_expected *out);

void ffl_expected_free(ffl_expected *expected);

#endif
