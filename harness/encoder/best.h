/* The variants that `bench` found to be the fastest on an encoder's feedforward layers. */
#ifndef FFL_HARNESS_ENCODER_BEST_H
#define FFL_HARNESS_ENCODER_BEST_H

#include "kernels/layer.h"
#include <jansson.h>

/*
 * Appends to `names` those of the `count` fastest f32 trees of this shape in the journal of `dir` that are
 * not there yet: timed with uniform routing and so many threads, at the batch nearest to `tokens`.
 * Dispatchers do not count: they run one of the others. No journal, or none of that shape in it, adds
 * nothing.
 */
ffl_status ffl_encoder_best(const char *dir, const ffl_layer *shape, size_t tokens, int threads, size_t count,
                            json_t *names);

#endif
