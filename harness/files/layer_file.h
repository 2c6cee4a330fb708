/*
 * A layer from a safetensors file: linear_in.weight [N, H], linear_in.bias [N] (optional),
 * linear_out.weight [H_out, N], linear_out.bias [H_out] (dense only, optional); or dense_in / dense_out in
 * the same form. Names are bare, or stand behind the prefix of a checkpoint, which `path` then names after a
 * colon: model.safetensors:encoder.layers.3.ffn. w_out is transposed to [N][H_out].
 *
 * Leaf FFF and MoE have gates besides: gate.weight [gates, H], gate.bias [gates] (optional), and a row of
 * linear_out.bias per expert: [experts, H_out]. Their __metadata__ says operation (fff_leaf, moe) and depth,
 * or experts and chosen; --leaf and --moe stand in for it. A file that names one of them serves no other
 * operation.
 *
 * The tree is the file's __metadata__ (depth, parallel_trees), overridden by --tree. With neither, a dense
 * operation loads all neurons, and a tree is an error that says what to add. __metadata__.activation (as
 * --activation has it), where it is there, must be the activation asked for.
 */
#ifndef FFL_HARNESS_LAYER_FILE_H
#define FFL_HARNESS_LAYER_FILE_H

#include "harness/cli.h"
#include "harness/workload/weights.h"
#include <jansson.h>

typedef struct ffl_layer_request {
    ffl_operation operation; /* what the variant evaluates */
    ffl_activation activation;
    size_t trees, levels; /* from --tree; 0: as the file says. Leaf FFF: levels are those of --leaf */
    size_t experts, expert_width, chosen; /* from --leaf or --moe; expert_width 0: as the file says */
} ffl_layer_request;

/* From --activation and --tree, --leaf or --moe, of which a file takes one shape. */
ffl_status ffl_layer_request_read(const ffl_options *options, ffl_operation operation,
                                  ffl_layer_request *out);

/* Finite weights of a consistent shape, or FFL_BAD_INPUT naming file, tensor and element. */
ffl_status ffl_layer_file_read(const char *path, const ffl_layer_request *request, ffl_weights *out);

/* The operation that a file names in its __metadata__, if it is leaf FFF or MoE; *known is false otherwise.
 */
ffl_status ffl_layer_file_experts(const char *path, ffl_operation *operation, bool *known);

/* Its shape alone; the activation is the file's where it names one. */
ffl_status ffl_layer_file_shape(const char *path, const ffl_layer_request *request, ffl_layer *out);

/* The file's own inputs, if it has a tensor "x" [B, H], behind the layer's prefix or bare: rows in *x
 * (ffl_free), their number in *tokens; *x = NULL when it has none. */
ffl_status ffl_layer_file_inputs(const char *path, size_t width_in, float **x, size_t *tokens);

/* Writes a layer (and x, y when given) in the same form: safetensors with __metadata__. */
ffl_status ffl_layer_file_write(const char *path, const ffl_layer *layer, const float *x, size_t tokens,
                                const double *y);

/* One of several layers in a file: read as FILE:prefix. */
typedef struct ffl_layer_entry {
    char prefix[32]; /* "layers.3"; "" for bare names */
    ffl_layer layer; /* all of a file have the same operation, sizes and activation */
    const float *x;  /* [tokens][width_in] or NULL */
    const double *y; /* [tokens][width_out] or NULL */
} ffl_layer_entry;

/* One layer with further strings for __metadata__: an object, owned by the caller. */
ffl_status ffl_layer_file_write_noted(const char *path, const ffl_layer_entry *entry, size_t tokens,
                                      json_t *notes);

ffl_status ffl_layer_file_write_all(const char *path, const ffl_layer_entry *entries, size_t count,
                                    size_t tokens);

#endif
