/* Attention on the device: which kernel, and its launch. */
#include "cuda/attention_bf16.cuh"
#include "cuda/attention_f32.cuh"

namespace
{

template <class tile, typename element>
__global__ void __launch_bounds__(tile::THREADS) attend(ffl_attention_args a)
{
    FFL_SHARED(element, shared);
    tile t(shared);
    for (unsigned sequence = blockIdx.z; sequence < a.batch; sequence += gridDim.z) {
        t.run(ffl_attention_head_of<element>(a, sequence, blockIdx.y), blockIdx.x * FFL_ATTENTION_TILE);
        __syncthreads(); /* shared memory is free for the next one */
    }
}

template <class tile, typename element>
ffl_status launch(const ffl_device_attention *a, const ffl_attention_args &args, cudaStream_t stream)
{
    unsigned grid[3];
    const size_t shared = ffl_device_attention_shared(a->head_width, a->storage);
    ffl_device_attention_grid(a, grid);
    FFL_CUDA_TRY(cudaFuncSetAttribute((attend<tile, element>), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      (int)shared));
    FFL_LAUNCH((attend<tile, element>), dim3(grid[0], grid[1], grid[2]), tile::THREADS, shared, stream, args);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

} // namespace

ffl_status ffl_device_attention_run(const ffl_device_attention *a, const void *qkv, const float *mask,
                                    void *out, void *stream)
{
    const ffl_attention_args args = {qkv,
                                     mask,
                                     out,
                                     (unsigned)a->batch,
                                     (unsigned)a->sequence,
                                     (unsigned)a->heads,
                                     (unsigned)a->head_width,
                                     a->scale};
    const bool wide = ffl_device_head_columns(a->head_width) == 128;
    cudaStream_t on = ffl_cuda_stream(stream);
    if (a->storage == FFL_BF16)
        return wide ? launch<ffl_attention_bf16<128>, uint16_t>(a, args, on)
                    : launch<ffl_attention_bf16<64>, uint16_t>(a, args, on);
    return wide ? launch<ffl_attention_f32<128>, float>(a, args, on)
                : launch<ffl_attention_f32<64>, float>(a, args, on);
}
