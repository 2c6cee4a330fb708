/*
 * FFF for few tokens, where a walk is a chain of fetches that each wait for the last: several levels a step.
 * All nodes that the next levels could visit are evaluated at once, a warp each; then everyone reads the
 * signs and descends that many levels. A token has a block, or a cluster of 8 that takes 6 levels of a tree
 * in one step; logits go to all blocks of the cluster through distributed shared memory. Each block owns a
 * slice of the output columns; it adds the rows of one step while the next step's rows of w_in are on their
 * way.
 *
 * A step of k levels costs 2^k - 1 rows instead of k: right while latency binds, wrong as soon as bytes do.
 * Several trees descend together, each as many levels as there are warps for.
 */
#include "cuda/columns.cuh"
#include "cuda/walk.cuh"
#include "cuda/walk_plan.h"

static constexpr unsigned UNITS = 4;
static constexpr size_t LAUNCH_TOKENS = (size_t)1 << 24;

struct token_state {
    float *logits;   /* [2][trees][2^levels_per_step - 1], every other step */
    unsigned *rows;  /* [trees][levels of the step]: on the path */
    float *path;     /* their logits */
    unsigned *roots; /* [trees]: the node each tree has come to */
    unsigned first;  /* tree of the group */
    unsigned trees;  /* in the group */
    unsigned step;   /* counted over all groups */
};

/* A barrier of all threads of the token. */
__device__ static inline void meet(const ffl_speculation &d)
{
    if (d.blocks > 1)
        ffl_cluster_sync();
    else
        __syncthreads();
}

/* Row of the item-th node of a step: all trees' nodes, heap order below each tree's root. */
template <typename T>
__device__ static inline unsigned row_of(const ffl_tree<T> &l, const token_state &s, unsigned item,
                                         unsigned below)
{
    const unsigned tree = item / below, i = item % below + 1, depth = 31 - (unsigned)__clz((int)i);
    return (s.first + tree) * l.nodes + ((s.roots[tree] + 1) << depth) - 1 + (i - (1u << depth));
}

/* To all blocks of the token. */
__device__ static inline void tell(const ffl_speculation &d, float *logit, float z)
{
    const unsigned lane = threadIdx.x % 32;
    if (d.blocks == 1 && lane == 0)
        *logit = z;
    if (d.blocks > 1 && lane < d.blocks)
        *ffl_cluster_map(logit, lane) = z;
}

/* Each tree descends `levels` levels by the signs of its logits; its rows and logits are then on the path. */
template <typename T>
__device__ static inline void descend(const ffl_tree<T> &l, const ffl_speculation &d, const token_state &s,
                                      const float *logits, unsigned levels)
{
    const unsigned lane = threadIdx.x % 32, below = (1u << levels) - 1;
    for (unsigned tree = threadIdx.x / 32; tree < s.trees; tree += d.warps) {
        const float *z = logits + tree * below;
        const unsigned low = __ballot_sync(FFL_WHOLE_WARP, lane < below && z[lane] > 0.0f);
        const unsigned high = __ballot_sync(FFL_WHOLE_WARP, lane + 32 < below && z[lane + 32] > 0.0f);
        const uint64_t right = low | (uint64_t)high << 32;
        unsigned node = 0, own = 0;
        for (unsigned level = 0; level < levels; level++) {
            if (lane == level)
                own = node;
            node = 2 * node + 1 + (unsigned)(right >> node & 1);
        }
        const unsigned root = s.roots[tree] + 1;
        if (lane < levels) {
            const unsigned i = own + 1, depth = lane;
            s.rows[tree * levels + lane] =
                (s.first + tree) * l.nodes + (root << depth) - 1 + (i - (1u << depth));
            s.path[tree * levels + lane] = z[own];
        }
        __syncwarp();
        if (lane == 0)
            s.roots[tree] = (root << levels) - 1 + (node + 1 - (1u << levels));
    }
    __syncthreads();
}

/* ---- The kernel ---- */

/* Output rows on the way at once, beside a row of w_in and x: as registers allow. */
template <typename T, unsigned CHUNKS>
static constexpr unsigned ROWS = CHUNKS *ffl_per_chunk<T> > 24 ? 2 : 4;

