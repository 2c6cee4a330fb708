/*
 * FFF on the GPU, as the equation reads: one block per token walks the trees; its threads share each dot
 * product and own the output columns tid, tid + THREADS, … The next row is known only when the whole block
 * has summed its logit, so the kernel is bound by that latency, not by the GPU's bandwidth.
 */
#include "cuda/activation.h"
#include "cuda/launch.cuh"
#include "kernels/variant.h"

static constexpr unsigned THREADS = 128, WARPS = THREADS / 32;
static constexpr size_t BLOCKS_MAX = 1 << 20;

/* x·w, the same bits in every thread. `partial` is free again when all threads have passed the next barrier.
 */
__device__ static float block_dot(const float *x, const float *w, size_t n, float *partial)
{
    float sum = 0.0f;
    for (size_t i = threadIdx.x; i < n; i += THREADS)
        sum += x[i] * w[i];
    for (int lane = 16; lane > 0; lane /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, lane);
    if (threadIdx.x % 32 == 0)
        partial[threadIdx.x / 32] = sum;
    __syncthreads();
    sum = 0.0f;
    for (unsigned warp = 0; warp < WARPS; warp++)
        sum += partial[warp];
    __syncthreads();
    return sum;
}

__global__ static void __launch_bounds__(THREADS)
    walk(ffl_layer l, const float *x, size_t ldx, float *y, size_t ldy, size_t tokens)
{
    __shared__ float partial[WARPS];
    for (size_t t = blockIdx.x; t < tokens; t += gridDim.x) {
        const float *row_x = x + t * ldx;
        float *row_y = y + t * ldy;
        for (size_t j = threadIdx.x; j < l.width_out; j += THREADS)
            row_y[j] = 0.0f;
        for (size_t tree = 0; tree < l.trees; tree++) {
            size_t node = 0;
            for (size_t level = 0; level < l.levels; level++) {
                const size_t row = tree * l.nodes + node;
                const float z =
                    block_dot(row_x, l.w_in + row * l.width_in, l.width_in, partial) + l.b_in[row];
                const float g = ffl_activate_device(l.activation, z);
                for (size_t j = threadIdx.x; j < l.width_out; j += THREADS)
                    row_y[j] += g * l.w_out[row * l.width_out + j];
                node = 2 * node + 1 + (z > 0.0f);
            }
        }
    }
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const unsigned blocks = (unsigned)(tokens < BLOCKS_MAX ? tokens : BLOCKS_MAX);
    FFL_LAUNCH(walk, blocks, THREADS, 0, ffl_cuda_stream(exec->stream), *plan->layer, x, ldx, y, ldy, tokens);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

FFL_VARIANTS(fff_naive_cuda) = {
    {.name = "fff_naive_cuda",
     .summary = "tree walk, one block per token",
     .source = "arXiv:2311.10770, FFF inference",
     .operation = FFL_FFF,
     .place = FFL_CUDA,
     .family = FFL_NAIVE,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = ffl_prepare_nothing,
     .run = run},
    {},
};
