/*
 * Narrow experts: both products in one kernel, a block per tile of 32 pairs, hidden values in shared memory.
 */
#ifndef FFL_CUDA_NARROW_EXPERTS_CUH
#define FFL_CUDA_NARROW_EXPERTS_CUH

#include "cuda/expert_pairs.cuh"

/* Up to here hidden values of 32 tokens fit beside the ring of the first product. */
static constexpr unsigned FFL_EXPERT_NARROW = 32;

/* d [pair] = its expert's output for x [token]; strides in elements. Only enqueues; FFL_DEVICE when a launch
 * failed. */
ffl_status ffl_narrow_experts_run(const ffl_layer *layer, const ffl_expert_pairs *pairs, const float *x,
                                  size_t ldx, float *d, size_t ldd, cudaStream_t stream);

#endif