/* One group of trees from root to leaves, `pending` rows of the group before still to be added. */
template <typename T, unsigned CHUNKS, bool FULL>
__device__ static inline void
walk_group(const ffl_tree<T> &l, const ffl_speculation &d, token_state &s, const T *x,
           const float (&own_x)[CHUNKS ? CHUNKS : 1][ffl_per_chunk<T>], unsigned column, unsigned apart,
           unsigned &pending, float2 (&out)[UNITS])
{
    const unsigned rank = d.blocks > 1 ? ffl_cluster_rank() : 0;
    const unsigned warp = rank * d.warps + threadIdx.x / 32, warps = d.blocks * d.warps;
    for (unsigned done = 0; done < l.levels; s.step++) {
        const unsigned left = l.levels - done, levels = left < d.levels_per_step ? left : d.levels_per_step;
        const unsigned below = (1u << levels) - 1, items = s.trees * below;
        float *logits = s.logits + s.step % 2 * d.trees * ((1u << d.levels_per_step) - 1);
        unsigned row = warp < items ? row_of(l, s, warp, below) : 0;
        if constexpr (CHUNKS > 0) {
            uint4 chunks[CHUNKS];
            float bias = 0.0f;
            if (warp < items) {
                bias = __ldg(&l.b_in[row]);
                ffl_row_load<T, CHUNKS, FULL>(l.w_in + row * l.stride_in, l.stride_in, true, chunks);
            }
            if (s.step == 0 && d.blocks > 1)
                ffl_cluster_sync(); /* all blocks run: their shared memory may be written */
            ffl_columns_add<ROWS<T, CHUNKS>>(l, s.rows, s.path, pending, column, apart, out);
            if (warp < items)
                tell(d, &logits[warp], ffl_row_dot(chunks, own_x) + bias);
            for (unsigned item = warp + warps; item < items; item += warps) {
                row = row_of(l, s, item, below);
                ffl_row_load<T, CHUNKS, FULL>(l.w_in + row * l.stride_in, l.stride_in, true, chunks);
                tell(d, &logits[item], ffl_row_dot(chunks, own_x) + __ldg(&l.b_in[row]));
            }
        } else {
            if (s.step == 0 && d.blocks > 1)
                ffl_cluster_sync();
            ffl_columns_add<ROWS<T, CHUNKS>>(l, s.rows, s.path, pending, column, apart, out);
            for (unsigned item = warp; item < items; item += warps) {
                row = row_of(l, s, item, below);
                const T *w = l.w_in + row * l.stride_in;
                tell(d, &logits[item], ffl_row_dot_long(w, l.stride_in, x, l.width_in) + l.b_in[row]);
            }
        }
        meet(d);
        descend(l, d, s, logits, levels);
        pending = s.trees * levels;
        done += levels;
    }
}

/* blockIdx.x: token and rank; blockIdx.y: which of the column slices, when one pass does not hold them all.
 */
template <typename T, unsigned CHUNKS, bool FULL>
__global__ static void __launch_bounds__(FFL_SPECULATION_THREADS_MAX, 1)
    speculate(ffl_tree<T> l, ffl_speculation d, const T *x, size_t ldx, T *y, size_t ldy)
{
    FFL_SHARED(float, shared);
    token_state s = {};
    const unsigned words = (unsigned)d.trees * ((1u << d.levels_per_step) - 1);
    s.logits = shared;
    s.path = shared + 2 * words;
    s.rows = (unsigned *)(s.path + d.trees * d.levels_per_step);
    s.roots = s.rows + d.trees * d.levels_per_step;

    const unsigned rank = d.blocks > 1 ? ffl_cluster_rank() : 0;
    const size_t token = blockIdx.x / d.blocks;
    x += token * ldx;
    y += token * ldy;
    /* Warps take 64 columns each, those of different blocks in turn. */
    const unsigned across = d.blocks * blockDim.x * 2, lane = threadIdx.x % 32;
    const unsigned column =
        blockIdx.y * across * UNITS + ((threadIdx.x / 32 * d.blocks + rank) * 32 + lane) * 2;

    float own_x[CHUNKS ? CHUNKS : 1][ffl_per_chunk<T>];
    if constexpr (CHUNKS > 0)
        ffl_input_load<T, CHUNKS>(x, l.width_in, d.aligned_x, own_x);
    float2 out[UNITS] = {};
    unsigned pending = 0;
    for (s.first = 0; s.first < l.trees; s.first += d.trees) {
        s.trees = l.trees - s.first < d.trees ? l.trees - s.first : d.trees;
        for (unsigned i = threadIdx.x; i < s.trees; i += blockDim.x)
            s.roots[i] = 0;
        __syncthreads();
        walk_group<T, CHUNKS, FULL>(l, d, s, x, own_x, column, across, pending, out);
    }
    ffl_columns_add<ROWS<T, CHUNKS>>(l, s.rows, s.path, pending, column, across, out);
    ffl_columns_store(out, y, l.width_out, column, across);
}

