/*
 * FF in bf16 on tensor cores, our own tiles, with exact GELU at the end of the first product: logits never
 * leave the registers. 128x256 results per block, 64x64 per warp by mma.sync m16n8k16, k in steps of 32
 * through four stages of cp.async. Both matrices of weights are packed as rows of k, so one kernel serves
 * both products.
 *
 * A block reads (128 + 256)·k values for 2·128·256·k operations, 85 per byte: what the L2 cache delivers
 * binds, since blocks do not share what they read as the library's clusters do.
 */
#include "cuda/async.cuh"
#include "cuda/dense_plan.h"
#include "cuda/mma.cuh"
#include "cuda/rows.cuh"
#include <stdlib.h>

static constexpr unsigned ROWS = 128, COLUMNS = 256, STEP = 32, STAGES = 4, THREADS = 256;
static constexpr unsigned LANES = 8, CHUNKS = STEP / LANES; /* of 16 bytes, in a row of a stage */
static constexpr unsigned STAGE = (ROWS + COLUMNS) * STEP;
static constexpr size_t SHARED = (size_t)STAGES * STAGE * sizeof(uint16_t);

/* d [rows][columns] = epilogue(a [rows][depth] · b [columns][depth]ᵀ); rows of a and b start at 16 bytes. */
struct product {
    const uint16_t *a, *b;
    const float *bias; /* [columns] or NULL */
    uint16_t *d;
    size_t lda, ldb, ldd, rows, columns, depth; /* depth is a multiple of 8 */
    ffl_activation activation;
};

/* Where chunk `c` of row `r` of a stage is: rows two apart meet in other banks, as ldmatrix wants eight of
 * them. */
__device__ static inline unsigned place_of(unsigned r, unsigned c)
{
    return r * STEP + (c ^ (r >> 1 & 3)) * LANES;
}

/* 64 rows of a stage at a time, four threads each. Zeros outside of the matrix. */
template <unsigned COUNT>
__device__ static inline void copy_rows(uint16_t *to, const uint16_t *from, size_t ld, size_t first,
                                        size_t rows, size_t k, size_t depth)
{
    const unsigned chunk = threadIdx.x % CHUNKS;
    const size_t at = k + chunk * LANES;
#pragma unroll
    for (unsigned r = threadIdx.x / CHUNKS; r < COUNT; r += THREADS / CHUNKS) {
        const bool valid = first + r < rows && at < depth;
        ffl_copy_async_or_zero(to + place_of(r, chunk), valid ? from + (first + r) * ld + at : from, valid);
    }
}

__device__ static inline void copy_stage(uint16_t *stage, const product &p, size_t row, size_t column,
                                         size_t k)
{
    if (k < p.depth) {
        copy_rows<ROWS>(stage, p.a, p.lda, row, p.rows, k, p.depth);
        copy_rows<COLUMNS>(stage + ROWS * STEP, p.b, p.ldb, column, p.columns, k, p.depth);
    }
    ffl_copy_commit(); /* empty at the end, so that waiting counts the same */
}

/* The first `live` of a warp's four blocks of 16 rows exist; ALL: all of them, without asking. */
template <bool ALL>
__device__ static inline void multiply(const uint16_t *stage, unsigned live, float sum[4][8][4])
{
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned row = warp / 4 * 64, column = ROWS + warp % 4 * 64;
    /* Matrix lane / 8: of a, rows then k; of b, k then columns. */
    const unsigned matrix = lane / 8, in_matrix = lane % 8;
#pragma unroll
    for (unsigned k = 0; k < CHUNKS; k += 2) {
        uint32_t a[4][4], b[4][4];
#pragma unroll
        for (unsigned i = 0; i < 4; i++) {
            ffl_load_matrices(a[i],
                              stage + place_of(row + 16 * i + matrix % 2 * 8 + in_matrix, k + matrix / 2));
            ffl_load_matrices(b[i],
                              stage + place_of(column + 16 * i + matrix / 2 * 8 + in_matrix, k + matrix % 2));
        }
#pragma unroll
        for (unsigned i = 0; i < 4; i++)
#pragma unroll
            for (unsigned j = 0; j < 8 && (ALL || i < live); j++)
                ffl_mma_bf16(sum[i][j], a[i], &b[j / 2][j % 2 * 2]);
    }
}

