/*
 * What the hybrid's products do not fit is walked, a warp per token, on the original weights rounded as the
 * format would: trees deeper than two parts, and inputs too narrow for split products. Right, not fast.
 */
#ifndef FFL_CUDA_HYBRID_WALK_CUH
#define FFL_CUDA_HYBRID_WALK_CUH

#include "cuda/hybrid.cuh"
#include "kernels/variant.h"

static constexpr unsigned FFL_WALK_WARPS = 4;

template <class F>
__device__ static inline float ffl_walk_read(typename F::element value)
{
    if constexpr (F::ELEMENT == 2)
        return ffl_bf16_to_float(value);
    else
        return value;
}

template <class F>
__device__ static inline typename F::element ffl_walk_narrow(float value)
{
    if constexpr (F::ELEMENT == 2)
        return ffl_bf16_from_float(value);
    else
        return value;
}

/* The activation at a node of a token, the same in all lanes; *logit: its own. */
template <class F>
__device__ static inline float ffl_walk_node(const ffl_layer &l, const typename F::element *x, size_t row,
                                             float *logit)
{
    const float *w = l.w_in + row * l.width_in;
    float z = 0.0f;
    for (size_t i = threadIdx.x % 32; i < l.width_in; i += 32)
        z = fmaf(ffl_walk_read<F>(x[i]), ffl_walk_read<F>(F::pack(w[i])), z);
    for (int lane = 16; lane > 0; lane /= 2)
        z += __shfl_xor_sync(0xffffffffu, z, lane);
    z += l.b_in[row];
    *logit = z;
    return ffl_activate_device(l.activation, z);
}

/* 1024 output columns at a time, the path walked again for each: nothing has to be remembered. */
template <class F>
__global__ static void __launch_bounds__(32 * FFL_WALK_WARPS)
    ffl_hybrid_walk(ffl_layer l, const void *x, size_t ldx, void *y, size_t ldy, size_t tokens,
                    int32_t *nodes, float *logits)
{
    typedef typename F::element element;
    constexpr int HELD = 32; /* columns of a lane */
    const size_t token = (size_t)blockIdx.x * FFL_WALK_WARPS + threadIdx.x / 32;
    if (token >= tokens)
        return;
    const element *row_x = (const element *)x + token * ldx;
    element *row_y = (element *)y + token * ldy;
    for (size_t block = 0; block < l.width_out; block += 32 * HELD) {
        const size_t first = block + threadIdx.x % 32;
        float sums[HELD] = {};
        for (size_t tree = 0; tree < l.trees; tree++) {
            size_t node = 0;
            for (size_t level = 0; level < l.levels; level++) {
                const size_t row = tree * l.nodes + node;
                float z;
                const float g = ffl_walk_node<F>(l, row_x, row, &z);
#pragma unroll
                for (int j = 0; j < HELD; j++)
                    if (first + 32 * j < l.width_out)
                        sums[j] =
                            fmaf(g, ffl_walk_read<F>(F::pack(l.w_out[row * l.width_out + first + 32 * j])),
                                 sums[j]);
                if (nodes && block == 0 && threadIdx.x % 32 == 0) {
                    const size_t at = (token * l.trees + tree) * l.levels + level;
                    nodes[at] = (int32_t)node;
                    logits[at] = z;
                }
                node = 2 * node + 1 + (z > 0.0f);
            }
        }
#pragma unroll
        for (int j = 0; j < HELD; j++)
            if (y && first + 32 * j < l.width_out)
                row_y[first + 32 * j] = ffl_walk_narrow<F>(sums[j]);
    }
}

template <class F>
static ffl_status ffl_hybrid_walk_run(const ffl_layer *l, const ffl_exec *exec, const void *x, size_t ldx,
                                      void *y, size_t ldy, size_t tokens, int32_t *nodes, float *logits)
{
    const size_t blocks = (tokens + FFL_WALK_WARPS - 1) / FFL_WALK_WARPS;
    FFL_LAUNCH(ffl_hybrid_walk<F>, (unsigned)blocks, 32 * FFL_WALK_WARPS, 0, ffl_cuda_stream(exec->stream),
               *l, x, ldx, y, ldy, tokens, nodes, logits);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

#endif
