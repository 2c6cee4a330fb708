/*
 * FFF of shallow trees, as two dense bf16 products on tensor cores: the logits of all neurons, masked by each
 * token's paths before they leave the block, and the masked activations times w_out. As many operations as
 * the dense layer: what conditional evaluation has to beat where a path is a large part of its tree.
 *
 * Neurons are packed in groups of 128 columns (256 for 8 levels), each of whole trees, so that a block that
 * has a tile of logits can walk them.
 */
#include "cuda/dense_tile.cuh"
#include "kernels/variant.h"
#include <new>

typedef ffl_format_bf16 format;
static constexpr size_t ACTIVATIONS_MOST = (size_t)1 << 27; /* of a pass */
static constexpr unsigned LEVELS_MOST = 8;

struct groups {
    unsigned trees, levels, nodes; /* of the layer, of a tree */
    unsigned columns, across;      /* of a group, of all */
    unsigned per_group;            /* trees */
};

struct state {
    groups g;
    unsigned multiprocessors;
    size_t pitch_in, pitch_out; /* bytes of a row of w_in, and of transposed w_out */
    unsigned char *w_in, *w_out;
    float *b_in;
};

/* Neuron of a packed column, or -1. */
__device__ static int neuron_of(const groups &g, unsigned column)
{
    const unsigned inside = column % g.columns, tree = column / g.columns * g.per_group + inside / g.nodes;
    if (inside >= g.per_group * g.nodes || tree >= g.trees)
        return -1;
    return (int)(tree * g.nodes + inside % g.nodes);
}

/* A block per packed column, then one per output. */
__global__ static void __launch_bounds__(128) pack(ffl_layer l, groups g, size_t pitch_in, size_t pitch_out,
                                                   unsigned char *w_in, unsigned char *w_out, float *b_in)
{
    if (blockIdx.x < g.across) {
        const int neuron = neuron_of(g, blockIdx.x);
        uint16_t *row = (uint16_t *)(w_in + blockIdx.x * pitch_in);
        for (size_t i = threadIdx.x; i < pitch_in / 2; i += blockDim.x)
            row[i] = neuron >= 0 && i < l.width_in ? format::pack(l.w_in[(size_t)neuron * l.width_in + i])
                                                   : (uint16_t)0;
        if (threadIdx.x == 0)
            b_in[blockIdx.x] = neuron >= 0 ? l.b_in[neuron] : 0.0f;
        return;
    }
    const size_t output = blockIdx.x - g.across;
    uint16_t *row = (uint16_t *)(w_out + output * pitch_out);
    for (unsigned i = threadIdx.x; i < g.across; i += blockDim.x) {
        const int neuron = neuron_of(g, i);
        row[i] = neuron >= 0 && output < l.width_out
                     ? format::pack(l.w_out[(size_t)neuron * l.width_out + output])
                     : (uint16_t)0;
    }
}

/* Where a trace goes; nodes NULL: none. */
struct record {
    int32_t *nodes;
    float *logits;
};

template <class T>
struct gates_tile : T {
    static constexpr int MASKED = (T::TOKENS * T::STRIDE * 4 + 15) / 16 * 16; /* bf16 [TOKENS][COLUMNS] */
    static_assert(MASKED + T::TOKENS * T::COLUMNS * 2 <= T::SHARED);
};

/* One token through one tree of the tile. */
__device__ static void descend(const ffl_hybrid_args &a, const groups &g, const record &out, unsigned token,
                               unsigned tree, const float *logits, const float *bias, uint16_t *masked)
{
    unsigned node = 0;
    for (unsigned level = 0; level < g.levels; level++) {
        const float z = logits[node] + bias[node];
        masked[node] = ffl_bf16_from_float(ffl_activate_device(a.activation, z));
        if (out.nodes && token < a.tokens) {
            const size_t at = ((size_t)token * g.trees + tree) * g.levels + level;
            out.nodes[at] = (int32_t)node;
            out.logits[at] = z;
        }
        node = 2 * node + 1 + (z > 0.0f);
    }
}

