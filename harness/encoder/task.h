/*
 * What `fflab encoder` was asked to run: an architecture with weights, and a batch of token ids. It travels
 * to the worker as one JSON object:
 *
 *   preset | config | checkpoint   a name, a file, a folder    positions   rows of the position table, or 0
 *   tokens, mask, types            .npy files, or ""           batch, sequence, seed
 *   neurons                        that dense variants evaluate in a model with trees, 0: all
 *   layers_timed                   of seeded weights, only the first so many layers; 0: all
 */
#ifndef FFL_HARNESS_ENCODER_TASK_H
#define FFL_HARNESS_ENCODER_TASK_H

#include "harness/cli.h"
#include "harness/encoder/encoder.h"
#include "harness/encoder/points.h"
#include <jansson.h>

typedef struct ffl_encoder_task {
    ffl_encoder_weights weights; /* without weights: config only */
    size_t layers;               /* of the model; weights.config.layers of them are there (plan.h) */
    ffl_encoder_input input;
    int32_t *ids; /* owned */
    unsigned char *mask;
    int32_t *types;
} ffl_encoder_task;

/* From the command line, for one point of its sweep (points.h); FFL_BAD_INPUT names option and value. */
ffl_status ffl_encoder_task_request(const ffl_options *options, const ffl_encoder_point *point, json_t **out);

/* Reads what the request names, draws what it does not, and checks both. Seeded weights are only made with
 * `seeded`: their absence cannot be an error. */
ffl_status ffl_encoder_task_open(const json_t *request, bool seeded, ffl_encoder_task *out);

void ffl_encoder_task_close(ffl_encoder_task *task);

#endif
