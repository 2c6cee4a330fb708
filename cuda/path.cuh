/*
 * The walk in two halves, for any width and number of trees: the nodes on the way, then the sum of their
 * output rows. Kernels that keep a row in registers fall back on these where rows are too long, and trace
 * through the first. T: float or uint16_t (bfloat16 bits), of weights, x and y alike.
 *
 *   nodes, logits  [tokens][trees][levels] on the device: node in its tree, z = x·w_in + b_in
 *
 * Only enqueue; FFL_DEVICE when a launch failed. The logits have the bits of ffl_row_dot (row.cuh).
 */
#ifndef FFL_CUDA_PATH_CUH
#define FFL_CUDA_PATH_CUH

#include "cuda/row.cuh"

template <typename T>
ffl_status ffl_path_find(const ffl_tree<T> *tree, const T *x, size_t ldx, size_t tokens, int32_t *nodes,
                         float *logits, cudaStream_t stream);

/* y = Σ act(logit)·w_out over all nodes, in the order of the array. */
template <typename T>
ffl_status ffl_path_sum(const ffl_tree<T> *tree, const int32_t *nodes, const float *logits, T *y, size_t ldy,
                        size_t tokens, cudaStream_t stream);

#endif
