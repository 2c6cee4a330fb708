/*
 * FFF on the GPU as published: one thread per row of the batch, here with its bounds checked. Neighbouring
 * threads read different rows of weights and different rows of x, so that every 4 bytes cost a sector of 32:
 * kept for the record, not for use.
 */
#include "cuda/activation.h"
#include "cuda/launch.cuh"
#include "kernels/variant.h"

static constexpr unsigned THREADS = 128;
static constexpr size_t BLOCKS_MAX = 1 << 20;

__global__ static void __launch_bounds__(THREADS)
    rows(ffl_layer l, const float *x, size_t ldx, float *y, size_t ldy, size_t tokens)
{
    for (size_t t = (size_t)blockIdx.x * THREADS + threadIdx.x; t < tokens;
         t += (size_t)gridDim.x * THREADS) {
        const float *row_x = x + t * ldx;
        float *row_y = y + t * ldy;
        for (size_t j = 0; j < l.width_out; j++)
            row_y[j] = 0.0f;
        for (size_t tree = 0; tree < l.trees; tree++) {
            size_t node = 0;
            for (size_t level = 0; level < l.levels; level++) {
                const size_t row = tree * l.nodes + node;
                const float *w_in = l.w_in + row * l.width_in, *w_out = l.w_out + row * l.width_out;
                float z = 0.0f;
                for (size_t i = 0; i < l.width_in; i++)
                    z += row_x[i] * w_in[i];
                z += l.b_in[row];
                const float g = ffl_activate_device(l.activation, z);
                for (size_t j = 0; j < l.width_out; j++)
                    row_y[j] += g * w_out[j];
                node = 2 * node + 1 + (z > 0.0f);
            }
        }
    }
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const size_t blocks = (tokens + THREADS - 1) / THREADS;
    FFL_LAUNCH(rows, (unsigned)(blocks < BLOCKS_MAX ? blocks : BLOCKS_MAX), THREADS, 0,
               ffl_cuda_stream(exec->stream), *plan->layer, x, ldx, y, ldy, tokens);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

FFL_VARIANTS(fff_rows_cuda) = {
    {.name = "fff_rows_cuda",
     .summary = "tree walk, one thread per row of the batch",
     .source = "arXiv:2311.10770, its published CUDA kernel",
     .operation = FFL_FFF,
     .place = FFL_CUDA,
     .family = FFL_NAIVE,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = ffl_prepare_nothing,
     .run = run},
    {},
};
