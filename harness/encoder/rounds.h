/* What the passes of a variant took: medians over rounds. */
#ifndef FFL_HARNESS_ROUNDS_H
#define FFL_HARNESS_ROUNDS_H

#include "harness/encoder/pass_clock.h"

enum { FFL_ROUNDS_MAX = 9, FFL_ROUNDS_MIN = 3 };

typedef struct ffl_pass_times {
    double part[FFL_PART_COUNT]; /* medians, ns */
    double pass, body;           /* with and without the logits */
    double alone;                /* the feedforward layers by themselves */
} ffl_pass_times;

/* Of at least one and at most FFL_ROUNDS_MAX values. */
double ffl_rounds_median(const double *values, size_t count);

/* Each part's median, and those of the sums; `alone` is left 0. */
ffl_pass_times ffl_rounds_summary(double (*rounds)[FFL_PART_COUNT], size_t count);

#endif