template <bool ACTIVATE>
__device__ static inline void store_pair(const product &p, size_t row, size_t column, float first,
                                         float second)
{
    if (row >= p.rows || column >= p.columns)
        return;
    const bool both = column + 1 < p.columns;
    if (p.bias) {
        first += p.bias[column];
        second += both ? p.bias[column + 1] : 0.0f;
    }
    if (ACTIVATE) {
        first = ffl_activate_quick(p.activation, first);
        second = ffl_activate_quick(p.activation, second);
    }
    uint16_t *to = p.d + row * p.ldd + column;
    const uint32_t pair = ffl_bf16_pair(first, second);
    if (both && (uintptr_t)to % 4 == 0) {
        *(uint32_t *)to = pair;
        return;
    }
    to[0] = (uint16_t)pair;
    if (both)
        to[1] = (uint16_t)(pair >> 16);
}

template <bool ACTIVATE>
__device__ static inline void store_results(const product &p, size_t row, size_t column,
                                            const float sum[4][8][4])
{
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    row += warp / 4 * 64 + lane / 4;
    column += warp % 4 * 64 + lane % 4 * 2;
#pragma unroll
    for (unsigned i = 0; i < 4; i++)
#pragma unroll
        for (unsigned j = 0; j < 8; j++) {
            store_pair<ACTIVATE>(p, row + 16 * i, column + 8 * j, sum[i][j][0], sum[i][j][1]);
            store_pair<ACTIVATE>(p, row + 16 * i + 8, column + 8 * j, sum[i][j][2], sum[i][j][3]);
        }
}

template <bool ACTIVATE>
__global__ static void __launch_bounds__(THREADS, 1) tiles(product p)
{
    FFL_SHARED(uint16_t, shared);
    /* Columns first: the blocks at work share few rows of a and all of b. */
    const size_t column = (size_t)blockIdx.x * COLUMNS, row = (size_t)blockIdx.y * ROWS;
    const size_t own = row + threadIdx.x / 32 / 4 * 64, left = own < p.rows ? (p.rows - own + 15) / 16 : 0;
    const unsigned live = left < 4 ? (unsigned)left : 4;
    float sum[4][8][4] = {};
    for (unsigned stage = 0; stage < STAGES - 1; stage++)
        copy_stage(shared + stage * STAGE, p, row, column, (size_t)stage * STEP);
    unsigned now = 0;
    for (size_t k = 0; k < p.depth; k += STEP) {
        ffl_copy_wait<STAGES - 2>();
        __syncthreads();
        const unsigned last = now == 0 ? STAGES - 1 : now - 1; /* read one step ago, by all */
        copy_stage(shared + last * STAGE, p, row, column, k + (STAGES - 1) * STEP);
        if (live == 4)
            multiply<true>(shared + now * STAGE, live, sum);
        else if (live > 0)
            multiply<false>(shared + now * STAGE, live, sum);
        now = now + 1 == STAGES ? 0 : now + 1;
    }
    ffl_copy_wait<0>();
    store_results<ACTIVATE>(p, row, column, sum);
}

/* to [columns][rows] bf16 = from [rows][columns]ᵀ, `ld` apart, zeros after its rows. */
__global__ static void __launch_bounds__(THREADS)
    transpose(const float *from, size_t rows, size_t columns, uint16_t *to, size_t ld)
{
    __shared__ float tile[32][33];
    const unsigned x = threadIdx.x % 32, y = threadIdx.x / 32;
    for (unsigned i = y; i < 32; i += THREADS / 32) {
        const size_t r = (size_t)blockIdx.y * 32 + i, c = (size_t)blockIdx.x * 32 + x;
        tile[i][x] = r < rows && c < columns ? from[r * columns + c] : 0.0f;
    }
    __syncthreads();
    for (unsigned i = y; i < 32; i += THREADS / 32) {
        const size_t c = (size_t)blockIdx.x * 32 + i, r = (size_t)blockIdx.y * 32 + x;
        if (c < columns && r < ld)
            to[c * ld + r] = ffl_bf16_from_float(tile[x][i]);
    }
}

struct state {
    size_t width_in, neurons; /* padded to whole chunks */
    uint16_t *w_in, *w_out;   /* [neurons][width_in], [width_out][neurons] */
    float *b_in;              /* [neurons] */
    size_t x_bytes;           /* of x copied to scratch */
};

static bool supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    *why = "more tokens or neurons than a grid has rows of tiles";
    return tokens <= (size_t)65535 * ROWS && shape->neurons <= (size_t)65535 * 32;
}

static void release(ffl_plan *plan)
{
    state *s = (state *)plan->state;
    ffl_device_free(s->w_in);
    ffl_device_free(s->w_out);
    ffl_device_free(s->b_in);
    free(s);
    plan->state = NULL;
}

