/*
 * What leaf FFF and mixtures of experts share on the GPU: once the tokens have chosen, everything.
 *
 * A pair is a token and one of the experts that it chose; pair token·chosen + c, c by descending gate. A
 * variant's first kernels write down each pair's expert (ffl_expert_take) and, for mixtures, its share, and
 * the last of them calls ffl_dependents_launch. Then ffl_experts_run goes on.
 *
 * Places: every expert that was chosen gets a row of places for its pairs, cut into tiles; in whatever order
 * the experts come, and in time by the pairs, not by the experts (depth 20 has a million leaves). Few pairs
 * need none of this: each is a tile of its own.
 *
 * Products: blocks take one tile after the other. Narrow experts have both products in one kernel, hidden
 * values in shared memory; wide ones two grouped products, hidden values in scratch.
 *
 * Sums: the outputs of a token's experts are added in the order of its pairs. One expert alone has a share of
 * exactly 1 and writes y itself.
 *
 * The order of an expert's tokens depends on which block came first. No bit of a row does: each sum runs in
 * one order whatever the tile (small_tile.cuh, register_tile.cuh).
 */
#ifndef FFL_CUDA_EXPERTS_CUH
#define FFL_CUDA_EXPERTS_CUH

#include "cuda/launch.cuh"
#include "kernels/variant.h"

/* Up to here hidden values of 32 tokens fit beside the ring of the first product. */
static constexpr unsigned FFL_EXPERT_NARROW = 32;

/* Pairs of a tile, unless there are enough for larger ones. */
static constexpr unsigned FFL_EXPERT_TILE = 32;

/* Of one run, by value to kernels. */
struct ffl_expert_pairs {
    unsigned *expert, *rank, *order; /* [pairs]; rank: among its expert's; order: pairs by place */
    float *share;                    /* [pairs]; NULL: 1 each */
    uint4 *tile;                     /* expert, first place, pairs of it */
    unsigned *count, *start;         /* [experts]: pairs, 0 between runs; first place */
    unsigned long long *total;       /* tiles << 32 | places given away */
    unsigned pairs, experts, chosen;
    unsigned tile_rows;
    bool loose; /* a tile of its own for each pair: place = pair; of all these only expert and share are used
                 */
};

/* Pair `pair` goes to `expert`; each pair once. */
__device__ static inline void ffl_expert_take(const ffl_expert_pairs &p, size_t pair, unsigned expert)
{
    p.expert[pair] = expert;
    if (!p.loose)
        p.rank[pair] = atomicAdd(&p.count[expert], 1u);
}

/* By one thread of the grid, before any pair is placed. */
__device__ static inline void ffl_expert_begin(const ffl_expert_pairs &p)
{
    if (!p.loose)
        *p.total = 0;
}

typedef struct ffl_experts ffl_experts;

/*
 * For a layer of either kind, on the device. Sets plan->scratch_bytes, of which the first `own_bytes` are the
 * variant's. FFL_NO_MEMORY or FFL_DEVICE.
 */
ffl_status ffl_experts_new(const ffl_layer *layer, size_t own_bytes, ffl_plan *plan, ffl_experts **out);
void ffl_experts_free(ffl_experts *experts);

/* The pairs of a run: where the variant's kernels write them. */
ffl_expert_pairs ffl_experts_pairs(const ffl_experts *experts, const ffl_exec *exec, size_t tokens);

/* y of all tokens, whose pairs are known. Only enqueues; FFL_DEVICE when a launch failed. */
ffl_status ffl_experts_run(const ffl_experts *experts, const ffl_exec *exec, const ffl_expert_pairs *pairs,
                           const float *x, size_t ldx, float *y, size_t ldy, size_t tokens);

/* supports of both operations. */
bool ffl_experts_on_device(const ffl_layer *shape, size_t tokens, const char **why);

#endif
