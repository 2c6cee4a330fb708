/*
 * FFF, a warp per token and tree: x lies in the warp's registers, a row of w_in is one fetch of 16 bytes a
 * lane, its logit five shuffles later names the next row. Node and logit of a level stay in the lane of that
 * number, so that one evaluation of the activation serves all levels, and all output rows are known when the
 * first of them is fetched. The trees of a token share out over the warps of a block, from 9 trees on over a
 * cluster of blocks, whose sums meet in shared memory in a fixed order.
 *
 * One token a warp is enough: 16 to 32 warps a multiprocessor ask for more bytes at once than the L2 cache
 * delivers in the latency of one row. Latency binds up to some 300 tokens, from there on L2's bandwidth.
 */
#include "cuda/walk.cuh"
#include "cuda/walk_plan.h"

static constexpr unsigned WARPS = FFL_WALK_BLOCK_WARPS, THREADS = WARPS * 32;
static constexpr size_t L1_BYTES = 160 << 10; /* of 256 KB, for the upper rows of both matrices */
static constexpr size_t LAUNCH_TOKENS = (size_t)1 << 26;

/* ---- One walk ---- */

/* Row in own_row and logit in own_logit of level `lane`. */
template <typename T, unsigned CHUNKS, bool FULL>
__device__ static inline void descend(const ffl_tree<T> &l, const float (&x)[CHUNKS][ffl_per_chunk<T>],
                                      unsigned first_row, unsigned kept_levels, unsigned &own_row,
                                      float &own_logit)
{
    const unsigned lane = threadIdx.x % 32;
    unsigned node = 0;
    own_row = 0;
    own_logit = 0.0f;
    for (unsigned level = 0; level < l.levels; level++) {
        const unsigned row = first_row + node;
        const float bias = __ldg(&l.b_in[row]);
        uint4 chunks[CHUNKS];
        ffl_row_load<T, CHUNKS, FULL>(l.w_in + row * l.stride_in, l.stride_in, level < kept_levels, chunks);
        const float z = ffl_row_dot(chunks, x) + bias;
        if (lane == level) {
            own_row = row;
            own_logit = z;
        }
        node = 2 * node + 1 + (z > 0.0f);
    }
}

template <typename T, unsigned CHUNKS, bool FULL>
__device__ static inline void add_outputs(const ffl_tree<T> &l, unsigned kept_levels, unsigned own_row,
                                          float own_logit, float (&out)[CHUNKS][ffl_per_chunk<T>])
{
    constexpr unsigned PER = ffl_per_chunk<T>;
    const float own_hidden = ffl_activate_device(l.activation, own_logit);
    /* Two rows in flight, where registers allow. */
#pragma unroll(CHUNKS < 8 ? 2 : 1)
    for (unsigned level = 0; level < l.levels; level++) {
        const unsigned row = __shfl_sync(FFL_WHOLE_WARP, own_row, (int)level);
        const float hidden = __shfl_sync(FFL_WHOLE_WARP, own_hidden, (int)level);
        uint4 chunks[CHUNKS];
        ffl_row_load<T, CHUNKS, FULL>(l.w_out + row * l.stride_out, l.stride_out, level < kept_levels,
                                      chunks);
#pragma unroll
        for (unsigned c = 0; c < CHUNKS; c++) {
            float w[PER];
            ffl_chunk_widen(chunks[c], w);
#pragma unroll
            for (unsigned i = 0; i < PER; i++)
                out[c][i] = __fmaf_rn(hidden, w[i], out[c][i]);
        }
    }
}

/* ---- One tree ---- */

/* As many as registers allow without spilling: 64, 80 or 128 of them. */
template <typename T, unsigned CHUNKS>
static constexpr unsigned blocks_per_processor = CHUNKS *ffl_per_chunk<T> > 24 ? (sizeof(T) == 2 ? 3 : 2)
                                                                               : (sizeof(T) == 2 ? 4 : 3);

template <typename T, unsigned CHUNKS, bool FULL>
__global__ static void __launch_bounds__(THREADS, blocks_per_processor<T, CHUNKS>)
    walk_one(ffl_tree<T> l, ffl_warp_share s, const T *x, size_t ldx, T *y, size_t ldy, size_t tokens)
{
    constexpr unsigned PER = ffl_per_chunk<T>;
    const size_t token = (size_t)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (token >= tokens)
        return;
    unsigned own_row;
    float own_logit;
    {
        float own_x[CHUNKS][PER];
        ffl_input_load<T, CHUNKS>(x + token * ldx, l.width_in, s.aligned_x, own_x);
        descend<T, CHUNKS, FULL>(l, own_x, 0, s.kept_levels, own_row, own_logit);
    }
    float out[CHUNKS][PER] = {};
    add_outputs<T, CHUNKS, FULL>(l, s.kept_levels, own_row, own_logit, out);
    ffl_output_store<T, CHUNKS>(out, y + token * ldy, l.width_out, s.aligned_y);
}

