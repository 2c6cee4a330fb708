/*
 * The timed passes of a variant, in pairs: a pass of the baseline and one of the variant right behind it,
 * then the other way round, so that a drift of the machine's speed cancels over two pairs and a jump spoils
 * one. What follows from them: reports/passes.h.
 */
#ifndef FFL_HARNESS_ENCODER_PAIRS_H
#define FFL_HARNESS_ENCODER_PAIRS_H

#include "harness/encoder/pass_clock.h"

enum { FFL_PAIRS_MAX = 24 };

/* Nanoseconds, of all the model's layers: those of layers_timed count layers / layers_timed times (plan.h).
 */
typedef struct ffl_pass_pairs {
    size_t count;
    double dense[FFL_PAIRS_MAX][FFL_PART_COUNT], own[FFL_PAIRS_MAX][FFL_PART_COUNT];
    double alone[FFL_PAIRS_MAX]; /* the variant's feedforward layers by themselves */
} ffl_pass_pairs;

#endif
