/*
 * Wide experts: each is a dense layer of its own, packed for the register tiles of kernels/tiled.h, through
 * which its tokens go in blocks, gathered from where they lie.
 *
 * A row's bits do not change with the others in its block.
 */
#ifndef FFL_KERNELS_EXPERTS_TILED_H
#define FFL_KERNELS_EXPERTS_TILED_H

#include "kernels/experts.h"
#include "kernels/tiled.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A batch with its choice, and where the pairs go. */
typedef struct ffl_experts_batch {
    const ffl_layer *layer;
    const float *x;
    float *y;
    size_t ldx, ldy;
    const uint32_t *expert; /* [pairs] */
    const float *share;     /* [pairs]; NULL: whole, each token has one expert */
} ffl_experts_batch;

typedef struct ffl_experts_tiled ffl_experts_tiled;

/* Packs all experts; `layer` must outlive it. FFL_NO_MEMORY, with nothing left allocated. */
ffl_status ffl_experts_tiled_new(const ffl_tiled *kernel, const ffl_layer *layer, size_t max_tokens,
                                 ffl_experts_tiled **out);
void ffl_experts_tiled_free(ffl_experts_tiled *experts);

/* Bytes of packed weights, and of scratch that a run needs, 64-byte aligned. */
size_t ffl_experts_tiled_packed(const ffl_experts_tiled *experts);
size_t ffl_experts_tiled_scratch(const ffl_experts_tiled *experts);

/* Pairs order [count], sorted by expert, all of a token's in ascending order: the first one writes y. */
void ffl_experts_tiled_run(const ffl_experts_tiled *experts, const ffl_experts_batch *batch,
                           const uint32_t *order, size_t count, void *scratch);

#ifdef __cplusplus
}
#endif
#endif