/* ---- Several trees ---- */

/*
 * y of a token from what its warps summed: those of this block first, into the row of its first warp, then
 * the rows of all its blocks. Sums: [warps][stride].
 */
template <typename T>
__device__ static void add_warps(float *sums, unsigned stride, unsigned width, const ffl_warp_share &s,
                                 bool valid, T *y)
{
    const unsigned local = s.warps < WARPS ? s.warps : WARPS, group = threadIdx.x / (32 * local);
    const unsigned rank = s.blocks > 1 ? ffl_cluster_rank() : 0, threads = 32 * local;
    float *own = sums + group * local * stride;
    __syncthreads();
    for (unsigned j = threadIdx.x % threads; j < width; j += threads) {
        float total = own[j];
        for (unsigned w = 1; w < local; w++)
            total += own[w * stride + j];
        if (s.blocks > 1)
            own[j] = total;
        else if (valid)
            ffl_narrow(total, &y[j]);
    }
    if (s.blocks == 1)
        return;
    ffl_cluster_sync();
    for (unsigned j = rank * THREADS + threadIdx.x; j < width; j += s.blocks * THREADS) {
        float total = *ffl_cluster_map(&sums[j], 0);
        for (unsigned b = 1; b < s.blocks; b++)
            total += *ffl_cluster_map(&sums[j], b);
        ffl_narrow(total, &y[j]);
    }
    ffl_cluster_sync(); /* nobody leaves while others read its sums */
}

template <typename T, unsigned CHUNKS, bool FULL>
__global__ static void __launch_bounds__(THREADS, 2)
    walk_many(ffl_tree<T> l, ffl_warp_share s, const T *x, size_t ldx, T *y, size_t ldy, size_t tokens)
{
    constexpr unsigned PER = ffl_per_chunk<T>, STRIDE = CHUNKS * 32 * PER;
    FFL_SHARED(float, sums);
    const unsigned warp = threadIdx.x / 32, rank = s.blocks > 1 ? ffl_cluster_rank() : 0;
    const size_t token = s.blocks > 1 ? blockIdx.x / s.blocks
                                      : (size_t)blockIdx.x * (blockDim.x / 32 / s.warps) + warp / s.warps;
    const unsigned part = s.blocks > 1 ? rank * WARPS + warp : warp % s.warps;
    const bool valid = token < tokens;
    float out[CHUNKS][PER] = {};
    if (valid) {
        float own_x[CHUNKS][PER];
        ffl_input_load<T, CHUNKS>(x + token * ldx, l.width_in, s.aligned_x, own_x);
        for (unsigned tree = part; tree < l.trees; tree += s.warps) {
            unsigned own_row;
            float own_logit;
            descend<T, CHUNKS, FULL>(l, own_x, tree * l.nodes, s.kept_levels, own_row, own_logit);
            add_outputs<T, CHUNKS, FULL>(l, s.kept_levels, own_row, own_logit, out);
        }
    }
#pragma unroll
    for (unsigned c = 0; c < CHUNKS; c++)
#pragma unroll
        for (unsigned i = 0; i < PER; i++)
            sums[warp * STRIDE + (c * 32 + threadIdx.x % 32) * PER + i] = out[c][i];
    add_warps(sums, STRIDE, l.width_out, s, valid, y + token * ldy);
}

/* ---- The variant ---- */

template <typename T>
struct state : ffl_walk<T> {
    ffl_warp_share s;
    unsigned chunks; /* a lane's, of the longer row; above CHUNKS_MAX: path.cuh */
    bool full;       /* all lanes own as many, of both rows */
    unsigned processors;
};

template <typename T>
static constexpr unsigned CHUNKS_MAX = 32 / ffl_per_chunk<T>; /* rows up to 1024 */

static unsigned chunks_of(size_t stride, unsigned per)
{
    return (unsigned)((stride / per + 31) / 32);
}

