/*
 * Embedding and LayerNorm with everything around them in one launch: gathering, the residual, the activation
 * of the head's transform, and both forms of the result. A block takes a row, a thread eight columns, which
 * stay in registers: each value is read and written once.
 */
#include "cuda/device_encoder.h"
#include "cuda/rows.cuh"

namespace
{

enum { LANES = FFL_ROWS_LANES, WARPS_MOST = 32 };
static_assert((int)LANES == FFL_DEVICE_LANES);
static_assert(LANES * 32 * WARPS_MOST == FFL_DEVICE_WIDTH_MOST);

/* Of all threads of the block; `room` is not used again before the block ends. */
__device__ float sum_of_block(float value, float *room)
{
    const unsigned warps = blockDim.x / 32;
#pragma unroll
    for (int with = 16; with > 0; with /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, with);
    if (warps == 1)
        return value;
    if (threadIdx.x % 32 == 0)
        room[threadIdx.x / 32] = value;
    __syncthreads();
    value = 0;
    for (unsigned w = 0; w < warps; w++)
        value += room[w];
    return value;
}

__device__ void add_lanes(const float *from, size_t i, float v[LANES])
{
    float more[LANES];
    ffl_lanes_load<FFL_F32>(from, i, more);
#pragma unroll
    for (int k = 0; k < LANES; k++)
        v[k] += more[k];
}

template <ffl_type STORAGE>
__device__ void load(const ffl_device_norm &n, size_t row, size_t column, float v[LANES])
{
    const size_t at = row * n.width + column;
    if (n.words) {
        ffl_lanes_load<FFL_F32>(n.words, (size_t)n.id[row] * n.width + column, v);
        add_lanes(n.positions, (size_t)n.position[row] * n.width + column, v);
        if (n.types)
            add_lanes(n.types, (size_t)n.type[row] * n.width + column, v);
        return;
    }
    ffl_lanes_load<FFL_F32>(n.x, at, v);
    if (n.add) {
        float more[LANES];
        ffl_lanes_load<STORAGE>(n.add, at, more);
#pragma unroll
        for (int k = 0; k < LANES; k++)
            v[k] += more[k];
    }
    if (n.keep)
        ffl_lanes_store<FFL_F32>(n.x, at, v);
}

/* All threads of the block take part; those past the width hold zeros that count for nothing. */
__device__ void normalise(const ffl_device_norm &n, size_t column, bool live, float v[LANES])
{
    __shared__ float room[2][WARPS_MOST];
    float sum = 0, squares = 0;
#pragma unroll
    for (int k = 0; k < LANES; k++)
        sum += v[k];
    const float mean = sum_of_block(sum, room[0]) / (float)n.width;
#pragma unroll
    for (int k = 0; k < LANES; k++)
        squares += live ? (v[k] - mean) * (v[k] - mean) : 0.0f;
    const float variance = sum_of_block(squares, room[1]) / (float)n.width;
    if (!live)
        return;
    const float scale = 1.0f / sqrtf(variance + (float)n.eps);
    float weight[LANES], bias[LANES];
    ffl_lanes_load<FFL_F32>(n.weight, column, weight);
    ffl_lanes_load<FFL_F32>(n.bias, column, bias);
#pragma unroll
    for (int k = 0; k < LANES; k++)
        v[k] = (v[k] - mean) * scale * weight[k] + bias[k];
}

template <ffl_type STORAGE>
__global__ void __launch_bounds__(32 * WARPS_MOST, 1) norm_rows(ffl_device_norm n)
{
    const size_t row = blockIdx.x, column = (size_t)threadIdx.x * LANES;
    const bool live = column < n.width;
    float v[LANES] = {};
    if (live)
        load<STORAGE>(n, row, column, v);
    if (live && n.activates)
        for (int k = 0; k < LANES; k++)
            v[k] = ffl_activate_device(n.activation, v[k]);
    if (n.weight)
        normalise(n, column, live, v);
    if (live && n.full)
        ffl_lanes_store<FFL_F32>(n.full, row * n.width + column, v);
    if (live && n.narrow)
        ffl_lanes_store<STORAGE>(n.narrow, row * n.width + column, v);
}

} // namespace

ffl_status ffl_device_norm_run(const ffl_device_norm *n, void *stream)
{
    const unsigned threads = ffl_device_norm_threads(n->width);
    if (n->storage == FFL_BF16)
        FFL_LAUNCH(norm_rows<FFL_BF16>, (unsigned)n->rows, threads, 0, ffl_cuda_stream(stream), *n);
    else
        FFL_LAUNCH(norm_rows<FFL_F32>, (unsigned)n->rows, threads, 0, ffl_cuda_stream(stream), *n);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}