/* ---- The variants ---- */

template <typename T>
struct state : ffl_walk<T> {
    ffl_speculation d;
};

template <typename T, unsigned BLOCKS, unsigned WARPS>
static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    state<T> *s;
    (void)machine;
    FFL_TRY((ffl_walk_new<T>(layer, plan, &s)));
    s->d = ffl_speculation_of(layer->trees, (unsigned)layer->levels, BLOCKS, WARPS);
    return FFL_OK;
}

template <typename T, unsigned CHUNKS, bool FULL>
static ffl_status launch(const ffl_tree<T> &tree, const ffl_speculation &d, const T *x, size_t ldx, T *y,
                         size_t ldy, size_t tokens, cudaStream_t stream)
{
    const size_t across = (size_t)d.blocks * d.warps * 32 * 2 * UNITS;
    const dim3 grid((unsigned)tokens * d.blocks, (unsigned)((tree.width_out + across - 1) / across));
    if (d.blocks > 1)
        FFL_LAUNCH_CLUSTER((speculate<T, CHUNKS, FULL>), d.blocks, grid, d.warps * 32,
                           ffl_speculation_shared_bytes(&d), stream, tree, d, x, ldx, y, ldy);
    else
        FFL_LAUNCH((speculate<T, CHUNKS, FULL>), grid, d.warps * 32, ffl_speculation_shared_bytes(&d), stream,
                   tree, d, x, ldx, y, ldy);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

template <typename T>
static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x_, size_t ldx, float *y_,
                      size_t ldy, size_t tokens)
{
    constexpr unsigned PER = ffl_per_chunk<T>, MOST = 32 / PER, COMMON = 24 / PER; /* 1024 and 768 elements */
    const state<T> *s = (const state<T> *)plan->state;
    const cudaStream_t stream = ffl_cuda_stream(exec->stream);
    const unsigned chunks = (unsigned)((s->tree.stride_in / PER + 31) / 32);
    const bool full = s->tree.stride_in == (size_t)COMMON * 32 * PER;
    const T *x = (const T *)x_;
    T *y = (T *)y_;
    ffl_speculation d = s->d;
    d.aligned_x = ffl_rows_aligned(x, ldx);
    for (size_t first = 0; first < tokens; first += LAUNCH_TOKENS) {
        const size_t count = tokens - first < LAUNCH_TOKENS ? tokens - first : LAUNCH_TOKENS;
        const T *from = x + first * ldx;
        T *to = y + first * ldy;
        if (full)
            FFL_TRY((launch<T, COMMON, true>(s->tree, d, from, ldx, to, ldy, count, stream)));
        else if (chunks <= MOST)
            FFL_TRY((launch<T, MOST, false>(s->tree, d, from, ldx, to, ldy, count, stream)));
        else
            FFL_TRY((launch<T, 0, false>(s->tree, d, from, ldx, to, ldy, count, stream)));
    }
    return FFL_OK;
}

#define SPECULATIVE(name_, type, blocks, warps, summary_)                                                    \
    FFL_WALK_VARIANT(type, FFL_SIMD, ffl_tree_supports, (prepare<type, blocks, warps>), run<type>, name_,    \
                     "this lab", summary_)

FFL_VARIANTS(fff_speculative_cuda) = {
    SPECULATIVE("fff_speculative2_cuda", float, 1, 3,
                "a block per token evaluates 2 levels of a tree at once"),
    SPECULATIVE("fff_speculative3_cuda", float, 1, 7,
                "a block per token evaluates 3 levels of a tree at once"),
    SPECULATIVE("fff_speculative4_cuda", float, 1, 15,
                "a block per token evaluates 4 levels of a tree at once"),
    SPECULATIVE("fff_speculative6_cuda", float, 8, 8,
                "a cluster of 8 blocks per token evaluates 6 levels of a tree at once"),
    SPECULATIVE("fff_speculative2_bf16_cuda", uint16_t, 1, 3,
                "a block per token evaluates 2 levels of a tree at once, bf16"),
    SPECULATIVE("fff_speculative3_bf16_cuda", uint16_t, 1, 7,
                "a block per token evaluates 3 levels of a tree at once, bf16"),
    SPECULATIVE("fff_speculative4_bf16_cuda", uint16_t, 1, 15,
                "a block per token evaluates 4 levels of a tree at once, bf16"),
    SPECULATIVE("fff_speculative6_bf16_cuda", uint16_t, 8, 8,
                "a cluster of 8 blocks per token evaluates 6 levels of a tree at once, bf16"),
    {},
};
