/*
 * Inside the loader (encoder_weights.h): what a checkpoint must hold, as a list of slots made from the
 * configuration (checkpoint_names.c), and how the tensors get there (checkpoint.c).
 */
#ifndef FFL_HARNESS_ENCODER_CHECKPOINT_H
#define FFL_HARNESS_ENCODER_CHECKPOINT_H

#include "harness/encoder/encoder_weights.h"
#include "harness/encoder/shards.h"

typedef enum ffl_slot_kind {
    FFL_SLOT_VIEW = 0,   /* to: const float **, into the file as read where the tensor is f32 */
    FFL_SLOT_COPY,       /* to: float[rows][width] */
    FFL_SLOT_TRANSPOSED, /* to: float[width][rows] */
    FFL_SLOT_GROUPED, /* to: float[rows][width], rows from per-head groups of q, k, v to all q, all k, all v
                       */
    FFL_SLOT_SCALAR   /* to: float; no dimension, or one of 1 */
} ffl_slot_kind;

typedef struct ffl_slot {
    char name[224];
    ffl_slot_kind kind;
    void *to;
    size_t rows, width; /* width 0: one dimension */
    bool optional;
    ffl_shard_tensor *found;
} ffl_slot;

typedef struct ffl_checkpoint {
    const char *folder;
    ffl_encoder_weights *weights;
    ffl_shards shards;
    ffl_slot *slots;
    size_t count, capacity;
    bool no_memory;
    float position_scale; /* crammedBERT's scale_factor */
} ffl_checkpoint;

/* Adds a slot; a lack of memory is remembered. */
void ffl_checkpoint_want(ffl_checkpoint *checkpoint, const ffl_slot *slot);

/* All slots of the configuration. */
ffl_status ffl_checkpoint_want_all(ffl_checkpoint *checkpoint);

/* A tensor that belongs to no part of this pass, and is no mistake. */
bool ffl_checkpoint_other_head(const char *name);

#endif
