/*
 * --dump DIR: embedding.npy, layer_00.npy … (after each layer) and encoder.npy (after the final norm) as
 * float32 [batch, sequence, width], logits.npy float32 [batch, sequence, vocabulary], and for trees paths.npy
 * int32 [layers, batch, sequence, trees, levels].
 */
#ifndef FFL_HARNESS_ENCODER_DUMP_H
#define FFL_HARNESS_ENCODER_DUMP_H

#include "harness/encoder/encoder.h"

typedef struct ffl_dump {
    const char *folder; /* exists */
    const ffl_encoder_input *input;
    const ffl_encoder_config *config;
    float *logits; /* owned */
    int32_t *paths;
    bool traced;
} ffl_dump;

ffl_status ffl_dump_begin(ffl_dump *dump, const ffl_encoder_weights *weights);

/* For ffl_encoder_verify, with the dump as user. */
ffl_status ffl_dump_watch(void *user, ffl_encoder *encoder, size_t layer);
void ffl_dump_logits(void *user, size_t first, size_t count, const float *logits);

ffl_status ffl_dump_end(ffl_dump *dump);
void ffl_dump_free(ffl_dump *dump);

/* FFL_BAD_INPUT when the folder cannot be had; makes it. */
ffl_status ffl_dump_folder(const char *folder);

#endif
