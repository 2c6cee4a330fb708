/*
 * The weights of an encoder on the device, in the form that a pass of one storage type reads: matrices in
 * that type, everything else in float. Made once for all encoders with these weights, and owned by them.
 */
#ifndef FFL_HARNESS_DEVICE_WEIGHTS_H
#define FFL_HARNESS_DEVICE_WEIGHTS_H

#include "harness/encoder/encoder_weights.h"
#include "kernels/variant.h"

/* bias: of the product's output type (cuda/gemm.h), or NULL. */
typedef struct ffl_device_linear {
    void *weight, *bias;
} ffl_device_linear;

typedef struct ffl_device_norm_weights {
    float *weight, *bias;
} ffl_device_norm_weights;

typedef struct ffl_device_layer {
    ffl_device_linear qkv, projection;
    ffl_device_norm_weights norm1, norm2;
} ffl_device_layer;

typedef struct ffl_device_weights {
    struct ffl_device_weights *next;
    ffl_type storage;
    float *words, *positions, *types;
    ffl_device_norm_weights embedding_norm, final_norm, transform_norm;
    ffl_device_linear embedding_projection, transform, logits;
    ffl_device_layer *layer; /* [layers], or 1 when shared */
    void **blocks;           /* all of it, as allocated */
    size_t block_count;
    double pack_ns;
} ffl_device_weights;

/* Those of `weights` on the device; uploads them when asked for the first time. *out lives as long as
 * `weights`. FFL_DEVICE, or FFL_NO_MEMORY when the device has not so much. */
ffl_status ffl_device_weights_get(const ffl_encoder_weights *weights, ffl_type storage,
                                  const ffl_device_weights **out);

/* The whole list. */
void ffl_device_weights_free(ffl_device_weights *first);

#endif
