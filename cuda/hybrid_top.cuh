/*
 * The upper levels of a tree for all tokens: one dense product with all their nodes, and each token's way
 * through its logits. A block takes TOKENS tokens and all COLUMNS nodes, so x is read once.
 *
 * Out: the activations on the path, and each token on the list of the subtree it goes to. A block reserves
 * its part of a list with one atomic addition per bucket, so the order of a list depends on which block came
 * first; a row's result does not depend on where it stands.
 */
#ifndef FFL_CUDA_HYBRID_TOP_CUH
#define FFL_CUDA_HYBRID_TOP_CUH

#include "cuda/dense_tile.cuh"

template <int TOKENS, int COLUMNS>
struct ffl_top_tile : ffl_dense_tile<TOKENS, COLUMNS> {
    using dense = ffl_dense_tile<TOKENS, COLUMNS>;
    static constexpr int LISTING = TOKENS < 32 ? 32 : TOKENS; /* threads that list a token each */
    static constexpr int COUNTS = TOKENS * dense::STRIDE * 4; /* where the counts lie, behind the logits */
    static_assert(COUNTS + LISTING / 32 * 128 * 4 <= dense::SHARED && LISTING <= dense::THREADS);
};

/* The bucket of a row; its activations on the way go to `hidden`. */
__device__ static inline unsigned ffl_top_descend(const ffl_hybrid_args &a, const float *logits,
                                                  unsigned token)
{
    float g[8] = {};
    unsigned node = 0;
#pragma unroll
    for (int level = 0; level < FFL_HYBRID_TOP_MAX; level++)
        if (level < (int)a.cut.top) {
            const float z = logits[node] + a.b_in[node];
            if (a.nodes)
                ffl_hybrid_record(a, token, (unsigned)level, (int)node, z);
            g[level] = ffl_activate_device(a.activation, z);
            node = 2 * node + 1 + (z > 0.0f);
        }
    float4 *hidden = (float4 *)(a.hidden + (size_t)token * 8);
    hidden[0] = make_float4(g[0], g[1], g[2], g[3]);
    hidden[1] = make_float4(g[4], g[5], g[6], g[7]);
    return node - (a.cut.buckets - 1);
}

template <class F, int TOKENS, int COLUMNS>
__global__ static void __launch_bounds__((ffl_top_tile<TOKENS, COLUMNS>::THREADS), 1)
    ffl_hybrid_top(ffl_hybrid_args a)
{
    using T = ffl_top_tile<TOKENS, COLUMNS>;
    FFL_SHARED(unsigned char, shared);
    const unsigned first = blockIdx.x * TOKENS, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    ffl_dependents_launch();
    ffl_dense_products<F, T>(a, a.w_in, first, shared);
    const float *logits = (const float *)shared;
    unsigned *counts = (unsigned *)(shared + T::COUNTS); /* tokens of a warp and bucket */
    for (unsigned i = threadIdx.x; i < T::LISTING / 32 * 128; i += T::THREADS)
        counts[i] = 0;
    __syncthreads();
    const unsigned token = first + threadIdx.x, none = 1u << FFL_HYBRID_TOP_MAX;
    const bool lists = threadIdx.x < TOKENS && token < a.tokens;
    unsigned bucket = none, rank = 0;
    if (threadIdx.x < T::LISTING) {
        if (lists)
            bucket = ffl_top_descend(a, logits + threadIdx.x * T::STRIDE, token);
        __syncwarp();
        const unsigned same = __match_any_sync(0xffffffffu, bucket);
        rank = (unsigned)__popc(same & ((1u << lane) - 1));
        if (rank == 0 && lists)
            counts[warp * 128 + bucket] = (unsigned)__popc(same);
    }
    __syncthreads();
    for (unsigned b = threadIdx.x; b < a.cut.buckets; b += T::THREADS) {
        unsigned total = 0;
        for (unsigned w = 0; w < T::LISTING / 32; w++)
            total += counts[w * 128 + b];
        unsigned next = total ? atomicAdd(&a.totals[b], total) : 0;
        for (unsigned w = 0; w < T::LISTING / 32; w++) {
            const unsigned count = counts[w * 128 + b];
            counts[w * 128 + b] = next;
            next += count;
        }
    }
    __syncthreads();
    if (lists)
        a.list[(size_t)bucket * a.tokens + counts[warp * 128 + bucket] + rank] = token;
}

#endif
