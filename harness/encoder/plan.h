/*
 * How much of a model is timed. A dense pass of 64 x 512 tokens through 16 layers takes minutes, and the
 * layers of a seeded model are all alike: then the first few of them stand for all. What is left out is left
 * out of everything (weights, reference, verification, passes), and each layer's times count layers /
 * layers_timed times; embedding, final norm and logits count once. Such results are reduced, and say so.
 * Checkpoints always run whole: their layers are not alike.
 */
#ifndef FFL_HARNESS_ENCODER_PLAN_H
#define FFL_HARNESS_ENCODER_PLAN_H

#include "harness/encoder/task.h"

enum {
    /* So many layers leave each other's weights as cold as all of them would: 138 MB of 1x11's. */
    FFL_PLAN_LAYERS_MIN = 4,
    FFL_PLAN_PAIRS = 3 /* of passes: what the plan makes room for */
};

/*
 * Layers of this model to time, so that `rows` variants are verified and timed in about `seconds` (0: no
 * limit). The speed of this machine is that of a product of the projections' size, measured here.
 */
ffl_status ffl_encoder_plan(const ffl_encoder_task *task, size_t rows, double seconds, int threads,
                            size_t *layers);

/* The same with the machine's speed given: FLOP/s. */
size_t ffl_encoder_plan_layers(const ffl_encoder_config *config, size_t batch, size_t sequence,
                               size_t neurons, size_t rows, double seconds, double speed);

#endif
