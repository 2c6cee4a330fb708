/* packed.cuh */
#include "cuda/bf16.cuh"
#include "cuda/packed.cuh"

static constexpr unsigned THREADS = 256;
static constexpr size_t BLOCKS_MAX = 4096;

__device__ static void put(float *at, float value)
{
    *at = value;
}

__device__ static void put(uint16_t *at, float value)
{
    *at = ffl_bf16_from_float(value);
}

template <typename T>
__global__ static void __launch_bounds__(THREADS)
    pack(const float *from, size_t rows, size_t width, size_t stride, T *to)
{
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < rows * stride;
         i += (size_t)gridDim.x * THREADS) {
        const size_t row = i / stride, column = i % stride;
        put(&to[i], column < width ? from[row * width + column] : 0.0f);
    }
}

template <typename T>
static ffl_status pack_rows(const float *from, size_t rows, size_t width, size_t stride, T **to,
                            size_t *bytes)
{
    const size_t count = rows * stride, blocks = (count + THREADS - 1) / THREADS;
    const cudaError_t error = cudaMalloc((void **)to, count * sizeof(T));
    if (error == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError();
        return ffl_fail(FFL_NO_MEMORY, "%.1f MB of device memory for packed weights: %s",
                        1e-6 * (double)(count * sizeof(T)), cudaGetErrorString(error));
    }
    FFL_CUDA_TRY(error);
    *bytes += count * sizeof(T);
    FFL_LAUNCH((pack<T>), (unsigned)(blocks < BLOCKS_MAX ? blocks : BLOCKS_MAX), THREADS, 0, NULL, from, rows,
               width, stride, *to);
    FFL_CUDA_TRY(cudaGetLastError());
    FFL_CUDA_TRY(cudaDeviceSynchronize());
    return FFL_OK;
}

template <typename T>
static ffl_status pack_both(const ffl_layer *l, ffl_packed *p, size_t *bytes)
{
    const size_t unit = 16 / sizeof(T);
    p->stride_in = (l->width_in + unit - 1) / unit * unit;
    p->stride_out = (l->width_out + unit - 1) / unit * unit;
    const bool plain = sizeof(T) == sizeof(float);
    p->w_in = l->w_in;
    p->w_out = l->w_out;
    if (!plain || p->stride_in != l->width_in) {
        FFL_TRY(pack_rows(l->w_in, l->neurons, l->width_in, p->stride_in, (T **)&p->own_in, bytes));
        p->w_in = p->own_in;
    }
    if (!plain || p->stride_out != l->width_out) {
        FFL_TRY(pack_rows(l->w_out, l->neurons, l->width_out, p->stride_out, (T **)&p->own_out, bytes));
        p->w_out = p->own_out;
    }
    return FFL_OK;
}

ffl_status ffl_packed_new(const ffl_layer *layer, ffl_type type, ffl_packed *out, size_t *bytes)
{
    *out = {};
    const ffl_status status =
        type == FFL_BF16 ? pack_both<uint16_t>(layer, out, bytes) : pack_both<float>(layer, out, bytes);
    if (status != FFL_OK)
        ffl_packed_free(out);
    return status;
}

void ffl_packed_free(ffl_packed *packed)
{
    (void)cudaFree(packed->own_in);
    (void)cudaFree(packed->own_out);
    *packed = {};
}
