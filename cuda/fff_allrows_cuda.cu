/*
 * FFF for very few tokens without any chain: all logits of all nodes, as the dense layer's first product,
 * and then a walk that only reads them, over shared memory, and adds the few output rows. Two launches;
 * bound by reading w_in once, which all multiprocessors share.
 *
 * Tokens come in tiles of TILE, for which each row of w_in is fetched once.
 */
#include "cuda/columns.cuh"
#include "cuda/walk.cuh"

static constexpr unsigned THREADS = 256, WARPS = THREADS / 32, TILE = 8, UNITS = 4;
static constexpr unsigned TREES = 32;         /* whose paths lie in shared memory together */
static constexpr unsigned STAGED = 8192;      /* logits of a token that fit in shared memory */
static constexpr size_t ROW_BLOCKS = 132 * 8; /* as many blocks as an H200 holds at once */
static constexpr size_t TOKENS_MAX = 1024;    /* beyond, all rows for each token are a dense product's */

/* ---- All logits: a warp per row of w_in, for a tile of tokens in shared memory ---- */

template <typename T, unsigned CHUNKS, bool FULL>
__global__ static void __launch_bounds__(THREADS)
    evaluate(ffl_tree<T> l, bool aligned, const T *x, size_t ldx, size_t tokens, float *logits)
{
    constexpr unsigned PER = ffl_per_chunk<T>, STRIDE = CHUNKS * 32 * PER;
    FFL_SHARED(float, tile); /* [TILE][STRIDE] */
    const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32, neurons = l.trees * l.nodes;
    const size_t first = (size_t)blockIdx.y * TILE, left = tokens - first;
    const unsigned count = left < TILE ? (unsigned)left : TILE;
    float own_x[CHUNKS][PER];
    for (unsigned t = warp; t < count; t += WARPS) {
        ffl_input_load<T, CHUNKS>(x + (first + t) * ldx, l.width_in, aligned, own_x);
#pragma unroll
        for (unsigned c = 0; c < CHUNKS; c++)
#pragma unroll
            for (unsigned i = 0; i < PER; i++)
                tile[t * STRIDE + (c * PER + i) * 32 + lane] = own_x[c][i];
    }
    __syncthreads();
    for (unsigned row = blockIdx.x * WARPS + warp; row < neurons; row += gridDim.x * WARPS) {
        const float bias = __ldg(&l.b_in[row]);
        uint4 chunks[CHUNKS];
        ffl_row_load<T, CHUNKS, FULL>(l.w_in + row * l.stride_in, l.stride_in, false, chunks);
        for (unsigned t = 0; t < count; t++) {
#pragma unroll
            for (unsigned c = 0; c < CHUNKS; c++)
#pragma unroll
                for (unsigned i = 0; i < PER; i++)
                    own_x[c][i] = tile[t * STRIDE + (c * PER + i) * 32 + lane];
            const float z = ffl_row_dot(chunks, own_x) + bias;
            if (lane == 0)
                logits[(first + t) * neurons + row] = z;
        }
    }
}

/* Rows too long for registers. */
template <typename T>
__global__ static void __launch_bounds__(THREADS)
    evaluate_long(ffl_tree<T> l, const T *x, size_t ldx, size_t tokens, float *logits)
{
    const unsigned warp = threadIdx.x / 32, neurons = l.trees * l.nodes;
    for (unsigned row = blockIdx.x * WARPS + warp; row < neurons; row += gridDim.x * WARPS)
        for (size_t t = (size_t)blockIdx.y * TILE; t < tokens && t < (blockIdx.y + (size_t)1) * TILE; t++) {
            const float z =
                ffl_row_dot_long(l.w_in + row * l.stride_in, l.stride_in, x + t * ldx, l.width_in) +
                l.b_in[row];
            if (threadIdx.x % 32 == 0)
                logits[t * neurons + row] = z;
        }
}

/* ---- The walk: a block per token ---- */

