/* What the passes of a variant took, layer by layer and part by part: medians over the passes. */
#ifndef FFL_HARNESS_LAYER_TIMES_H
#define FFL_HARNESS_LAYER_TIMES_H

#include "harness/encoder/pairs.h"

/* Instead of a layer or a part: the sum of all. Layer `layers` is what lies before and behind the layers. */
#define FFL_ALL SIZE_MAX

typedef struct ffl_layer_times {
    size_t layers, count; /* layers that ran; passes */
    double scale;         /* how often each of them counts in a sum over the layers (plan.h) */
    double *ns;           /* [FFL_PAIRS_MAX][layers + 1][FFL_PART_COUNT], owned */
} ffl_layer_times;

ffl_status ffl_layer_times_new(size_t layers, double scale, ffl_layer_times *out);

/* Adds the events of one pass; there must be fewer than FFL_PAIRS_MAX. */
void ffl_layer_times_add(ffl_layer_times *times, const ffl_encoder_event *events, size_t count);

/* Median over the passes of the time in that layer and part (either may be FFL_ALL: of the sums). */
double ffl_layer_times_ns(const ffl_layer_times *times, size_t layer, size_t part);

void ffl_layer_times_free(ffl_layer_times *times);

#endif
