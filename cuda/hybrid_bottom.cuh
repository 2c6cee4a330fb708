/*
 * The lower levels of a tree: a block takes a chunk of one bucket's tokens, multiplies them with the bucket's
 * subtree, walks each through its logits, and writes their outputs: up to 7 rows of the upper part, the same
 * for the whole chunk, and the rows of the subtree, of which each token uses one per level.
 *
 * One pipeline of asynchronous copies runs through both products: slices of the inputs and of w_in first,
 * then slices of w_out, which arrive while the tokens descend.
 */
#ifndef FFL_CUDA_HYBRID_BOTTOM_CUH
#define FFL_CUDA_HYBRID_BOTTOM_CUH

#include "cuda/hybrid.cuh"
#include <type_traits>

/* DOWN warps of 16 tokens; ACROSS warps share the steps of a slice, then the columns of the outputs. */
template <int TOKENS_, int ACROSS_, int COLUMNS_>
struct ffl_bottom_tile {
    static constexpr int TOKENS = TOKENS_, ACROSS = ACROSS_, COLUMNS = COLUMNS_;
    static constexpr int DOWN = TOKENS / 16, THREADS = 32 * DOWN * ACROSS;
    static constexpr int NI = COLUMNS / 8;
    static constexpr int UPPER = 16, INNER = UPPER + COLUMNS; /* rows of w_out: of the upper part, of all */
    static constexpr int STRIDE = COLUMNS + 1;                /* of the logits, floats */
    static constexpr int HIDDEN_STRIDE = (INNER + 8) * 2;     /* of the activations, bytes: no bank twice */
    static constexpr int STAGE = (TOKENS + COLUMNS) * FFL_TILE_ROW;
    static constexpr int REST = ACROSS * TOKENS * STRIDE * 4 + 16 + TOKENS * (HIDDEN_STRIDE + 4) + 64;
    /* Large tiles have a multiprocessor to themselves; small ones leave room for a second block. */
    static constexpr int ROOM = ((TOKENS > 48 ? 220 << 10 : 113 << 10) - REST) / STAGE;
    static constexpr int STAGES = ROOM > 16 ? 16 : ROOM;
    static constexpr int LOGITS = STAGE * STAGES; /* where what lies in shared memory */
    static constexpr int HIDDEN = (LOGITS + ACROSS * TOKENS * STRIDE * 4 + 15) / 16 * 16;
    static constexpr int IDS = HIDDEN + TOKENS * HIDDEN_STRIDE;
    static constexpr int ITEM = IDS + TOKENS * 4;
    static constexpr int SHARED = ITEM + 64;
    static_assert(STAGES >= 4 && THREADS >= 128 && THREADS >= TOKENS && SHARED <= FFL_SHARED_MOST);
};

struct ffl_chunk {
    unsigned bucket, first, count; /* tokens of the bucket's list */
};

/*
 * Which chunk is this block's? count 0: none. Buckets are numbered by the chunks before them. The last block
 * to have read the totals clears them for the next run.
 */
template <class T>
__device__ static inline ffl_chunk ffl_bottom_chunk(const ffl_hybrid_args &a, unsigned *item)
{
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    if (a.cut.top == 0) {
        const unsigned first = blockIdx.x * T::TOKENS;
        return {0, first, first < a.tokens ? min((unsigned)T::TOKENS, a.tokens - first) : 0};
    }
    const unsigned total = threadIdx.x < a.cut.buckets ? a.totals[threadIdx.x] : 0;
    const unsigned chunks = ffl_hybrid_chunks(total, T::TOKENS);
    unsigned before = chunks;
    for (unsigned by = 1; by < 32; by *= 2) {
        const unsigned other = __shfl_up_sync(0xffffffffu, before, by);
        before += lane >= by ? other : 0;
    }
    if (lane == 31 && warp < 4)
        item[warp] = before;
    if (threadIdx.x == 0)
        item[6] = 0;
    __syncthreads();
    for (unsigned w = 0; w < warp && w < 4; w++)
        before += item[w];
    before -= chunks;
    if (threadIdx.x < 128 && blockIdx.x >= before && blockIdx.x < before + chunks) {
        const unsigned chunk = blockIdx.x - before;
        item[4] = threadIdx.x;
        item[5] = ffl_hybrid_chunk_first(total, chunks, chunk);
        item[6] = ffl_hybrid_chunk_first(total, chunks, chunk + 1) - item[5];
    }
    if (threadIdx.x == 0) {
        __threadfence();
        if (atomicAdd(&a.totals[a.cut.buckets], 1u) == gridDim.x - 1)
            for (unsigned b = 0; b <= a.cut.buckets; b++)
                a.totals[b] = 0;
    }
    __syncthreads();
    return {item[4], item[5], item[6]};
}

