/* A layer's tensors in a file that is being read (layer_file.h): what its two source files share. */
#ifndef FFL_HARNESS_LAYER_SOURCE_H
#define FFL_HARNESS_LAYER_SOURCE_H

#include "harness/files/layer_file.h"
#include "harness/files/safetensors.h"

/* One layer inside one file. */
typedef struct ffl_layer_source {
    const char *path; /* as the user gave it, for messages */
    char prefix[256]; /* "encoder.layers.3.ffn." or "" */
    ffl_safetensors *file;
    const ffl_tensor *w_in, *b_in, *w_out, *b_out; /* biases may be NULL */
    const ffl_tensor *w_gate, *b_gate;             /* leaf FFF and MoE */
} ffl_layer_source;

/* Shape and activation, from tensors, metadata and what was asked for. FFL_BAD_INPUT when they do not fit. */
ffl_status ffl_layer_source_shape(const ffl_layer_source *source, const ffl_layer_request *request,
                                  ffl_layer *out);

/* The operation with experts that the file names; FFL_FF when it names none. */
ffl_operation ffl_layer_source_experts(const ffl_layer_source *source);

#endif
