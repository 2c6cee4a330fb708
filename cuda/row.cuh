/*
 * What one warp does with a row of weights (packed.cuh; T is float or uint16_t, bfloat16 bits): fetch it 16
 * bytes a lane, multiply it with x in registers, sum over the lanes. Lane i owns chunks i, i + 32, … of 16
 * bytes; CHUNKS is how many at most, a compile-time number so that they stay in registers. FULL: each lane
 * owns all of them. Every sum here runs in the same order whatever the batch, the place in it and the kernel.
 */
#ifndef FFL_CUDA_ROW_CUH
#define FFL_CUDA_ROW_CUH

#include "cuda/activation.h"
#include "cuda/bf16.cuh"
#include "cuda/packed.cuh"

static constexpr unsigned FFL_WHOLE_WARP = 0xffffffffu;

template <typename T>
static constexpr unsigned ffl_per_chunk = 16 / sizeof(T);

/* A layer as kernels take it. Rows are counted in 32 bits. */
template <typename T>
struct ffl_tree {
    const T *w_in, *w_out;
    const float *b_in;
    size_t stride_in, stride_out;
    unsigned width_in, width_out;
    unsigned trees, levels, nodes;
    ffl_activation activation;
};

template <typename T>
static ffl_tree<T> ffl_tree_of(const ffl_layer *l, const ffl_packed *packed)
{
    ffl_tree<T> t = {};
    t.w_in = (const T *)packed->w_in;
    t.w_out = (const T *)packed->w_out;
    t.b_in = l->b_in;
    t.stride_in = packed->stride_in;
    t.stride_out = packed->stride_out;
    t.width_in = (unsigned)l->width_in;
    t.width_out = (unsigned)l->width_out;
    t.trees = (unsigned)l->trees;
    t.levels = (unsigned)l->levels;
    t.nodes = (unsigned)l->nodes;
    t.activation = l->activation;
    return t;
}

/* bf16 weights, x and y; products and sums in f32; each row alone, in one order. */
#define FFL_CONTRACT_BF16_WALK                                                                               \
    {                                                                                                        \
        .input = FFL_BF16, .weights = FFL_BF16, .hidden = FFL_F32, .accumulator = FFL_F32,                   \
        .output = FFL_BF16, .storage = FFL_BF16, .reassociates = true, .activation_error = 4 * FFL_UNIT_F32, \
        .alignment = 4, .invariances = FFL_SAME_ALL                                                          \
    }

/* What these kernels decline. */
static inline bool ffl_tree_supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    (void)tokens;
    if (shape->neurons <= UINT32_MAX && shape->width_in <= 1u << 30 && shape->width_out <= 1u << 30)
        return true;
    *why = "rows are counted in 32 bits here";
    return false;
}

/* ---- Elements ---- */

__device__ static inline float ffl_widen(float value)
{
    return value;
}

__device__ static inline float ffl_widen(uint16_t value)
{
    return ffl_bf16_to_float(value);
}

__device__ static inline void ffl_narrow(float value, float *to)
{
    *to = value;
}

__device__ static inline void ffl_narrow(float value, uint16_t *to)
{
    *to = ffl_bf16_from_float(value);
}

__device__ static inline void ffl_chunk_widen(const uint4 &chunk, float (&out)[4])
{
    out[0] = __uint_as_float(chunk.x);
    out[1] = __uint_as_float(chunk.y);
    out[2] = __uint_as_float(chunk.z);
    out[3] = __uint_as_float(chunk.w);
}

__device__ static inline void ffl_chunk_widen(const uint4 &chunk, float (&out)[8])
{
    const uint32_t words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
    for (unsigned i = 0; i < 4; i++) {
        out[2 * i] = ffl_bf16_low(words[i]);
        out[2 * i + 1] = ffl_bf16_high(words[i]);
    }
}

__device__ static inline uint4 ffl_chunk_narrow(const float (&in)[4])
{
    return make_uint4(__float_as_uint(in[0]), __float_as_uint(in[1]), __float_as_uint(in[2]),
                      __float_as_uint(in[3]));
}

__device__ static inline uint4 ffl_chunk_narrow(const float (&in)[8])
{
    return make_uint4(ffl_bf16_pair(in[0], in[1]), ffl_bf16_pair(in[2], in[3]), ffl_bf16_pair(in[4], in[5]),
                      ffl_bf16_pair(in[6], in[7]));
}

/* ---- Loads and stores ---- */

/*
 * The upper rows of a tree are every token's: they should stay in L1, and the rows that few tokens share
 * should not drive them out.
 */
__device__ static inline uint4 ffl_load(const void *at, bool keep)
{
#ifdef FFL_CUDA_EMULATED
    (void)keep;
    if ((uintptr_t)at % 16)
        abort();
    return *(const uint4 *)at;
#else
    uint4 v;
    if (keep)
        asm volatile("ld.global.nc.L1::evict_last.v4.u32 {%0,%1,%2,%3}, [%4];"
                     : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                     : "l"(at));
    else
        asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                     : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                     : "l"(at));
    return v;
