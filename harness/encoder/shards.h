/*
 * The tensors of a checkpoint folder: model.safetensors, or the shards that model.safetensors.index.json
 * names, as one set. Every look-up marks its tensor as used, so that what nobody asked for can be told.
 */
#ifndef FFL_HARNESS_ENCODER_SHARDS_H
#define FFL_HARNESS_ENCODER_SHARDS_H

#include "harness/files/safetensors.h"
#include <stdbool.h>

typedef struct ffl_shard_tensor {
    const ffl_tensor *tensor;
    size_t file;
    bool used;
} ffl_shard_tensor;

typedef struct ffl_shards {
    ffl_safetensors **files; /* owned, until the caller takes them (and sets NULL) */
    char (*paths)[512];
    size_t file_count;
    ffl_shard_tensor *tensors; /* sorted by name */
    size_t count;
} ffl_shards;

/* FFL_BAD_INPUT: no such files, a shard that the index names and that is not there, a tensor in two shards, a
 * tensor that is not where the index says. */
ffl_status ffl_shards_open(const char *folder, ffl_shards *out);

/* NULL when absent. */
ffl_shard_tensor *ffl_shards_find(ffl_shards *shards, const char *name);

void ffl_shards_close(ffl_shards *shards);

#endif