/* Masked activations of a tile of tokens and a group: blocks of one group follow each other and share its
 * rows. */
template <class T>
__global__ static void __launch_bounds__(T::THREADS, 1)
    gates(ffl_hybrid_args a, groups g, record out, uint16_t *activations)
{
    FFL_SHARED(unsigned char, shared);
    const unsigned tiles = (a.tokens + T::TOKENS - 1) / T::TOKENS;
    const unsigned first = blockIdx.x % tiles * T::TOKENS, group = blockIdx.x / tiles;
    const size_t column = (size_t)group * T::COLUMNS;
    ffl_dense_products<format, T>(a, a.w_in + column * a.pitch_in, first, shared);
    uint4 *masked = (uint4 *)(shared + T::MASKED);
    constexpr unsigned CHUNKS = T::COLUMNS / 8;
    for (unsigned i = threadIdx.x; i < T::TOKENS * CHUNKS; i += T::THREADS)
        masked[i] = make_uint4(0, 0, 0, 0);
    __syncthreads();
    for (unsigned i = threadIdx.x; i < T::TOKENS * g.per_group; i += T::THREADS) {
        const unsigned row = i % T::TOKENS, inside = i / T::TOKENS, tree = group * g.per_group + inside;
        const unsigned at = inside * g.nodes;
        if (tree < g.trees)
            descend(a, g, out, first + row, tree, (const float *)shared + row * T::STRIDE + at,
                    a.b_in + column + at, (uint16_t *)masked + row * T::COLUMNS + at);
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < T::TOKENS * CHUNKS; i += T::THREADS) {
        const size_t token = first + i / CHUNKS;
        if (token < a.tokens)
            *(uint4 *)(activations + token * g.across + column + i % CHUNKS * 8) = masked[i];
    }
}

/* Outputs: blocks of one token tile follow each other and share its activations. */
template <class T>
__global__ static void __launch_bounds__(T::THREADS, 1) outputs(ffl_hybrid_args a)
{
    FFL_SHARED(unsigned char, shared);
    const unsigned tiles = (unsigned)(a.width_out + T::COLUMNS - 1) / T::COLUMNS;
    const unsigned first = blockIdx.x / tiles * T::TOKENS;
    const size_t column = (size_t)(blockIdx.x % tiles) * T::COLUMNS;
    ffl_dense_products<format, T>(a, a.w_in + column * a.pitch_in, first, shared);
    __syncthreads();
    constexpr unsigned CHUNKS = T::COLUMNS / 8;
    for (unsigned i = threadIdx.x; i < T::TOKENS * CHUNKS; i += T::THREADS) {
        const size_t token = first + i / CHUNKS, at = column + i % CHUNKS * 8;
        const float *v = (const float *)shared + i / CHUNKS * T::STRIDE + i % CHUNKS * 8;
        if (token >= a.tokens)
            continue;
        uint16_t *y = (uint16_t *)a.y + token * a.ldy + at;
        if (a.aligned_y && at < a.width_out)
            *(uint4 *)y = make_uint4(ffl_bf16_pair(v[0], v[1]), ffl_bf16_pair(v[2], v[3]),
                                     ffl_bf16_pair(v[4], v[5]), ffl_bf16_pair(v[6], v[7]));
        else
            for (unsigned j = 0; j < 8 && at + j < a.width_out; j++)
                y[j] = ffl_bf16_from_float(v[j]);
    }
}

/* ---- Host ---- */

static size_t round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static bool supports(const ffl_layer *shape, size_t, const char **why)
{
    *why = "a tree of more than 8 levels does not fit a tile of 256 columns";
    return shape->levels <= LEVELS_MOST;
}