#endif
}

/* The lane's chunks of a row of `stride` elements; zeros where it owns none. */
template <typename T, unsigned CHUNKS, bool FULL>
__device__ static inline void ffl_row_load(const T *row, size_t stride, bool keep, uint4 (&out)[CHUNKS])
{
    const unsigned lane = threadIdx.x % 32, chunks = (unsigned)stride / ffl_per_chunk<T>;
    if (keep) {
#pragma unroll
        for (unsigned c = 0; c < CHUNKS; c++)
            if (FULL || c * 32 + lane < chunks)
                out[c] = ffl_load(row + (c * 32 + lane) * ffl_per_chunk<T>, true);
            else
                out[c] = make_uint4(0, 0, 0, 0);
    } else {
#pragma unroll
        for (unsigned c = 0; c < CHUNKS; c++)
            if (FULL || c * 32 + lane < chunks)
                out[c] = ffl_load(row + (c * 32 + lane) * ffl_per_chunk<T>, false);
            else
                out[c] = make_uint4(0, 0, 0, 0);
    }
}

/* x as floats, zeros past its end. */
template <typename T, unsigned CHUNKS>
__device__ static inline void ffl_input_load(const T *x, unsigned width, bool aligned,
                                             float (&out)[CHUNKS][ffl_per_chunk<T>])
{
    constexpr unsigned PER = ffl_per_chunk<T>;
#pragma unroll
    for (unsigned c = 0; c < CHUNKS; c++) {
        const unsigned first = (c * 32 + threadIdx.x % 32) * PER;
        if (aligned && first + PER <= width)
            ffl_chunk_widen(*(const uint4 *)(x + first), out[c]);
        else
#pragma unroll
            for (unsigned i = 0; i < PER; i++)
                out[c][i] = first + i < width ? ffl_widen(x[first + i]) : 0.0f;
    }
}

template <typename T, unsigned CHUNKS>
__device__ static inline void ffl_output_store(const float (&out)[CHUNKS][ffl_per_chunk<T>], T *y,
                                               unsigned width, bool aligned)
{
    constexpr unsigned PER = ffl_per_chunk<T>;
#pragma unroll
    for (unsigned c = 0; c < CHUNKS; c++) {
        const unsigned first = (c * 32 + threadIdx.x % 32) * PER;
        if (aligned && first + PER <= width)
            *(uint4 *)(y + first) = ffl_chunk_narrow(out[c]);
        else
#pragma unroll
            for (unsigned i = 0; i < PER; i++)
                if (first + i < width)
                    ffl_narrow(out[c][i], &y[first + i]);
    }
}

/* ---- Sums ---- */

/* The sum over the lanes, the same bits in each of them. */
__device__ static inline float ffl_warp_sum(float value)
{
#pragma unroll
    for (int lane = 16; lane > 0; lane /= 2)
        value += __shfl_xor_sync(FFL_WHOLE_WARP, value, lane);
    return value;
}

/* Four running sums hide the latency of an addition. */
template <unsigned ELEMENTS>
__device__ static inline void ffl_chunk_dot(const uint4 &chunk, const float (&x)[ELEMENTS], float (&sums)[4])
{
    float w[ELEMENTS];
    ffl_chunk_widen(chunk, w);
#pragma unroll
    for (unsigned i = 0; i < ELEMENTS; i++)
        sums[i % 4] = __fmaf_rn(x[i], w[i], sums[i % 4]);
}

template <unsigned CHUNKS, unsigned ELEMENTS>
__device__ static inline float ffl_row_dot(const uint4 (&row)[CHUNKS], const float (&x)[CHUNKS][ELEMENTS])
{
    float sums[4] = {};
#pragma unroll
    for (unsigned c = 0; c < CHUNKS; c++)
        ffl_chunk_dot(row[c], x[c], sums);
    return ffl_warp_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

/* The same bits for rows of any length: x stays in memory, at any address of an element. */
template <typename T>
__device__ static inline float ffl_row_dot_long(const T *row, size_t stride, const T *x, unsigned width)
{
    const unsigned lane = threadIdx.x % 32, chunks = (unsigned)stride / ffl_per_chunk<T>;
    float sums[4] = {};
    for (unsigned c = lane; c < chunks; c += 32) {
        const unsigned first = c * ffl_per_chunk<T>;
        const uint4 chunk = ffl_load(row + first, false);
        float own[ffl_per_chunk<T>];
#pragma unroll
        for (unsigned i = 0; i < ffl_per_chunk<T>; i++)
            own[i] = first + i < width ? ffl_widen(x[first + i]) : 0.0f;
        ffl_chunk_dot(chunk, own, sums);
    }
    return ffl_warp_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

#endif
