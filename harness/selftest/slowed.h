/* Any variant, made slower by a known share: what a comparison of times must find. */
#ifndef FFL_HARNESS_SLOWED_H
#define FFL_HARNESS_SLOWED_H

#include "harness/worker.h"

#define FFL_SLOWED_SHARE 0.05

/*
 * Jobs as of "slices" (harness/compare/slices.h), with a variant that after each call does nothing for as
 * long as FFL_SLOWED_SHARE of the call took. What it added it measures itself: answers to slices have
 * "planted", the median share over the last calls.
 */
ffl_status ffl_slowed_serve(const json_t *request, ffl_answer *answer);

#endif
