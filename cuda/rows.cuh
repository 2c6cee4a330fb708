/*
 * Elementwise passes over rows of any type, eight elements per thread: conversion with padding, and the
 * activation between two products. A block takes 128·8 columns of every gridDim.y-th row.
 */
#ifndef FFL_CUDA_ROWS_CUH
#define FFL_CUDA_ROWS_CUH

#include "cuda/bf16.cuh"
#include "cuda/f16.cuh"
#include "cuda/gelu_quick.h"

enum { FFL_ROWS_THREADS = 128, FFL_ROWS_LANES = 8, FFL_ROWS_COLUMNS = FFL_ROWS_THREADS * FFL_ROWS_LANES };

template <ffl_type TYPE>
__device__ static inline float ffl_element_load(const void *from, size_t i)
{
    if constexpr (TYPE == FFL_BF16)
        return ffl_bf16_to_float(((const uint16_t *)from)[i]);
    else if constexpr (TYPE == FFL_F16)
        return ffl_f16_to_float(((const uint16_t *)from)[i]);
    else
        return ((const float *)from)[i];
}

template <ffl_type TYPE>
__device__ static inline void ffl_element_store(void *to, size_t i, float value)
{
    if constexpr (TYPE == FFL_BF16)
        ((uint16_t *)to)[i] = ffl_bf16_from_float(value);
    else if constexpr (TYPE == FFL_F16)
        ((uint16_t *)to)[i] = ffl_f16_from_float(value);
    else
        ((float *)to)[i] = TYPE == FFL_TF32 ? ffl_tf32_round(value) : value;
}

template <ffl_type TYPE>
__device__ static inline uint32_t ffl_pair_pack(float first, float second)
{
    if constexpr (TYPE == FFL_BF16)
        return ffl_bf16_pair(first, second);
    else
        return ffl_f16_from_float(first) | (uint32_t)ffl_f16_from_float(second) << 16;
}

template <ffl_type TYPE>
__device__ static inline void ffl_pair_unpack(uint32_t pair, float *out)
{
    if constexpr (TYPE == FFL_BF16) {
        out[0] = ffl_bf16_low(pair);
        out[1] = ffl_bf16_high(pair);
    } else {
        out[0] = ffl_f16_to_float((uint16_t)pair);
        out[1] = ffl_f16_to_float((uint16_t)(pair >> 16));
    }
}

/* Eight elements from a 16-byte address on. */
template <ffl_type TYPE>
__device__ static inline void ffl_lanes_load(const void *from, size_t i, float v[FFL_ROWS_LANES])
{
    if constexpr (TYPE == FFL_BF16 || TYPE == FFL_F16) {
        const uint4 q = *(const uint4 *)((const uint16_t *)from + i);
        ffl_pair_unpack<TYPE>(q.x, v);
        ffl_pair_unpack<TYPE>(q.y, v + 2);
        ffl_pair_unpack<TYPE>(q.z, v + 4);
        ffl_pair_unpack<TYPE>(q.w, v + 6);
    } else {
        const float4 a = *(const float4 *)((const float *)from + i);
        const float4 b = *(const float4 *)((const float *)from + i + 4);
        v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
        v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
    }
}

template <ffl_type TYPE>
__device__ static inline void ffl_lanes_store(void *to, size_t i, const float v[FFL_ROWS_LANES])
{
    if constexpr (TYPE == FFL_BF16 || TYPE == FFL_F16) {
        *(uint4 *)((uint16_t *)to + i) =
            make_uint4(ffl_pair_pack<TYPE>(v[0], v[1]), ffl_pair_pack<TYPE>(v[2], v[3]),
                       ffl_pair_pack<TYPE>(v[4], v[5]), ffl_pair_pack<TYPE>(v[6], v[7]));
    } else {
        float r[FFL_ROWS_LANES];
        for (int k = 0; k < FFL_ROWS_LANES; k++)
            r[k] = TYPE == FFL_TF32 ? ffl_tf32_round(v[k]) : v[k];
        *(float4 *)((float *)to + i) = make_float4(r[0], r[1], r[2], r[3]);
        *(float4 *)((float *)to + i + 4) = make_float4(r[4], r[5], r[6], r[7]);
    }
}

