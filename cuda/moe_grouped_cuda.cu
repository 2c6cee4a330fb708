/*
 * A mixture of experts: the gates of all tokens as one tiled product, a warp per token to choose among them,
 * then the tokens of each expert in tiles (experts.cuh). With many narrow experts the gates are nearly all of
 * the work: 512 rows of them for 8 of an expert.
 */
#include "cuda/experts.cuh"
#include "cuda/grouped_product.cuh"
#include "kernels/memory.h"
#include <math.h>

static constexpr unsigned THREADS = 256, WARPS = THREADS / 32, WHOLE_WARP = 0xffffffffu;

/* Gates in scratch at once: 64 MB, unless 32 tokens have more. */
static constexpr size_t GATES_MAX = (size_t)1 << 24;

/* ---- Choice ---- */

/* Gates as integers in the order of floats: +0 and -0 are equal, NaN below all, 0 below NaN: no gate. */
__device__ static inline unsigned key_of(float z)
{
    const unsigned bits = __float_as_uint(z + 0.0f);
    if (z != z)
        return 1;
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

struct candidate {
    unsigned key, expert;
};

/* The first of this lane's experts behind `last`: keys descend, equal ones by ascending index. */
__device__ static candidate next_of_lane(const float *z, unsigned experts, candidate last)
{
    candidate best = {0, 0};
    for (unsigned e = threadIdx.x % 32; e < experts; e += 32) {
        const unsigned key = key_of(z[e]);
        const bool behind = key < last.key || (key == last.key && e > last.expert);
        if (behind && key > best.key)
            best = {key, e};
    }
    return best;
}

/* Softmax over the chosen gates; all lanes call it. */
__device__ static void set_shares(const float *z, const unsigned *expert, unsigned chosen, float *share)
{
    const unsigned lane = threadIdx.x % 32;
    const double top = (double)z[expert[0]];
    double sum = 0;
    for (unsigned c = lane; c < chosen; c += 32) {
        share[c] = (float)exp((double)z[expert[c]] - top);
        sum += (double)share[c];
    }
#pragma unroll
    for (int by = 16; by > 0; by /= 2)
        sum += __shfl_xor_sync(WHOLE_WARP, sum, by);
    for (unsigned c = lane; c < chosen; c += 32)
        share[c] = (float)((double)share[c] / sum);
}

/* A warp per token, from token `first` on; z [tokens][experts]. */
__global__ static void __launch_bounds__(THREADS)
    choose(ffl_expert_pairs pairs, const float *z, size_t first, size_t tokens)
{
    const size_t token = (size_t)blockIdx.x * WARPS + threadIdx.x / 32;
    const unsigned lane = threadIdx.x % 32;
    ffl_dependency_wait();
    ffl_dependents_launch();
    if (blockIdx.x == 0 && threadIdx.x == 0)
        ffl_expert_begin(pairs);
    if (token >= tokens)
        return;
    z += token * pairs.experts;
    const size_t pair = (first + token) * pairs.chosen;
    candidate own = next_of_lane(z, pairs.experts, {0xffffffffu, 0});
    for (unsigned c = 0; c < pairs.chosen; c++) {
        const unsigned key = __reduce_max_sync(WHOLE_WARP, own.key);
        const unsigned expert = ~__reduce_max_sync(WHOLE_WARP, own.key == key ? ~own.expert : 0);
        if (lane == 0)
            ffl_expert_take(pairs, pair + c, expert);
        if (own.key == key && own.expert == expert && c + 1 < pairs.chosen)
            own = next_of_lane(z, pairs.experts, own);
        __syncwarp();
    }
    if (pairs.share)
        set_shares(z, pairs.expert + pair, pairs.chosen, pairs.share + pair);
}

/* ---- The variant ---- */

struct state {
    ffl_experts *experts;
    size_t chunk; /* tokens whose gates are in scratch at once */
    unsigned multiprocessors;
};

static void release(ffl_plan *plan)
{
    state *s = (state *)plan->state;
    ffl_experts_free(s->experts);
    ffl_free(s);
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    const size_t fit = GATES_MAX / layer->experts, chunk = fit > 32 ? fit : 32;
    state *s = (state *)ffl_alloc(sizeof *s);
    if (!s)
        return FFL_NO_MEMORY;
    *s = {};
    plan->state = s;
    s->chunk = chunk < plan->max_tokens ? chunk : plan->max_tokens;
    const ffl_device_info *device = ffl_device_describe();
    s->multiprocessors = device ? (unsigned)device->multiprocessors : 1;
    const ffl_status status =
        ffl_experts_new(layer, s->chunk * layer->experts * sizeof(float), plan, &s->experts);
    if (status != FFL_OK)
        release(plan);
    return status;
}

static ffl_status choose_on(cudaStream_t stream, const ffl_layer *l, unsigned multiprocessors,
                            const ffl_expert_pairs &pairs, const float *x, size_t ldx, float *z, size_t first,
                            size_t tokens)
{
    ffl_grouped_product gates = {};
    gates.a = x + first * ldx;
    gates.lda = ldx;
    gates.b = l->w_gate;
    gates.ldb = l->width_in;
    gates.transposed = true;
    gates.bias = l->b_gate;
    gates.d = z;
    gates.ldd = l->experts;
    gates.columns = (unsigned)l->experts;
    gates.depth = (unsigned)l->width_in;
    const unsigned rows = ffl_grouped_fits_large(&gates)
                              ? ffl_grouped_tile_rows(tokens, 1, l->experts, multiprocessors)
                              : FFL_EXPERT_TILE;
    const ffl_expert_pairs all = ffl_expert_all_rows(tokens, rows);
    FFL_TRY(ffl_grouped_run(&gates, &all, multiprocessors, false, stream));
    FFL_LAUNCH_BEHIND(choose, (unsigned)((tokens + WARPS - 1) / WARPS), THREADS, 0, stream, pairs, z, first,
                      tokens);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const state *s = (const state *)plan->state;
    const cudaStream_t stream = ffl_cuda_stream(exec->stream);
    const ffl_expert_pairs pairs = ffl_experts_pairs(s->experts, exec, tokens);
    for (size_t first = 0; first < tokens; first += s->chunk) {
        const size_t count = tokens - first < s->chunk ? tokens - first : s->chunk;
        FFL_TRY(choose_on(stream, plan->layer, s->multiprocessors, pairs, x, ldx, (float *)exec->scratch,
                          first, count));
    }
    return ffl_experts_run(s->experts, exec, &pairs, x, ldx, y, ldy, tokens);
}

FFL_VARIANTS(moe_grouped_cuda) = {
    {.name = "moe_grouped_cuda",
     .summary = "gates as a tiled product, a warp per token chooses, then tiles of the tokens of each expert",
     .source = "this lab",
     .operation = FFL_MOE,
     .place = FFL_CUDA,
     .family = FFL_SIMD,
     .contract = FFL_CONTRACT_F32_ROWS,
     .supports = ffl_experts_on_device,
     .prepare = prepare,
     .run = run,
     .release = release},
    {},
};
