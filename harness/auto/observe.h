/*
 * Observed routing: what share of pairs of tokens meet in one leaf. A few tokens of a batch walk down the
 * first tree by plain dot products; 0 means that tokens spread over the leaves, 1 that all take one path.
 */
#ifndef FFL_HARNESS_AUTO_OBSERVE_H
#define FFL_HARNESS_AUTO_OBSERVE_H

#include "kernels/layer.h"

typedef struct ffl_auto_look {
    size_t samples;   /* tokens looked at; 0: it would cost too much */
    size_t decisions; /* of each */
} ffl_auto_look;

/* How far to look so that it costs 1–2 % of the call: nothing below some 100 tokens on one tree. */
ffl_auto_look ffl_auto_look_at(const ffl_layer *layer, size_t tokens, int threads);

/* The share, corrected for chance meetings at a depth above the leaves; 0 … 1. */
double ffl_auto_observe(const ffl_layer *layer, const float *x, size_t ldx, size_t tokens,
                        ffl_auto_look look);

#endif
