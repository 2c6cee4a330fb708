/*
 * A layer from a safetensors file: linear_in.weight [N, H], linear_in.bias [N] (optional),
 * linear_out.weight [H_out, N], linear_out.bias [H_out] (dense only, optional); or dense_in / dense_out in the
 * same form. Names are bare, or stand behind the prefix of a checkpoint, which `path` then names after a
 * colon: model.safetensors:encoder.layers.3.ffn. w_out is transposed to [N][H_out].
 *
 * The tree is the file's __metadata__ (depth, parallel_trees), overridden by --tree. With neither, a dense
 * operation loads all neurons, and a tree is an error that says what to add.
 */
#ifndef FFL_HARNESS_LAYER_FILE_H
#define FFL_HARNESS_LAYER_FILE_H

#include "harness/workload/weights.h"

typedef struct ffl_layer_request {
    ffl_operation operation;   /* what the variant evaluates */
    ffl_activation activation;
    size_t trees, levels;      /* from --tree; 0: as the file says */
} ffl_layer_request;

/* Finite weights of a consistent shape, or FFL_BAD_INPUT naming file, tensor and element. */
ffl_status ffl_layer_file_read(const char *path, const ffl_layer_request *request, ffl_weights *out);

/* The file's own inputs, if it has a tensor "x" [B, H]: rows in *x (ffl_free), their number in *tokens;
 * *x = NULL when it has none. */
ffl_status ffl_layer_file_inputs(const char *path, size_t width_in, float **x, size_t *tokens);

/* Writes a layer (and x, y when given) in the same form: safetensors with __metadata__. */
ffl_status ffl_layer_file_write(const char *path, const ffl_layer *layer, const float *x, size_t tokens,
                                const double *y);

#endif
