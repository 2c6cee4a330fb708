/*
 * FF in f32 on CUDA cores, two products in our own tiles of 128x128 (register_tile.cuh). GELU is the end of
 * the first.
 */
#include "cuda/activation.h"
#include "cuda/register_tile.cuh"
#include "kernels/variant.h"

static constexpr unsigned PART = FFL_REGISTER_PART;

/* d [rows][columns] = epilogue(a [rows][depth] · b), b [columns][depth] where TRANSPOSED, else
 * [depth][columns]. */
struct product {
    const float *a, *b, *bias; /* bias [columns] or NULL */
    float *d;
    size_t lda, ldb, ldd, rows, columns, depth;
    size_t readable;           /* of a row of a: depth, or more when zeros follow */
    size_t stored;             /* columns of d: zeros after the last */
    ffl_activation activation; /* where ACTIVATE */
};

template <bool ACTIVATE>
__device__ static inline void store_results(const product &p, size_t row, size_t column,
                                            const float sum[PART][PART])
{
#pragma unroll
    for (unsigned j = 0; j < PART; j++) {
        const size_t c = column + ffl_register_place(threadIdx.x % 16, j);
        const float bias = p.bias && c < p.columns ? p.bias[c] : 0.0f;
#pragma unroll
        for (unsigned i = 0; i < PART; i++) {
            const size_t r = row + ffl_register_place(threadIdx.x / 16, i);
            const float z = sum[i][j] + bias;
            if (r < p.rows && c < p.stored)
                p.d[r * p.ldd + c] = ACTIVATE ? ffl_activate_device(p.activation, z) : z;
        }
    }
}

template <bool TRANSPOSED, bool ACTIVATE, bool WIDE>
__global__ static void __launch_bounds__(FFL_REGISTER_THREADS, 2) tiles(product p)
{
    __align__(16) __shared__ ffl_register_buffer a;
    __align__(16) __shared__ ffl_register_buffer b;
    const size_t column = (size_t)blockIdx.x * FFL_REGISTER_TILE,
                 row = (size_t)blockIdx.y * FFL_REGISTER_TILE;
    const size_t own = row + threadIdx.x / 4;
    const ffl_register_operands o = {
        {own < p.rows ? p.a + own * p.lda : nullptr, own + 64 < p.rows ? p.a + (own + 64) * p.lda : nullptr},
        p.b,
        p.ldb,
        column,
        p.columns,
        p.depth,
        p.readable};
    float sum[PART][PART] = {};
    ffl_register_product<TRANSPOSED, WIDE>(o, a, b, sum);
    store_results<ACTIVATE>(p, row, column, sum);
}

static bool quads_fit(const float *at, size_t ld, size_t length)
{
    return (uintptr_t)at % 16 == 0 && ld % 4 == 0 && length % 4 == 0;
}

template <bool TRANSPOSED, bool ACTIVATE>
static ffl_status multiply_on(cudaStream_t stream, const product &p)
{
    const dim3 grid((unsigned)((p.columns + FFL_REGISTER_TILE - 1) / FFL_REGISTER_TILE),
                    (unsigned)((p.rows + FFL_REGISTER_TILE - 1) / FFL_REGISTER_TILE));
    const bool wide =
        quads_fit(p.a, p.lda, p.readable) && quads_fit(p.b, p.ldb, TRANSPOSED ? p.depth : p.columns);
    if (wide)
        FFL_LAUNCH((tiles<TRANSPOSED, ACTIVATE, true>), grid, FFL_REGISTER_THREADS, 0, stream, p);
    else
        FFL_LAUNCH((tiles<TRANSPOSED, ACTIVATE, false>), grid, FFL_REGISTER_THREADS, 0, stream, p);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

static bool supports(const ffl_layer *, size_t tokens, const char **why)
{
    *why = "more tokens than a grid has rows of tiles";
    return tokens <= (size_t)65535 * FFL_REGISTER_TILE;
}

/* Rows of hidden values are padded to whole quads, with zeros, so that 4095 neurons are read as fast as 4096.
 */
static size_t pitch_of(const ffl_layer *l)
{
    return (l->neurons + 3) / 4 * 4;
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    plan->scratch_bytes = plan->max_tokens * pitch_of(layer) * sizeof(float);
    return FFL_OK;
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const cudaStream_t stream = ffl_cuda_stream(exec->stream);
    float *hidden = (float *)exec->scratch;
    const size_t pitch = pitch_of(l);
    const product first = {x,      l->w_in,    l->b_in,     hidden,      ldx,   l->width_in,  pitch,
                           tokens, l->neurons, l->width_in, l->width_in, pitch, l->activation};
    const product second = {hidden, l->w_out,     l->b_out,   y,     pitch,        l->width_out, ldy,
                            tokens, l->width_out, l->neurons, pitch, l->width_out, l->activation};
    FFL_TRY((multiply_on<true, true>(stream, first)));
    return multiply_on<false, false>(stream, second);
}

FFL_VARIANTS(ff_tiled_cuda) = {
    {.name = "ff_tiled_cuda",
     .summary = "f32 register tiles of 8x8 in shared tiles of 128x128, GELU at the end of the first product",
     .source = "this lab",
     .operation = FFL_FF,
     .place = FFL_CUDA,
     .family = FFL_SIMD,
     .contract = FFL_CONTRACT_F32_ROWS,
     .supports = supports,
     .prepare = prepare,
     .run = run},
    {},
};
