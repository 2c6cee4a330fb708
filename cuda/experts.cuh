/*
 * What leaf FFF and mixtures of experts share on the GPU: once the tokens have chosen, everything.
 *
 * A variant's first kernels write down each pair's expert (expert_pairs.cuh) and, for mixtures, its share,
 * and the last of them calls ffl_dependents_launch. Then ffl_experts_run goes on.
 *
 * Products: blocks take one tile after the other. Narrow experts have both products in one kernel
 * (narrow_experts.cuh); wide ones two grouped products (grouped_product.cuh), hidden values in scratch.
 *
 * Sums: the outputs of a token's experts are added in the order of its pairs. One expert alone has a share of
 * exactly 1 and writes y itself.
 *
 * The order of an expert's tokens depends on which block came first. No bit of a row does: each sum runs in
 * one order whatever the tile (small_tile.cuh, register_tile.cuh).
 */
#ifndef FFL_CUDA_EXPERTS_CUH
#define FFL_CUDA_EXPERTS_CUH

#include "cuda/expert_pairs.cuh"

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
