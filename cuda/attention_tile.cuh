/*
 * What both forms of attention on the device share: which rows a block reads, and the mask of a tile of keys.
 * A block takes 64 queries of one head and runs along the keys, 64 at a time. With s = scale · q·k + mask in
 * units of log 2, m the largest s so far and l, o the sums so far,
 *
 *     m' = max(m, s),   l' = l · 2^(m - m') + Σ 2^(s - m'),   o' = o · 2^(m - m') + Σ 2^(s - m') · v
 *
 * and out = o / l in the end: the softmax, exactly, without a row of scores ever being there.
 */
#ifndef FFL_CUDA_ATTENTION_TILE_CUH
#define FFL_CUDA_ATTENTION_TILE_CUH

#include "cuda/async.cuh"
#include "cuda/device_encoder.h"
#include "cuda/rows.cuh"

/* Of one sequence and head; `element` is the storage type's. */
template <typename element>
struct ffl_attention_head {
    const element *q, *k, *v; /* of the first token */
    element *out;
    const float *mask; /* of the first token, or NULL */
    size_t ldq, ldo;   /* elements from one token to the next */
    unsigned sequence, width;
    float scale; /* · log2 e */
};

struct ffl_attention_args {
    const void *qkv;
    const float *mask;
    void *out;
    unsigned batch, sequence, heads, head_width;
    float scale;
};

static constexpr float FFL_LOG2_E = 1.44269504088896340736f;

template <typename element>
__device__ static inline ffl_attention_head<element> ffl_attention_head_of(const ffl_attention_args &a,
                                                                           unsigned sequence, unsigned head)
{
    const size_t width = (size_t)a.heads * a.head_width, first = (size_t)sequence * a.sequence;
    const element *qkv = (const element *)a.qkv + first * 3 * width + (size_t)head * a.head_width;
    return {qkv,
            qkv + width,
            qkv + 2 * width,
            (element *)a.out + first * width + (size_t)head * a.head_width,
            a.mask ? a.mask + first : nullptr,
            3 * width,
            width,
            a.sequence,
            a.head_width,
            a.scale * FFL_LOG2_E};
}

/*
 * Rows first … first + 63 of q, k or v into shared rows PITCH elements apart, COLUMNS of them: zeros past the
 * sequence and past the head's width. By all THREADS; to be committed and waited for.
 */
template <int COLUMNS, int PITCH, int THREADS, typename element>
__device__ static inline void ffl_attention_load(element *shared, const element *from, size_t ld,
                                                 const ffl_attention_head<element> &h, unsigned first)
{
    constexpr int CHUNK = 16 / (int)sizeof(element), CHUNKS = COLUMNS / CHUNK;
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < FFL_ATTENTION_TILE * CHUNKS; i += THREADS) {
        const unsigned row = i / CHUNKS, column = i % CHUNKS * CHUNK;
        const bool there = first + row < h.sequence && column < h.width;
        ffl_copy_async_or_zero(shared + row * PITCH + column,
                               from + (there ? (size_t)(first + row) * ld + column : 0), there);
    }
}

/* What is added to the scores of 64 keys from `first` on: -infinity past the sequence. */
template <typename element>
__device__ static inline void ffl_attention_load_mask(float *shared, const ffl_attention_head<element> &h,
                                                      unsigned first)
{
    if (threadIdx.x < FFL_ATTENTION_TILE) {
        const unsigned key = first + threadIdx.x;
        shared[threadIdx.x] = key >= h.sequence ? -INFINITY : h.mask ? h.mask[key] * FFL_LOG2_E : 0.0f;
    }
}

#endif
