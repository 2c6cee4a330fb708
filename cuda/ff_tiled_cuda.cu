/*
 * FF in f32 on CUDA cores, our own tiles: 128x128 results per block, 8x8 per thread, k in steps of 16 through
 * two buffers of shared memory; what the next step needs is on its way in registers meanwhile. GELU is the
 * end of the first product. Each step of k is 4 16-byte reads of shared memory for 64 multiply-adds, so
 * arithmetic binds.
 */
#include "cuda/activation.h"
#include "cuda/launch.cuh"
#include "kernels/variant.h"

static constexpr unsigned TILE = 128, STEP = 16, THREADS = 256, PITCH = TILE + 4, PART = 8;

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

/* Eight elements of a tile on their way to shared memory: two quads of one line of the source. */
struct quads {
    float v[PART];
};

/* Four elements at line, place … of a matrix of `lines` lines of `length`; zeros outside. WIDE: all quads are
 * whole. */
template <bool WIDE>
__device__ static inline void load_quad(const float *from, size_t ld, size_t line, size_t lines, size_t place,
                                        size_t length, float *v)
{
    if constexpr (WIDE) {
        const float4 q = line < lines && place < length ? *(const float4 *)(from + line * ld + place)
                                                        : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        v[0] = q.x, v[1] = q.y, v[2] = q.z, v[3] = q.w;
    } else {
        for (unsigned i = 0; i < 4; i++)
            v[i] = line < lines && place + i < length ? from[line * ld + place + i] : 0.0f;
    }
}

/* Lines of k: thread t takes places 4·(t % 4) … of lines t / 4 and t / 4 + 64, and turns them in shared
 * memory. */
template <bool WIDE>
__device__ static inline quads load_lines(const float *from, size_t ld, size_t first, size_t lines, size_t k,
                                          size_t depth)
{
    quads q;
    for (unsigned half = 0; half < 2; half++)
        load_quad<WIDE>(from, ld, first + threadIdx.x / 4 + 64 * half, lines, k + threadIdx.x % 4 * 4, depth,
                        q.v + 4 * half);
    return q;
}

__device__ static inline void store_lines(float (*to)[PITCH], const quads &q)
{
    for (unsigned i = 0; i < PART; i++)
        to[threadIdx.x % 4 * 4 + i % 4][threadIdx.x / 4 + i / 4 * 64] = q.v[i];
}

/* Lines of columns: thread t takes places 4·(t % 32) … of lines t / 32 and t / 32 + 8. */
template <bool WIDE>
__device__ static inline quads load_columns(const float *from, size_t ld, size_t first, size_t columns,
                                            size_t k, size_t depth)
{
    quads q;
    for (unsigned half = 0; half < 2; half++)
        load_quad<WIDE>(from, ld, k + threadIdx.x / 32 + 8 * half, depth, first + threadIdx.x % 32 * 4,
                        columns, q.v + 4 * half);
    return q;
}

__device__ static inline void store_columns(float (*to)[PITCH], const quads &q)
{
    for (unsigned half = 0; half < 2; half++)
        *(float4 *)&to[threadIdx.x / 32 + 8 * half][threadIdx.x % 32 * 4] =
            make_float4(q.v[4 * half], q.v[4 * half + 1], q.v[4 * half + 2], q.v[4 * half + 3]);
}

template <bool TRANSPOSED, bool WIDE>
__device__ static inline quads load_b(const product &p, size_t column, size_t k)
{
    return TRANSPOSED ? load_lines<WIDE>(p.b, p.ldb, column, p.columns, k, p.depth)
                      : load_columns<WIDE>(p.b, p.ldb, column, p.columns, k, p.depth);
}

template <bool TRANSPOSED>
__device__ static inline void store_b(float (*to)[PITCH], const quads &q)
{
    if (TRANSPOSED)
        store_lines(to, q);
    else
        store_columns(to, q);
}

/* Thread (i, j) of 16x16 owns rows 4i … 4i+3 and 64+4i …, columns likewise: reads of a warp meet no bank
 * twice. */
