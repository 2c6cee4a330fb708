/*
 * The weights of an encoder, in the one layout that the passes use, whatever the checkpoint's. They come from
 * a seed, or from a folder with config.json and model.safetensors (or model.safetensors.index.json and its
 * shards). Tensors are used where they were read if they fit as they are (f32, same layout); feedforward
 * layers are copied: w_out is transposed, and trees want huge pages.
 */
#ifndef FFL_HARNESS_ENCODER_WEIGHTS_H
#define FFL_HARNESS_ENCODER_WEIGHTS_H

#include "harness/encoder/config.h"
#include "harness/encoder/projection.h"
#include "harness/files/safetensors.h"
#include "harness/workload/weights.h"
#include <stdint.h>

/* y = x·weightᵀ + bias; bias may be NULL. */
typedef struct ffl_linear {
    const float *weight, *bias; /* [out][in], [out] */
} ffl_linear;

typedef struct ffl_norm {
    const float *weight, *bias;
} ffl_norm;

typedef struct ffl_encoder_layer {
    ffl_linear qkv; /* [3 · width][width]: all heads' q, then k, then v, each in the order of the heads */
    float scale;    /* of the scores */
    ffl_linear projection;
    ffl_norm norm1, norm2; /* around attention and feedforward layer, in the order of config.pre_norm */
    ffl_weights feedforward;
} ffl_encoder_layer;

typedef struct ffl_encoder_weights {
    ffl_encoder_config config;
    size_t dense_neurons;   /* of each layer, that dense variants evaluate: its first ones; 0: all */
    const float *words;     /* [vocabulary][embedding_width] */
    const float *positions; /* [position_rows][embedding_width]; sinusoidal: scaled already */
    const float *types;     /* [token_types][embedding_width] */
    ffl_norm embedding_norm;
    ffl_linear embedding_projection; /* [width][embedding_width]; NULL when they are equal */
    ffl_encoder_layer *layer;        /* [layers], or 1 when shared */
    ffl_norm final_norm;

    bool has_head;        /* a checkpoint may have none: no logits then */
    ffl_linear transform; /* [embedding_width][width] */
    ffl_norm transform_norm;
    ffl_linear logits; /* [vocabulary][embedding_width] */

    /* Owned. packed, on_device: what encoders with these weights have made of them. */
    ffl_packed_set *packed;
    struct ffl_device_weights **on_device; /* device_weights.h: a list, for passes there */
    ffl_safetensors **files;
    size_t file_count;
    void **blocks;
    size_t block_count;
} ffl_encoder_weights;

/*
 * Seeded weights of the scale that trained ones have: every product of a normalised row has about unit
 * variance, so that trees part tokens evenly and no part of the sum drowns the others.
 */
ffl_status ffl_encoder_weights_seeded(const ffl_encoder_config *config, uint64_t seed,
                                      ffl_encoder_weights *out);

/*
 * A checkpoint folder. FFL_BAD_INPUT names the file and what is wrong; missing, misshapen and unknown tensors
 * are listed in one message, as many as fit. Tensors known to belong to other heads (pooler, next sentence)
 * are passed over. All weights are finite.
 */
ffl_status ffl_encoder_weights_load(const char *folder, ffl_encoder_weights *out);

const ffl_encoder_layer *ffl_encoder_weights_layer(const ffl_encoder_weights *weights, size_t i);

/* What dense variants evaluate: layer i with all its neurons, or the first dense_neurons of them. */
size_t ffl_encoder_dense_neurons(const ffl_encoder_weights *weights);
ffl_layer ffl_encoder_dense_layer(const ffl_encoder_weights *weights, size_t i);

void ffl_encoder_weights_free(ffl_encoder_weights *weights);

/* ---- For the two makers above ---- */

/* Zeroed floats owned by `weights`; NULL with a message when they cannot be had. */
float *ffl_encoder_weights_floats(ffl_encoder_weights *weights, size_t rows, size_t width);

/* The layers' array, with zeroed feedforward weights. */
ffl_status ffl_encoder_weights_layers(ffl_encoder_weights *weights);

/* scale · (sin on even, cos on odd columns), as the original computes it in float. */
void ffl_sinusoidal_positions(size_t rows, size_t width, float scale, float *out);

#endif