template <typename T>
__global__ static void __launch_bounds__(THREADS) choose(ffl_tree<T> l, const float *logits, T *y, size_t ldy)
{
    __shared__ float path[TREES * FFL_LEVELS_MAX];
    __shared__ unsigned rows[TREES * FFL_LEVELS_MAX];
    FFL_SHARED(float, staged);
    const size_t token = blockIdx.x, neurons = (size_t)l.trees * l.nodes;
    const unsigned column = (blockIdx.y * THREADS * UNITS + threadIdx.x) * 2, apart = THREADS * 2;
    const float *z = logits + token * neurons;
    if (neurons <= STAGED) {
        for (unsigned i = threadIdx.x; i < neurons; i += THREADS)
            staged[i] = z[i];
        z = staged;
    }
    float2 out[UNITS] = {};
    for (unsigned first = 0; first < l.trees; first += TREES) {
        const unsigned trees = l.trees - first < TREES ? l.trees - first : TREES;
        __syncthreads();
        if (threadIdx.x < trees) {
            const unsigned top = (first + threadIdx.x) * l.nodes;
            unsigned node = 0;
            for (unsigned level = 0; level < l.levels; level++) {
                const float logit = z[top + node];
                rows[threadIdx.x * l.levels + level] = top + node;
                path[threadIdx.x * l.levels + level] = logit;
                node = 2 * node + 1 + (logit > 0.0f);
            }
        }
        __syncthreads();
        ffl_columns_add<4>(l, rows, path, trees * l.levels, column, apart, out);
    }
    ffl_columns_store(out, y + token * ldy, l.width_out, column, apart);
}

/* ---- The variant ---- */

static bool supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    if (tokens <= TOKENS_MAX)
        return ffl_tree_supports(shape, tokens, why);
    *why = "all rows for each token: for up to 1024 tokens";
    return false;
}

template <typename T>
static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    ffl_walk<T> *s;
    (void)machine;
    FFL_TRY((ffl_walk_new<T>(layer, plan, &s)));
    plan->scratch_bytes = plan->max_tokens * layer->neurons * sizeof(float);
    return FFL_OK;
}

template <typename T, unsigned CHUNKS, bool FULL>
static void launch_evaluate(const ffl_tree<T> &l, dim3 grid, const T *x, size_t ldx, size_t tokens,
                            float *logits, cudaStream_t stream)
{
    const size_t shared = sizeof(float) * TILE * CHUNKS * 32 * ffl_per_chunk<T>;
    FFL_LAUNCH((evaluate<T, CHUNKS, FULL>), grid, THREADS, shared, stream, l, ffl_rows_aligned(x, ldx), x,
               ldx, tokens, logits);
}

template <typename T>
static ffl_status run_tokens(const ffl_tree<T> &l, float *logits, const T *x, size_t ldx, T *y, size_t ldy,
                             size_t tokens, cudaStream_t stream)
{
    constexpr unsigned PER = ffl_per_chunk<T>, MOST = 32 / PER, COMMON = 24 / PER; /* 1024 and 768 elements */
    const size_t neurons = (size_t)l.trees * l.nodes, row_blocks = (neurons + WARPS - 1) / WARPS;
    const dim3 grid((unsigned)(row_blocks < ROW_BLOCKS ? row_blocks : ROW_BLOCKS),
                    (unsigned)((tokens + TILE - 1) / TILE));
    if (l.stride_in == (size_t)COMMON * 32 * PER)
        launch_evaluate<T, COMMON, true>(l, grid, x, ldx, tokens, logits, stream);
    else if (l.stride_in <= (size_t)MOST * 32 * PER)
        launch_evaluate<T, MOST, false>(l, grid, x, ldx, tokens, logits, stream);
    else
        FFL_LAUNCH((evaluate_long<T>), grid, THREADS, 0, stream, l, x, ldx, tokens, logits);
    FFL_CUDA_TRY(cudaGetLastError());
    const unsigned across = THREADS * UNITS * 2;
    const dim3 slices((unsigned)tokens, (l.width_out + across - 1) / across);
    FFL_LAUNCH((choose<T>), slices, THREADS, neurons <= STAGED ? neurons * sizeof(float) : 0, stream, l,
               logits, y, ldy);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

template <typename T>
static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_walk<T> *s = (const ffl_walk<T> *)plan->state;
    return run_tokens<T>(s->tree, (float *)exec->scratch, (const T *)x, ldx, (T *)y, ldy, tokens,
                         ffl_cuda_stream(exec->stream));
}

#define ALLROWS(type, name_, summary_)                                                                       \
    FFL_WALK_VARIANT(type, FFL_SIMD, supports, prepare<type>, run<type>, name_, "this lab", summary_)

FFL_VARIANTS(fff_allrows_cuda) = {
    ALLROWS(float, "fff_allrows_cuda", "all logits first, then a walk that only reads them"),
    ALLROWS(uint16_t, "fff_allrows_bf16_cuda", "all logits first, then a walk that only reads them, bf16"),
    {},
};