static ffl_status pack(const ffl_layer *l, ffl_plan *plan, state *s)
{
    const size_t in = s->neurons * s->width_in * 2, out = l->width_out * s->neurons * 2,
                 bias = s->neurons * 4;
    FFL_TRY(ffl_device_alloc(in, (void **)&s->w_in));
    FFL_TRY(ffl_device_alloc(out, (void **)&s->w_out));
    FFL_TRY(ffl_device_alloc(bias, (void **)&s->b_in));
    FFL_LAUNCH((ffl_rows_convert<FFL_F32, FFL_BF16>), ffl_rows_grid(s->neurons, s->width_in),
               FFL_ROWS_THREADS, 0, NULL, l->w_in, l->width_in, l->neurons, l->width_in, s->w_in, s->width_in,
               s->neurons, s->width_in);
    FFL_LAUNCH((ffl_rows_convert<FFL_F32, FFL_F32>), ffl_rows_grid(1, s->neurons), FFL_ROWS_THREADS, 0, NULL,
               l->b_in, l->neurons, 1, l->neurons, s->b_in, s->neurons, 1, s->neurons);
    FFL_LAUNCH(transpose, dim3((unsigned)((l->width_out + 31) / 32), (unsigned)((s->neurons + 31) / 32)),
               THREADS, 0, NULL, l->w_out, l->neurons, l->width_out, s->w_out, s->neurons);
    FFL_CUDA_TRY(cudaGetLastError());
    FFL_CUDA_TRY(cudaFuncSetAttribute(tiles<true>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)SHARED));
    FFL_CUDA_TRY(
        cudaFuncSetAttribute(tiles<false>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)SHARED));
    plan->packed_bytes = in + out + bias;
    return ffl_device_synchronize();
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    state *s = (state *)calloc(1, sizeof *s);
    if (!s)
        return ffl_fail(FFL_NO_MEMORY, "no memory for a plan");
    plan->state = s;
    s->width_in = (layer->width_in + LANES - 1) / LANES * LANES;
    s->neurons = (layer->neurons + LANES - 1) / LANES * LANES;
    s->x_bytes = (plan->max_tokens * s->width_in * 2 + 255) / 256 * 256;
    const ffl_status status = pack(layer, plan, s);
    if (status != FFL_OK) {
        release(plan);
        return status;
    }
    plan->scratch_bytes = s->x_bytes + plan->max_tokens * s->neurons * 2;
    return FFL_OK;
}

template <bool ACTIVATE>
static ffl_status multiply_on(cudaStream_t stream, const product &p)
{
    const dim3 grid((unsigned)((p.columns + COLUMNS - 1) / COLUMNS), (unsigned)((p.rows + ROWS - 1) / ROWS));
    FFL_LAUNCH(tiles<ACTIVATE>, grid, THREADS, SHARED, stream, p);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const state *s = (const state *)plan->state;
    const ffl_layer *l = plan->layer;
    const cudaStream_t stream = ffl_cuda_stream(exec->stream);
    const uint16_t *rows = (const uint16_t *)x;
    uint16_t *hidden = (uint16_t *)((unsigned char *)exec->scratch + s->x_bytes);
    if ((uintptr_t)x % 16 || ldx % LANES || l->width_in != s->width_in) {
        FFL_LAUNCH((ffl_rows_convert<FFL_BF16, FFL_BF16>), ffl_rows_grid(tokens, s->width_in),
                   FFL_ROWS_THREADS, 0, stream, x, ldx, tokens, l->width_in, exec->scratch, s->width_in,
                   tokens, s->width_in);
        FFL_CUDA_TRY(cudaGetLastError());
        rows = (const uint16_t *)exec->scratch;
        ldx = s->width_in;
    }
    const product first = {rows,       s->w_in, s->b_in,    hidden,      ldx,          s->width_in,
                           s->neurons, tokens,  s->neurons, s->width_in, l->activation};
    const product second = {hidden, s->w_out, l->b_out,     (uint16_t *)y, s->neurons,   s->neurons,
                            ldy,    tokens,   l->width_out, s->neurons,    l->activation};
    FFL_TRY(multiply_on<true>(stream, first));
    return multiply_on<false>(stream, second);
}

FFL_VARIANTS(ff_mma_bf16_cuda) = {
    {.name = "ff_mma_bf16_cuda",
     .summary = "bf16 tiles of 128x256 by mma.sync, exact GELU at the end of the first product",
     .source = "this lab",
     .operation = FFL_FF,
     .place = FFL_CUDA,
     .family = FFL_TENSOR,
     .contract = FFL_CONTRACT_BF16_TENSOR(FFL_QUICK_ACTIVATION_ERROR, FFL_SAME_ALL),
     .supports = supports,
     .prepare = prepare,
     .run = run,
     .release = release},
    {},
};