/*
 * to [rows_to][width_to] = from [rows_from][width_from], zeros where from has nothing; rows ld_from and ld_to
 * apart.
 */
template <ffl_type FROM, ffl_type TO>
__global__ static void __launch_bounds__(FFL_ROWS_THREADS)
    ffl_rows_convert(const void *from, size_t ld_from, size_t rows_from, size_t width_from, void *to,
                     size_t ld_to, size_t rows_to, size_t width_to)
{
    for (size_t row = blockIdx.y; row < rows_to; row += gridDim.y)
        for (size_t k = 0; k < FFL_ROWS_LANES; k++) {
            const size_t column = blockIdx.x * FFL_ROWS_COLUMNS + k * FFL_ROWS_THREADS + threadIdx.x;
            if (column < width_to)
                ffl_element_store<TO>(to, row * ld_to + column,
                                      row < rows_from && column < width_from
                                          ? ffl_element_load<FROM>(from, row * ld_from + column)
                                          : 0.0f);
        }
}

/* The same where all rows start at multiples of 16 bytes and have whole eights of columns: for x of tf32. */
template <ffl_type FROM, ffl_type TO>
__global__ static void __launch_bounds__(FFL_ROWS_THREADS)
    ffl_rows_convert_lanes(const void *from, size_t ld_from, void *to, size_t ld_to, size_t rows,
                           size_t width)
{
    const size_t column = blockIdx.x * FFL_ROWS_COLUMNS + threadIdx.x * FFL_ROWS_LANES;
    if (column >= width)
        return;
    for (size_t row = blockIdx.y; row < rows; row += gridDim.y) {
        float v[FFL_ROWS_LANES];
        ffl_lanes_load<FROM>(from, row * ld_from + column, v);
        ffl_lanes_store<TO>(to, row * ld_to + column, v);
    }
}

/*
 * hidden [rows][neurons] = act(z + bias), z [rows][neurons]; neurons is a multiple of 8, bias [neurons] or
 * NULL. hidden may be z where both types have one size. The f32 class gets ffl_gelu_device, the others
 * ffl_gelu_quick.
 */
template <ffl_type LOGIT, ffl_type HIDDEN>
__global__ static void __launch_bounds__(FFL_ROWS_THREADS)
    ffl_rows_activate(ffl_activation activation, const void *z, const float *bias, void *hidden, size_t rows,
                      size_t neurons)
{
    const size_t column = blockIdx.x * FFL_ROWS_COLUMNS + threadIdx.x * FFL_ROWS_LANES;
    if (column >= neurons)
        return;
    float b[FFL_ROWS_LANES] = {};
    if (bias)
        ffl_lanes_load<FFL_F32>(bias, column, b);
    for (size_t row = blockIdx.y; row < rows; row += gridDim.y) {
        float v[FFL_ROWS_LANES];
        ffl_lanes_load<LOGIT>(z, row * neurons + column, v);
        for (int k = 0; k < FFL_ROWS_LANES; k++)
            v[k] = HIDDEN == FFL_F32 ? ffl_activate_device(activation, v[k] + b[k])
                                     : ffl_activate_quick(activation, v[k] + b[k]);
        ffl_lanes_store<HIDDEN>(hidden, row * neurons + column, v);
    }
}

static inline dim3 ffl_rows_grid(size_t rows, size_t columns)
{
    const size_t wide = (columns + FFL_ROWS_COLUMNS - 1) / FFL_ROWS_COLUMNS;
    /* Enough for sixteen blocks on each of a hundred and some multiprocessors; the rest are loops. */
    const size_t high = 2112 / wide ? 2112 / wide : 1;
    return dim3((unsigned)wide, (unsigned)(rows < high ? rows : high));
}

#endif
