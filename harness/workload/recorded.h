/*
 * recorded:FILE: what a real model's layer was given.
 *
 *   FILE.npy                     rows, float32 [tokens, width]; weights are seeded, as for any other routing
 *   FILE.safetensors[:LAYER]     a layer with its rows (harness/files/layer_file.h): its own weights take the
 *                                place of the seeded ones, so paths are those that the model's tokens took
 *
 * `fflab encoder --record FILE.safetensors` writes the second form. Errors name the file, FFL_BAD_INPUT.
 */
#ifndef FFL_HARNESS_RECORDED_H
#define FFL_HARNESS_RECORDED_H

#include "harness/workload/weights.h"

/* Does `file` (what follows "recorded:") bring weights? */
bool ffl_recorded_is_layer(const char *file);

/* The shape of such a layer, by its metadata. */
ffl_status ffl_recorded_shape(const char *file, ffl_layer *out);

/* Its weights, which must have `shape` (an FFF shape). */
ffl_status ffl_recorded_weights(const char *file, const ffl_layer *shape, ffl_weights *out);

/* The first `tokens` rows into x [tokens][ldx], from the first again after the last; all finite, of `width`.
 */
ffl_status ffl_recorded_inputs(const char *file, size_t width, float *x, size_t ldx, size_t tokens);

/* Everything that the two above refuse, before anything runs. */
ffl_status ffl_recorded_check(const char *file, const ffl_layer *shape);

#endif
