/*
 * How walks of trees divide the work of one token among warps and blocks. Made once, of the layer's shape
 * alone, so that a batch does not change the bits. Plain C: tests/test_walk_plan.c runs it without a GPU.
 */
#ifndef FFL_CUDA_WALK_PLAN_H
#define FFL_CUDA_WALK_PLAN_H

#include <stdbool.h>
#include <stddef.h>

enum {
    FFL_WALK_BLOCK_WARPS = 8,          /* of a block in which each warp walks trees of its own */
    FFL_WALK_CLUSTER_MAX = 8,          /* blocks of one token */
    FFL_SPECULATION_LEVELS_MAX = 6,    /* at once: 63 signs are one word */
    FFL_SPECULATION_THREADS_MAX = 480, /* of a block */
};

/* ---- Several levels at once ---- */

typedef struct ffl_speculation {
    unsigned blocks;          /* of a token: 1, or a cluster; a power of two */
    unsigned warps;           /* of a block */
    unsigned trees;           /* that descend together */
    unsigned levels_per_step; /* 2^levels_per_step - 1 nodes of each of those trees */
    bool aligned_x;           /* of a launch */
} ffl_speculation;

/* Logits of one step. */
static inline size_t ffl_speculation_logits(const ffl_speculation *s)
{
    return (size_t)s->trees * ((1u << s->levels_per_step) - 1);
}

/* Of a block: logits of two steps, rows and logits on the path, roots. */
static inline size_t ffl_speculation_shared_bytes(const ffl_speculation *s)
{
    return 4 * (2 * ffl_speculation_logits(s) + 2 * (size_t)s->trees * s->levels_per_step + s->trees);
}

/*
 * As many levels a step as `blocks` of `warps` have a warp for, in steps of nearly equal depth. A cluster no
 * larger than that needs, and none where it would take several steps of one or two levels: its barrier costs
 * more than those save.
 */
static inline ffl_speculation ffl_speculation_of(size_t trees, unsigned levels, unsigned blocks,
                                                 unsigned warps)
{
    const size_t most = (size_t)blocks * warps, groups = (trees + most - 1) / most;
    ffl_speculation s = {blocks, warps, (unsigned)((trees + groups - 1) / groups), 1, false};
    while (s.levels_per_step < FFL_SPECULATION_LEVELS_MAX && s.levels_per_step < levels &&
           s.trees * ((2u << s.levels_per_step) - 1) <= most)
        s.levels_per_step++;
    const unsigned steps = (levels + s.levels_per_step - 1) / s.levels_per_step;
    s.levels_per_step = (levels + steps - 1) / steps;
    if (blocks > 1 && s.levels_per_step < 3 && steps > 1)
        return ffl_speculation_of(trees, levels, 1, warps);
    return blocks > 1 && 2 * ffl_speculation_logits(&s) <= most
               ? ffl_speculation_of(trees, levels, blocks / 2, warps)
               : s;
}

/* ---- A warp per tree ---- */

typedef struct ffl_warp_share {
    unsigned warps;            /* of one token, over all its blocks: a power of two */
    unsigned blocks;           /* of one token: 1, or a cluster of whole blocks */
    unsigned kept_levels;      /* whose rows should stay in a first-level cache */
    bool aligned_x, aligned_y; /* of a launch: 16 bytes at a time */
} ffl_warp_share;

/* row_bytes: of w_in and w_out together. cache_bytes: what the upper rows of both may take. */
static inline ffl_warp_share ffl_warp_share_of(size_t trees, unsigned levels, size_t row_bytes,
                                               size_t cache_bytes)
{
    ffl_warp_share s = {1, 1, 0, false, false};
    while (s.warps < trees && s.warps < FFL_WALK_BLOCK_WARPS * FFL_WALK_CLUSTER_MAX)
        s.warps *= 2;
    if (s.warps > FFL_WALK_BLOCK_WARPS)
        s.blocks = s.warps / FFL_WALK_BLOCK_WARPS;
    while (s.kept_levels < levels && trees * (((size_t)2 << s.kept_levels) - 1) * row_bytes <= cache_bytes)
        s.kept_levels++;
    return s;
}

/* Warps of a block: a few tokens a block, so that a small batch still meets all multiprocessors. */
static inline unsigned ffl_warp_share_block(const ffl_warp_share *s, size_t tokens, unsigned processors)
{
    const unsigned most = FFL_WALK_BLOCK_WARPS;
    unsigned warps = s->warps < most ? s->warps : most;
    while (warps < most && tokens * s->warps > (size_t)warps * processors)
        warps *= 2;
    return warps;
}

/* Blocks for `tokens`, each of `warps`. */
static inline size_t ffl_warp_share_grid(const ffl_warp_share *s, size_t tokens, unsigned warps)
{
    const size_t together = s->warps < warps ? warps / s->warps : 1;
    return (tokens + together - 1) / together * s->blocks;
}

#endif