/* A slice of w_out: the rows of the bucket's path, zeros up to 16, the rows of its subtree. */
template <class T>
__device__ static inline void ffl_bottom_outputs(unsigned char *tile, const ffl_hybrid_args &a,
                                                 unsigned bucket, size_t slice)
{
    for (unsigned i = threadIdx.x; i < T::UPPER * 8; i += T::THREADS) {
        const unsigned level = i / 8;
        const bool valid = level < a.cut.top;
        const size_t row = valid ? ffl_hybrid_path_row(&a.cut, bucket, level) : 0;
        ffl_copy_async_or_zero(tile + ffl_tile_place(level, i % 8),
                               a.w_out + row * a.pitch_out + slice * FFL_TILE_ROW + i % 8 * 16, valid);
    }
    const size_t row = a.cut.top_columns + (size_t)bucket * T::COLUMNS;
    ffl_tile_weights<T::COLUMNS, T::THREADS>(tile + T::UPPER * FFL_TILE_ROW, a.w_out + row * a.pitch_out,
                                             a.pitch_out, slice * FFL_TILE_ROW);
}

/*
 * One token through its logits; visit(level, node, g) for each level. `row`: packed, of the subtree. The
 * ACROSS partial sums of a logit are added here, where it is known which logits are wanted.
 */
template <class T, class Visit>
__device__ static inline void ffl_bottom_descend(const ffl_hybrid_args &a, unsigned token, unsigned row,
                                                 const float *logits, Visit visit)
{
    const float *bias = a.b_in + row;
    unsigned node = 0;
#pragma unroll
    for (int level = 0; level < FFL_HYBRID_BOTTOM_MAX; level++)
        if (level < (int)a.cut.bottom) {
            float z = logits[node];
#pragma unroll
            for (int part = 1; part < T::ACROSS; part++)
                z += logits[part * T::TOKENS * T::STRIDE + node];
            z += bias[node];
            if (a.nodes)
                ffl_hybrid_record(a, token, a.cut.top + level, ffl_hybrid_node(&a.cut, row + node), z);
            visit(level, node, ffl_activate_device(a.activation, z));
            node = 2 * node + 1 + (z > 0.0f);
        }
}

/* ---- Outputs in bf16: the activations as a sparse matrix, times the slice ---- */

/* Four words a lane: part q of items 0 … 3, to all four parts of item q, within four lanes. */
__device__ static inline void ffl_quad_transpose(uint32_t w[4])
{
    const bool up = threadIdx.x & 2, odd = threadIdx.x & 1;
    const uint32_t got0 = __shfl_xor_sync(0xffffffffu, up ? w[0] : w[2], 2);
    const uint32_t got1 = __shfl_xor_sync(0xffffffffu, up ? w[1] : w[3], 2);
    const uint32_t kept0 = up ? w[2] : w[0], kept1 = up ? w[3] : w[1];
    const uint32_t low0 = up ? got0 : kept0, high0 = up ? kept0 : got0;
    const uint32_t low1 = up ? got1 : kept1, high1 = up ? kept1 : got1;
    const uint32_t other_low = __shfl_xor_sync(0xffffffffu, odd ? low0 : low1, 1);
    const uint32_t other_high = __shfl_xor_sync(0xffffffffu, odd ? high0 : high1, 1);
    const uint32_t own_low = odd ? low1 : low0, own_high = odd ? high1 : high0;
    w[0] = odd ? other_low : own_low;
    w[1] = odd ? own_low : other_low;
    w[2] = odd ? other_high : own_high;
    w[3] = odd ? own_high : other_high;
}

template <class T>
struct ffl_outputs_bf16 {
    static constexpr int STEPS = T::INNER / 16, NI = 8 / T::ACROSS;
    uint32_t g[STEPS][4];
    int token[2]; /* of rows lane / 4 and lane / 4 + 8 */
    bool some;