static void release(ffl_plan *plan)
{
    state *s = (state *)plan->state;
    if (!s)
        return;
    cudaFree(s->w_in);
    cudaFree(s->w_out);
    cudaFree(s->b_in);
    delete s;
    plan->state = nullptr;
}

static size_t pass_of(const state *s, size_t tokens)
{
    const size_t most = round_up(ACTIVATIONS_MOST / s->g.across + 1, 128);
    return tokens < most ? tokens : most;
}

static ffl_status fill(const ffl_layer *l, ffl_plan *plan, state *s)
{
    const size_t outputs = round_up(l->width_out, 128);
    FFL_CUDA_TRY(cudaMalloc(&s->w_in, s->g.across * s->pitch_in));
    FFL_CUDA_TRY(cudaMalloc(&s->w_out, outputs * s->pitch_out));
    FFL_CUDA_TRY(cudaMalloc(&s->b_in, s->g.across * sizeof(float)));
    FFL_LAUNCH(pack, (unsigned)(s->g.across + outputs), 128, 0, 0, *l, s->g, s->pitch_in, s->pitch_out,
               s->w_in, s->w_out, s->b_in);
    FFL_CUDA_TRY(cudaGetLastError());
    FFL_CUDA_TRY(cudaDeviceSynchronize());
    plan->packed_bytes = s->g.across * (s->pitch_in + sizeof(float)) + outputs * s->pitch_out;
    return FFL_OK;
}

static ffl_status prepare(const ffl_layer *l, const ffl_machine *, ffl_plan *plan)
{
    int device = 0;
    cudaDeviceProp properties;
    FFL_CUDA_TRY(cudaGetDevice(&device));
    FFL_CUDA_TRY(cudaGetDeviceProperties(&properties, device));
    const size_t columns = l->levels == LEVELS_MOST ? 256 : 128, per_group = columns / l->nodes;
    const size_t across = (l->trees + per_group - 1) / per_group * columns;
    if (across > (1 << 24))
        return ffl_fail(FFL_UNSUPPORTED, "%zu packed neurons: at most %d", across, 1 << 24);
    state *s = new (std::nothrow) state();
    if (!s)
        return ffl_fail(FFL_NO_MEMORY, "no memory for a plan");
    s->g = {(unsigned)l->trees, (unsigned)l->levels, (unsigned)l->nodes,
            (unsigned)columns,  (unsigned)across,    (unsigned)per_group};
    s->multiprocessors = (unsigned)properties.multiProcessorCount;
    s->pitch_in = round_up(l->width_in * 2, FFL_TILE_ROW);
    s->pitch_out = across * 2;
    plan->state = s;
    plan->scratch_bytes = pass_of(s, plan->max_tokens) * s->pitch_out;
    const ffl_status status = fill(l, plan, s);
    if (status != FFL_OK)
        release(plan);
    return status;
}

