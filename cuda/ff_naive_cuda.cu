/*
 * FF on the GPU, as the equation reads: one thread per hidden value, then one per output. The lanes of a warp
 * read rows of w_in that are far apart, so the first product is bound by memory transactions, not by
 * arithmetic.
 */
#include "cuda/activation.h"
#include "cuda/launch.cuh"
#include "kernels/variant.h"

static constexpr unsigned THREADS = 128;
static constexpr size_t ROWS_MOST = 65535; /* of a grid */

__global__ static void __launch_bounds__(THREADS)
    hidden_values(ffl_layer l, const float *x, size_t ldx, float *hidden, size_t tokens)
{
    const size_t n = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (n >= l.neurons)
        return;
    for (size_t t = blockIdx.y; t < tokens; t += gridDim.y) {
        float z = 0.0f;
        for (size_t i = 0; i < l.width_in; i++)
            z += x[t * ldx + i] * l.w_in[n * l.width_in + i];
        hidden[t * l.neurons + n] = ffl_activate_device(l.activation, z + l.b_in[n]);
    }
}

__global__ static void __launch_bounds__(THREADS)
    outputs(ffl_layer l, const float *hidden, float *y, size_t ldy, size_t tokens)
{
    const size_t j = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (j >= l.width_out)
        return;
    for (size_t t = blockIdx.y; t < tokens; t += gridDim.y) {
        float sum = 0.0f;
        for (size_t n = 0; n < l.neurons; n++)
            sum += hidden[t * l.neurons + n] * l.w_out[n * l.width_out + j];
        y[t * ldy + j] = l.b_out ? sum + l.b_out[j] : sum;
    }
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    plan->scratch_bytes = plan->max_tokens * layer->neurons * sizeof(float);
    return FFL_OK;
}

static dim3 grid_of(size_t columns, size_t tokens)
{
    return dim3((unsigned)((columns + THREADS - 1) / THREADS),
                (unsigned)(tokens < ROWS_MOST ? tokens : ROWS_MOST));
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const cudaStream_t stream = ffl_cuda_stream(exec->stream);
    float *hidden = (float *)exec->scratch;
    FFL_LAUNCH(hidden_values, grid_of(l->neurons, tokens), THREADS, 0, stream, *l, x, ldx, hidden, tokens);
    FFL_CUDA_TRY(cudaGetLastError());
    FFL_LAUNCH(outputs, grid_of(l->width_out, tokens), THREADS, 0, stream, *l, hidden, y, ldy, tokens);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

FFL_VARIANTS(ff_naive_cuda) = {
    {.name = "ff_naive_cuda",
     .summary = "one thread per hidden value, then one per output",
     .source = "arXiv:2311.10770, FF",
     .operation = FFL_FF,
     .place = FFL_CUDA,
     .family = FFL_NAIVE,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = prepare,
     .run = run},
    {},
};