    /* The activations of a row, zeros but on the token's path; rows without a token are zero. */
    __device__ static void write(const ffl_hybrid_args &a, unsigned char *hidden, unsigned row, int token,
                                 unsigned first_row, const float *logits)
    {
        uint16_t *out = (uint16_t *)(hidden + row * T::HIDDEN_STRIDE);
        for (int i = 0; i < T::INNER / 8; i++)
            ((uint4 *)out)[i] = make_uint4(0, 0, 0, 0);
        if (token < 0)
            return;
        const float *upper = a.hidden + (size_t)token * 8;
        for (unsigned level = 0; level < a.cut.top; level++)
            out[level] = ffl_bf16_from_float(upper[level]);
        ffl_bottom_descend<T>(a, (unsigned)token, first_row, logits, [&](int, unsigned node, float value) {
            out[T::UPPER + node] = ffl_bf16_from_float(value);
        });
    }

    __device__ void read(const ffl_hybrid_args &, const unsigned char *hidden, const int *ids, unsigned live)
    {
        const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32, first = warp / T::ACROSS * 16;
        some = first < live;
        token[0] = ids[first + lane / 4];
        token[1] = ids[first + lane / 4 + 8];
#pragma unroll
        for (int k = 0; k < STEPS; k++)
            ffl_load_matrices(g[k],
                              hidden + (first + lane % 16) * T::HIDDEN_STRIDE + 32 * k + lane / 16 * 16);
    }

    __device__ void slice(const ffl_hybrid_args &a, const unsigned char *tile, size_t number)
    {
        const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        if (!some)
            return;
        const unsigned across = warp % T::ACROSS * NI; /* first chunk of the tile row */
#pragma unroll
        for (int n = 0; n < NI; n += 2) {
            float d[2][4] = {};
#pragma unroll
            for (int k = 0; k < STEPS; k++) {
                uint32_t w[4];
                ffl_load_matrices_transposed(
                    w, tile + ffl_tile_place(16 * k + lane % 16, across + n + lane / 16));
                ffl_mma_bf16(d[0], g[k], w);
                ffl_mma_bf16(d[1], g[k], w + 2);
            }
            store(a, d, number * 64 + (across + n) * 8);
        }
    }

    /* Two tiles of eight columns from `column` on. */
    __device__ void store(const ffl_hybrid_args &a, float (&d)[2][4], size_t column)
    {
        const unsigned q = threadIdx.x % 4;
        if (!(a.first && a.last))
            carry(a, d, column);
        if (!a.last)
            return;
        uint16_t *y = (uint16_t *)a.y;
        if (a.aligned_y) {
            uint32_t w[4] = {ffl_bf16_pair(d[0][0], d[0][1]), ffl_bf16_pair(d[1][0], d[1][1]),
                             ffl_bf16_pair(d[0][2], d[0][3]), ffl_bf16_pair(d[1][2], d[1][3])};
            ffl_quad_transpose(w);
            const size_t at = column + q % 2 * 8;
            const int row = q < 2 ? token[0] : token[1]; /* an index would put both into local memory */
            if (row >= 0 && at < a.width_out)
                *(uint4 *)(y + (size_t)row * a.ldy + at) = make_uint4(w[0], w[1], w[2], w[3]);
            return;
        }
#pragma unroll
        for (int n = 0; n < 2; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const size_t at = column + 8 * n + 2 * q + e % 2;
                if (token[e / 2] >= 0 && at < a.width_out)
                    y[(size_t)token[e / 2] * a.ldy + at] = ffl_bf16_from_float(d[n][e]);
            }
    }

    /* With the outputs of the trees before. */
    __device__ void carry(const ffl_hybrid_args &a, float (&d)[2][4], size_t column)
    {
        const unsigned q = threadIdx.x % 4;
#pragma unroll
        for (int n = 0; n < 2; n++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                if (token[half] < 0)
                    continue;
                float2 *sum = (float2 *)(a.sums + token[half] * (a.pitch_out / 2) + column + 8 * n + 2 * q);
                float *own = &d[n][2 * half];
                if (!a.first) {
                    own[0] += sum->x;
                    own[1] += sum->y;
                }
                if (!a.last)
                    *sum = make_float2(own[0], own[1]);
            }
    }
};

