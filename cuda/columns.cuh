/*
 * Output columns of one token, a thread per UNITS pairs of them: the pairs begin at `column` (even) and lie
 * `apart` elements from each other. Lanes of a warp own neighbouring pairs. Rows are added in the order of
 * their list, products and sums in f32.
 */
#ifndef FFL_CUDA_COLUMNS_CUH
#define FFL_CUDA_COLUMNS_CUH

#include "cuda/row.cuh"

__device__ static inline float2 ffl_pair(const float *at)
{
    return *(const float2 *)at;
}

__device__ static inline float2 ffl_pair(const uint16_t *at)
{
    const uint32_t pair = *(const uint32_t *)at;
    return make_float2(ffl_bf16_low(pair), ffl_bf16_high(pair));
}

/* out += Σ act(logits[i])·w_out[rows[i]], i < count; both lists in shared memory; all lanes call it.
 * ROWS are on their way at once. */
template <unsigned ROWS, typename T, unsigned UNITS>
__device__ static inline void ffl_columns_add(const ffl_tree<T> &l, const unsigned *rows, const float *logits,
                                              unsigned count, unsigned column, unsigned apart,
                                              float2 (&out)[UNITS])
{
    const unsigned lane = threadIdx.x % 32;
    if (column - 2 * lane >= l.width_out)
        return; /* none of this warp's */
    for (unsigned base = 0; base < count; base += 32) {
        const unsigned here = count - base < 32 ? count - base : 32;
        const unsigned own_row = lane < here ? rows[base + lane] : 0;
        const float own = lane < here ? ffl_activate_device(l.activation, logits[base + lane]) : 0.0f;
#pragma unroll(ROWS)
        for (unsigned i = 0; i < here; i++) {
            const unsigned row = __shfl_sync(FFL_WHOLE_WARP, own_row, (int)i);
            const float hidden = __shfl_sync(FFL_WHOLE_WARP, own, (int)i);
            const T *from = l.w_out + row * l.stride_out + column;
#pragma unroll
            for (unsigned u = 0; u < UNITS; u++)
                if (column + u * apart < l.width_out) {
                    const float2 w = ffl_pair(from + u * apart);
                    out[u].x = __fmaf_rn(hidden, w.x, out[u].x);
                    out[u].y = __fmaf_rn(hidden, w.y, out[u].y);
                }
        }
    }
}

template <typename T, unsigned UNITS>
__device__ static inline void ffl_columns_store(const float2 (&out)[UNITS], T *y, unsigned width,
                                                unsigned column, unsigned apart)
{
#pragma unroll
    for (unsigned u = 0; u < UNITS; u++) {
        const unsigned j = column + u * apart;
        if (j < width)
            ffl_narrow(out[u].x, &y[j]);
        if (j + 1 < width)
            ffl_narrow(out[u].y, &y[j + 1]);
    }
}

#endif
