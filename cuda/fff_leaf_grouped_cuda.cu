/*
 * Leaf FFF, two phases: a warp per token descends the gates with x in its registers, as fff_warp_cuda does,
 * then the tokens of each leaf meet in tiles (experts.cuh). Descents of a large batch are bound by the L2
 * cache, which delivers a row of gates per level and token, narrow leaves by memory: x is read twice, y
 * written once.
 */
#include "cuda/experts.cuh"
#include "cuda/row.cuh"
#include "kernels/memory.h"

static constexpr unsigned THREADS = 256, WARPS = THREADS / 32;
static constexpr size_t L1_BYTES = 160 << 10; /* of 256 KB, for the upper gates */

/* Rows of 16-byte chunks, as many to a lane. */
static constexpr unsigned COMMON = 6, MOST = 8, LONG = 0;

struct gates {
    const float *w, *b;
    size_t stride;
    unsigned width, levels, kept_levels, count;
    bool aligned_x;
};

/* CHUNKS = LONG: x stays in memory. The same bits. */
template <unsigned CHUNKS, bool FULL>
__global__ static void __launch_bounds__(THREADS)
    descend(gates g, ffl_expert_pairs pairs, const float *x, size_t ldx)
{
    const size_t token = (size_t)blockIdx.x * WARPS + threadIdx.x / 32;
    ffl_dependents_launch();
    if (blockIdx.x == 0 && threadIdx.x == 0)
        ffl_expert_begin(pairs);
    if (token >= pairs.pairs)
        return;
    x += token * ldx;
    constexpr unsigned HELD = CHUNKS ? CHUNKS : 1;
    float own_x[HELD][4];
    if (CHUNKS != LONG)
        ffl_input_load<float, HELD>(x, g.width, g.aligned_x, own_x);
    unsigned node = 0;
    for (unsigned level = 0; level < g.levels; level++) {
        const float *row = g.w + node * g.stride;
        const float bias = __ldg(&g.b[node]);
        float z;
        if constexpr (CHUNKS != LONG) {
            uint4 chunks[HELD];
            ffl_row_load<float, HELD, FULL>(row, g.stride, level < g.kept_levels, chunks);
            z = ffl_row_dot(chunks, own_x) + bias;
        } else {
            z = ffl_row_dot_long(row, g.stride, x, g.width) + bias;
        }
        node = 2 * node + 1 + (z > 0.0f);
    }
    if (threadIdx.x % 32 == 0)
        ffl_expert_take(pairs, token, node - g.count);
}

struct state {
    ffl_packed packed; /* the gates as rows of an FFF layer */
    ffl_experts *experts;
    gates g;
    unsigned chunks; /* a lane's */
    bool full;       /* all lanes own as many */
};

static void release(ffl_plan *plan)
{
    state *s = (state *)plan->state;
    ffl_packed_free(&s->packed);
    ffl_experts_free(s->experts);
    ffl_free(s);
}

static ffl_status pack_gates(const ffl_layer *l, ffl_plan *plan, state *s)
{
    ffl_layer rows = {};
    rows.neurons = l->gates;
    rows.width_in = l->width_in;
    rows.width_out = 4; /* none, and nothing to pack */
    rows.w_in = l->w_gate;
    if (l->gates)
        FFL_TRY(ffl_packed_new(&rows, FFL_F32, &s->packed, &plan->packed_bytes));
    s->g.w = (const float *)s->packed.w_in;
    s->g.b = l->b_gate;
    s->g.stride = s->packed.stride_in;
    s->g.width = (unsigned)l->width_in;
    s->g.levels = (unsigned)l->levels;
    s->g.count = (unsigned)l->gates;
    while (s->g.kept_levels < s->g.levels &&
           (((size_t)2 << s->g.kept_levels) - 1) * s->g.stride * sizeof(float) <= L1_BYTES)
        s->g.kept_levels++;
    s->chunks = (unsigned)((s->g.stride / 4 + 31) / 32);
    s->full = s->g.stride == (size_t)s->chunks * 128;
    return FFL_OK;
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    state *s = (state *)ffl_alloc(sizeof *s);
    if (!s)
        return FFL_NO_MEMORY;
    *s = {};
    plan->state = s;
    ffl_status status = pack_gates(layer, plan, s);
    if (status == FFL_OK)
        status = ffl_experts_new(layer, 0, plan, &s->experts);
    if (status != FFL_OK)
        release(plan);
    return status;
}

template <unsigned CHUNKS, bool FULL>
static ffl_status descend_on(cudaStream_t stream, const gates &g, const ffl_expert_pairs &pairs,
                             const float *x, size_t ldx)
{
    FFL_LAUNCH((descend<CHUNKS, FULL>), (pairs.pairs + WARPS - 1) / WARPS, THREADS, 0, stream, g, pairs, x,
               ldx);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const state *s = (const state *)plan->state;
    const cudaStream_t stream = ffl_cuda_stream(exec->stream);
    const ffl_expert_pairs pairs = ffl_experts_pairs(s->experts, exec, tokens);
    gates g = s->g;
    g.aligned_x = ffl_rows_aligned(x, ldx);
    if (s->full && s->chunks == COMMON)
        FFL_TRY((descend_on<COMMON, true>(stream, g, pairs, x, ldx)));
    else if (s->chunks <= MOST)
        FFL_TRY((descend_on<MOST, false>(stream, g, pairs, x, ldx)));
    else
        FFL_TRY((descend_on<LONG, false>(stream, g, pairs, x, ldx)));
    return ffl_experts_run(s->experts, exec, &pairs, x, ldx, y, ldy, tokens);
}

FFL_VARIANTS(fff_leaf_grouped_cuda) = {
    {.name = "fff_leaf_grouped_cuda",
     .summary = "a warp per token descends, then tiles of the tokens of each leaf",
     .source = "this lab",
     .operation = FFL_FFF_LEAF,
     .place = FFL_CUDA,
     .family = FFL_SIMD,
     .contract = FFL_CONTRACT_F32_ROWS,
     .supports = ffl_experts_on_device,
     .prepare = prepare,
     .run = run,
     .release = release},
    {},
};