/* ---- Outputs in float: each token's own rows of the slice, eight lanes a token ---- */

template <class T>
struct ffl_outputs_float {
    static constexpr int ROWS = 4 / T::ACROSS; /* tokens of a thread */
    static constexpr int GROUPS = T::THREADS / 8;
    static constexpr int LEVELS = FFL_HYBRID_BOTTOM_MAX, UPPER_LEVELS = FFL_HYBRID_TOP_MAX;
    static_assert(ROWS * GROUPS == T::TOKENS);
    float upper[ROWS][UPPER_LEVELS], lower[ROWS][LEVELS];
    unsigned place[ROWS][LEVELS]; /* of the chunk in the slice's tile */
    int token[ROWS];

    struct row {
        float g[LEVELS];
        uint8_t node[LEVELS];
    };
    static_assert(sizeof(row) <= T::HIDDEN_STRIDE);

    __device__ static void write(const ffl_hybrid_args &a, unsigned char *hidden, unsigned index, int token,
                                 unsigned first_row, const float *logits)
    {
        row *out = (row *)(hidden + index * T::HIDDEN_STRIDE);
        if (token >= 0)
            ffl_bottom_descend<T>(a, (unsigned)token, first_row, logits,
                                  [&](int level, unsigned node, float value) {
                                      out->g[level] = value;
                                      out->node[level] = (uint8_t)node;
                                  });
    }