__device__ static inline void load_part(const float *line, unsigned i, float part[PART])
{
    const float4 low = *(const float4 *)(line + 4 * i), high = *(const float4 *)(line + 64 + 4 * i);
    part[0] = low.x, part[1] = low.y, part[2] = low.z, part[3] = low.w;
    part[4] = high.x, part[5] = high.y, part[6] = high.z, part[7] = high.w;
}

__device__ static inline size_t place_of(unsigned i, unsigned k)
{
    return 4 * i + k % 4 + k / 4 * 64;
}

__device__ static inline void multiply(const float (*a)[PITCH], const float (*b)[PITCH],
                                       float sum[PART][PART])
{
#pragma unroll
    for (unsigned k = 0; k < STEP; k++) {
        float left[PART], right[PART];
        load_part(a[k], threadIdx.x / 16, left);
        load_part(b[k], threadIdx.x % 16, right);
#pragma unroll
        for (unsigned i = 0; i < PART; i++)
#pragma unroll
            for (unsigned j = 0; j < PART; j++)
                sum[i][j] += left[i] * right[j];
    }
}

template <bool ACTIVATE>
__device__ static inline void store_results(const product &p, size_t row, size_t column,
                                            const float sum[PART][PART])
{
#pragma unroll
    for (unsigned j = 0; j < PART; j++) {
        const size_t c = column + place_of(threadIdx.x % 16, j);
        const float bias = p.bias && c < p.columns ? p.bias[c] : 0.0f;
#pragma unroll
        for (unsigned i = 0; i < PART; i++) {
            const size_t r = row + place_of(threadIdx.x / 16, i);
            const float z = sum[i][j] + bias;
            if (r < p.rows && c < p.stored)
                p.d[r * p.ldd + c] = ACTIVATE ? ffl_activate_device(p.activation, z) : z;
        }
    }
}

template <bool TRANSPOSED, bool ACTIVATE, bool WIDE>
__global__ static void __launch_bounds__(THREADS, 2) tiles(product p)
{
    __align__(16) __shared__ float a[2][STEP][PITCH];
    __align__(16) __shared__ float b[2][STEP][PITCH];
    const size_t column = (size_t)blockIdx.x * TILE, row = (size_t)blockIdx.y * TILE;
    float sum[PART][PART] = {};
    store_lines(a[0], load_lines<WIDE>(p.a, p.lda, row, p.rows, 0, p.readable));
    store_b<TRANSPOSED>(b[0], load_b<TRANSPOSED, WIDE>(p, column, 0));
    __syncthreads();
    for (size_t k = 0, turn = 0; k < p.depth; k += STEP, turn ^= 1) {
        const bool more = k + STEP < p.depth;
        quads next_a = {}, next_b = {};
        if (more) {
            next_a = load_lines<WIDE>(p.a, p.lda, row, p.rows, k + STEP, p.readable);
            next_b = load_b<TRANSPOSED, WIDE>(p, column, k + STEP);
        }
        multiply(a[turn], b[turn], sum);
        if (more) {
            store_lines(a[turn ^ 1], next_a);
            store_b<TRANSPOSED>(b[turn ^ 1], next_b);
        }
        __syncthreads();
    }
    store_results<ACTIVATE>(p, row, column, sum);
}

static bool quads_fit(const float *at, size_t ld, size_t length)
{
    return (uintptr_t)at % 16 == 0 && ld % 4 == 0 && length % 4 == 0;
}

template <bool TRANSPOSED, bool ACTIVATE>
static ffl_status multiply_on(cudaStream_t stream, const product &p)
{
    const dim3 grid((unsigned)((p.columns + TILE - 1) / TILE), (unsigned)((p.rows + TILE - 1) / TILE));
    const bool wide =
        quads_fit(p.a, p.lda, p.readable) && quads_fit(p.b, p.ldb, TRANSPOSED ? p.depth : p.columns);
    if (wide)
        FFL_LAUNCH((tiles<TRANSPOSED, ACTIVATE, true>), grid, THREADS, 0, stream, p);
    else
        FFL_LAUNCH((tiles<TRANSPOSED, ACTIVATE, false>), grid, THREADS, 0, stream, p);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

static bool supports(const ffl_layer *, size_t tokens, const char **why)
{
    *why = "more tokens than a grid has rows of tiles";
    return tokens <= (size_t)65535 * TILE;
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