template <typename T>
static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    cudaDeviceProp device;
    int index;
    state<T> *s;
    FFL_CUDA_TRY(cudaGetDevice(&index));
    FFL_CUDA_TRY(cudaGetDeviceProperties(&device, index));
    FFL_TRY((ffl_walk_new<T>(layer, plan, &s)));
    s->processors = (unsigned)device.multiProcessorCount;
    constexpr unsigned PER = ffl_per_chunk<T>;
    const ffl_packed *p = &s->packed;
    const unsigned in = chunks_of(p->stride_in, PER), out = chunks_of(p->stride_out, PER);
    s->s = ffl_warp_share_of(layer->trees, (unsigned)layer->levels,
                             (p->stride_in + p->stride_out) * sizeof(T), L1_BYTES);
    s->chunks = in > out ? in : out;
    s->full = p->stride_in == p->stride_out && p->stride_in == (size_t)in * 32 * PER;
    if (s->chunks > CHUNKS_MAX<T>)
        plan->scratch_bytes =
            plan->max_tokens * layer->trees * layer->levels * (sizeof(int32_t) + sizeof(float));
    return FFL_OK;
}

template <typename T, unsigned CHUNKS, bool FULL>
static ffl_status launch(const state<T> *state, const ffl_warp_share &s, const T *x, size_t ldx, T *y,
                         size_t ldy, size_t tokens, cudaStream_t stream)
{
    const unsigned warps = ffl_warp_share_block(&s, tokens, state->processors), threads = 32 * warps;
    const unsigned blocks = (unsigned)ffl_warp_share_grid(&s, tokens, warps);
    const size_t shared = sizeof(float) * warps * CHUNKS * 32 * ffl_per_chunk<T>;
    if (state->tree.trees == 1)
        FFL_LAUNCH((walk_one<T, CHUNKS, FULL>), blocks, threads, 0, stream, state->tree, s, x, ldx, y, ldy,
                   tokens);
    else if (s.blocks == 1)
        FFL_LAUNCH((walk_many<T, CHUNKS, FULL>), blocks, threads, shared, stream, state->tree, s, x, ldx, y,
                   ldy, tokens);
    else
        FFL_LAUNCH_CLUSTER((walk_many<T, CHUNKS, FULL>), s.blocks, blocks, threads, shared, stream,
                           state->tree, s, x, ldx, y, ldy, tokens);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

template <typename T>
static ffl_status run_long(const state<T> *s, void *scratch, const T *x, size_t ldx, T *y, size_t ldy,
                           size_t tokens, cudaStream_t stream)
{
    int32_t *nodes = (int32_t *)scratch;
    float *logits = (float *)(nodes + tokens * s->tree.trees * s->tree.levels);
    FFL_TRY(ffl_path_find<T>(&s->tree, x, ldx, tokens, nodes, logits, stream));
    return ffl_path_sum<T>(&s->tree, nodes, logits, y, ldy, tokens, stream);
}

template <typename T>
static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x_, size_t ldx, float *y_,
                      size_t ldy, size_t tokens)
{
    constexpr unsigned MOST = CHUNKS_MAX<T>, COMMON = MOST * 3 / 4; /* 1024 and 768 elements */
    const state<T> *s = (const state<T> *)plan->state;
    const cudaStream_t stream = ffl_cuda_stream(exec->stream);
    const T *x = (const T *)x_;
    T *y = (T *)y_;
    if (s->chunks > MOST)
        return run_long(s, exec->scratch, x, ldx, y, ldy, tokens, stream);
    ffl_warp_share how = s->s;
    how.aligned_x = ffl_rows_aligned(x, ldx);
    how.aligned_y = ffl_rows_aligned(y, ldy);
    for (size_t first = 0; first < tokens;
         first += LAUNCH_TOKENS, x += LAUNCH_TOKENS * ldx, y += LAUNCH_TOKENS * ldy) {
        const size_t count = tokens - first < LAUNCH_TOKENS ? tokens - first : LAUNCH_TOKENS;
        if (s->full && s->chunks == COMMON)
            FFL_TRY((launch<T, COMMON, true>(s, how, x, ldx, y, ldy, count, stream)));
        else if (s->full && s->chunks == MOST)
            FFL_TRY((launch<T, MOST, true>(s, how, x, ldx, y, ldy, count, stream)));
        else if (s->chunks == 1)
            FFL_TRY((launch<T, 1, false>(s, how, x, ldx, y, ldy, count, stream)));
        else
            FFL_TRY((launch<T, MOST, false>(s, how, x, ldx, y, ldy, count, stream)));
    }
    return FFL_OK;
}

#define WARP(type, name_, summary_)                                                                          \
    FFL_WALK_VARIANT(type, FFL_SIMD, ffl_tree_supports, prepare<type>, run<type>, name_,                     \
                     "arXiv:2311.10770, FFF inference", summary_)

FFL_VARIANTS(fff_warp_cuda) = {
    WARP(float, "fff_warp_cuda", "a warp per token and tree, x in registers, output rows summed at the end"),
    WARP(uint16_t, "fff_warp_bf16_cuda", "a warp per token and tree, bf16 weights and rows, f32 sums"),
    {},
};