    __device__ void read(const ffl_hybrid_args &a, const unsigned char *hidden, const int *ids, unsigned)
    {
        const unsigned chunk = threadIdx.x % 8;
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const unsigned index = threadIdx.x / 8 + r * GROUPS;
            const row *in = (const row *)(hidden + index * T::HIDDEN_STRIDE);
            token[r] = ids[index];
            const bool lives = token[r] >= 0;
            const float *g = a.hidden + (lives ? (size_t)token[r] * 8 : 0);
#pragma unroll
            for (int level = 0; level < UPPER_LEVELS; level++)
                upper[r][level] = lives && level < (int)a.cut.top ? g[level] : 0.0f;
#pragma unroll
            for (int level = 0; level < LEVELS; level++) {
                const bool below = lives && level < (int)a.cut.bottom;
                lower[r][level] = below ? in->g[level] : 0.0f;
                place[r][level] = ffl_tile_place(T::UPPER + (below ? in->node[level] : 0), chunk);
            }
        }
    }

    __device__ void slice(const ffl_hybrid_args &a, const unsigned char *tile, size_t number)
    {
        const unsigned chunk = threadIdx.x % 8;
        float4 sum[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            sum[r] = make_float4(0, 0, 0, 0);
#pragma unroll
        for (int level = 0; level < UPPER_LEVELS; level++)
            if (level < (int)a.cut.top) {
                const float4 w = *(const float4 *)(tile + ffl_tile_place((unsigned)level, chunk));
#pragma unroll
                for (int r = 0; r < ROWS; r++)
                    add(&sum[r], upper[r][level], w);
            }
#pragma unroll
        for (int level = 0; level < LEVELS; level++)
            if (level < (int)a.cut.bottom)
#pragma unroll
                for (int r = 0; r < ROWS; r++)
                    add(&sum[r], lower[r][level], *(const float4 *)(tile + place[r][level]));
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            if (token[r] >= 0)
                store(a, token[r], number * 32 + chunk * 4, sum[r]);
    }

    __device__ static void add(float4 *sum, float g, float4 w)
    {
        sum->x = fmaf(g, w.x, sum->x);
        sum->y = fmaf(g, w.y, sum->y);
        sum->z = fmaf(g, w.z, sum->z);
        sum->w = fmaf(g, w.w, sum->w);
    }

    __device__ static void store(const ffl_hybrid_args &a, int token, size_t column, float4 v)
    {
        if (!(a.first && a.last)) {
            float4 *sum = (float4 *)(a.sums + token * (a.pitch_out / 4) + column);
            if (!a.first) {
                const float4 before = *sum;
                v = make_float4(v.x + before.x, v.y + before.y, v.z + before.z, v.w + before.w);
            }
            if (!a.last) {
                *sum = v;
                return;
            }
        }
        float *y = (float *)a.y + (size_t)token * a.ldy + column;
        if (a.aligned_y && column < a.width_out) {
            *(float4 *)y = v;
            return;
        }
        const float values[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (column + i < a.width_out)
                y[i] = values[i];
    }
};

/* ---- The kernel ---- */

template <class F, class T>
using ffl_outputs = std::conditional_t<F::ELEMENT == 2, ffl_outputs_bf16<T>, ffl_outputs_float<T>>;

template <class F, class T>
__global__ static void __launch_bounds__(T::THREADS) ffl_hybrid_bottom(ffl_hybrid_args a)
{
    FFL_SHARED(unsigned char, shared);
    float *const logits = (float *)(shared + T::LOGITS);
    unsigned char *const hidden = shared + T::HIDDEN;
    int *const ids = (int *)(shared + T::IDS);
    const unsigned warp = threadIdx.x / 32;
    ffl_dependency_wait();
    const ffl_chunk chunk = ffl_bottom_chunk<T>(a, (unsigned *)(shared + T::ITEM));
    if (chunk.count == 0)
        return;
    for (unsigned row = threadIdx.x; row < T::TOKENS; row += T::THREADS) {
        const size_t at = (size_t)chunk.bucket * a.tokens + chunk.first + row;
        ids[row] = row >= chunk.count ? (int)FFL_NO_TOKEN : a.cut.top ? (int)a.list[at] : (int)at;
    }
    __syncthreads();

    const unsigned slices_in = (unsigned)(a.pitch_in / FFL_TILE_ROW);
    const unsigned slices = slices_in + (unsigned)(a.pitch_out / FFL_TILE_ROW);
    const size_t first_row = a.cut.top_columns + (size_t)chunk.bucket * T::COLUMNS;
    const auto load = [&](unsigned slice) {
        unsigned char *stage = shared + slice % T::STAGES * T::STAGE;
        if (slice < slices_in) {
            ffl_tile_inputs<F, T::TOKENS, T::THREADS>(stage, a, slice,
                                                      [&](unsigned row) { return ids[row]; });
            ffl_tile_weights<T::COLUMNS, T::THREADS>(stage + T::TOKENS * FFL_TILE_ROW,
                                                     a.w_in + first_row * a.pitch_in, a.pitch_in,
                                                     (size_t)slice * FFL_TILE_ROW);
        } else if (slice < slices) {
            ffl_bottom_outputs<T>(stage, a, chunk.bucket, slice - slices_in);
        }
        ffl_copy_commit();
    };
    for (unsigned slice = 0; slice < T::STAGES - 1; slice++)
        load(slice);

    const unsigned my_row = warp / T::ACROSS * 16, part = warp % T::ACROSS;
    {
        float z[1][T::NI][4] = {};
        for (unsigned slice = 0; slice < slices_in; slice++) {
            ffl_copy_wait<T::STAGES - 2>();
            __syncthreads();
            load(slice + T::STAGES - 1);
            const unsigned char *stage = shared + slice % T::STAGES * T::STAGE;
            if (my_row < chunk.count)
                ffl_tile_product<F>(z, stage, my_row, stage + T::TOKENS * FFL_TILE_ROW, 0, (int)part,
                                    T::ACROSS);
        }
        ffl_tile_store(z, logits + part * T::TOKENS * T::STRIDE, T::STRIDE, my_row, 0);
    }
    __syncthreads();
    if (threadIdx.x < T::TOKENS)
        ffl_outputs<F, T>::write(a, hidden, threadIdx.x, ids[threadIdx.x], (unsigned)first_row,
                                 logits + threadIdx.x * T::STRIDE);
    __syncthreads();

    if (a.nodes) {
        ffl_copy_wait<0>();
        return;
    }
    ffl_outputs<F, T> outputs;
    outputs.read(a, hidden, ids, chunk.count);
    for (unsigned slice = slices_in; slice < slices; slice++) {
        ffl_copy_wait<T::STAGES - 2>();
        __syncthreads();
        load(slice + T::STAGES - 1);
        outputs.slice(a, shared + slice % T::STAGES * T::STAGE, slice - slices_in);
    }
    ffl_copy_wait<0>();
}

#endif