template <class T>
static ffl_status launch_gates(const ffl_hybrid_args *a, const state *s, const record *out, void *activations,
                               cudaStream_t stream)
{
    using G = gates_tile<T>;
    const unsigned tiles = (a->tokens + T::TOKENS - 1) / T::TOKENS;
    FFL_CUDA_TRY(cudaFuncSetAttribute(gates<G>, cudaFuncAttributeMaxDynamicSharedMemorySize, G::SHARED));
    FFL_LAUNCH(gates<G>, tiles * (s->g.across / s->g.columns), G::THREADS, G::SHARED, stream, *a, s->g, *out,
               (uint16_t *)activations);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

/* Small tiles until there is a block for every multiprocessor. */
static ffl_status run_gates(const ffl_hybrid_args *a, const state *s, const record *out, void *activations,
                            cudaStream_t stream)
{
    const bool small = a->tokens * (size_t)s->g.across / s->g.columns < 128 * (size_t)s->multiprocessors;
    if (s->g.columns == 256)
        return small ? launch_gates<ffl_dense_tile<16, 256>>(a, s, out, activations, stream)
                     : launch_gates<ffl_dense_tile<64, 256>>(a, s, out, activations, stream);
    return small ? launch_gates<ffl_dense_tile<32, 128>>(a, s, out, activations, stream)
                 : launch_gates<ffl_dense_tile<128, 128>>(a, s, out, activations, stream);
}

template <class T>
static ffl_status launch_outputs(const ffl_hybrid_args *a, cudaStream_t stream)
{
    const unsigned tiles = (a->tokens + T::TOKENS - 1) / T::TOKENS;
    const unsigned across = (unsigned)(a->width_out + T::COLUMNS - 1) / T::COLUMNS;
    FFL_CUDA_TRY(cudaFuncSetAttribute(outputs<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, T::SHARED));
    FFL_LAUNCH(outputs<T>, tiles * across, T::THREADS, T::SHARED, stream, *a);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

static ffl_status run_outputs(const ffl_hybrid_args *x, const state *s, const void *activations,
                              cudaStream_t stream)
{
    ffl_hybrid_args a = *x;
    a.x = activations;
    a.ldx = a.width_in = s->g.across;
    a.aligned_x = true;
    a.w_in = s->w_out;
    a.pitch_in = s->pitch_out;
    const bool small = a.tokens * a.width_out < 128 * 128 * (size_t)s->multiprocessors;
    return small ? launch_outputs<ffl_dense_tile<32, 128>>(&a, stream)
                 : launch_outputs<ffl_dense_tile<128, 128>>(&a, stream);
}

static ffl_status enqueue(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                          size_t ldy, size_t tokens, int32_t *nodes, float *logits)
{
    const state *s = (const state *)plan->state;
    const ffl_layer *l = plan->layer;
    const cudaStream_t stream = ffl_cuda_stream(exec->stream);
    const size_t most = pass_of(s, plan->max_tokens), visited = l->trees * l->levels;
    ffl_hybrid_args a = {};
    a.activation = l->activation;
    a.w_in = s->w_in;
    a.b_in = s->b_in;
    a.pitch_in = s->pitch_in;
    a.ldx = ldx;
    a.ldy = ldy;
    a.width_in = l->width_in;
    a.width_out = l->width_out;
    a.aligned_x = (uintptr_t)x % 16 == 0 && ldx % 8 == 0 && l->width_in % 8 == 0;
    a.aligned_y = (uintptr_t)y % 16 == 0 && ldy % 8 == 0 && l->width_out % 8 == 0;
    for (size_t done = 0; done < tokens; done += most) {
        const record out = {nodes ? nodes + done * visited : nullptr,
                            logits ? logits + done * visited : nullptr};
        a.x = (const uint16_t *)x + done * ldx;
        a.y = (uint16_t *)y + done * ldy;
        a.tokens = (unsigned)(tokens - done < most ? tokens - done : most);
        FFL_TRY(run_gates(&a, s, &out, exec->scratch, stream));
        if (!nodes)
            FFL_TRY(run_outputs(&a, s, exec->scratch, stream));
    }
    return FFL_OK;
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    return enqueue(plan, exec, x, ldx, y, ldy, tokens, nullptr, nullptr);
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    return enqueue(plan, exec, x, ldx, nullptr, 0, tokens, nodes, logits);
}

FFL_VARIANTS(fff_masked_mma_bf16_cuda) = {
    {.name = "fff_masked_mma_bf16_cuda",
     .summary = "all neurons of shallow trees, masked by the paths; bf16 tensor cores",
     .source = "this lab",
     .operation = FFL_FFF,
     .place = FFL_CUDA,
     .family = FFL_TENSOR,
     .contract = FFL_CONTRACT_BF16_TENSOR(4 * FFL_UNIT_F32, FFL_SAME_RUN_TO_RUN),
     .supports = supports,
     .prepare = prepare,
     .run = run,
     .release = release,
     .trace = trace},
    {},
};
