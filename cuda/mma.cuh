/*
 * Matrix instructions of one warp, PTX mma.sync: d += a·b with d [16][8] f32.
 *
 *     bf16: a [16][16], b [16][8]         tf32: a [16][8], b [8][8] (floats; the low 13 bits are ignored)
 *
 * Who holds what, with g = lane / 4 and q = lane % 4:
 *
 *     d[0], d[1]  row g,     columns 2q, 2q+1        d[2], d[3]  row g + 8, columns 2q, 2q+1
 *     bf16, pairs of neighbouring k, the lower k in the lower half of the word:
 *     a[0] row g, k 2q…   a[1] row g + 8, k 2q…   a[2] row g, k 2q+8…   a[3] row g + 8, k 2q+8…
 *     b[0] k 2q… , column g                       b[1] k 2q+8… , column g
 *     tf32: a[0] row g, k q    a[1] row g + 8, k q    a[2] row g, k q+4    a[3] row g + 8, k q+4
 *     b[0] k q, column g       b[1] k q+4, column g
 *
 * ffl_load_matrices: four 8x8 matrices of 16-bit values from shared memory. Lane i names row i % 8 of matrix
 * i / 8 (16 bytes, 16-byte aligned); out[m] is matrix m, row g, columns 2q and 2q+1; transposed: row 2q and
 * 2q+1, column g.
 */
#ifndef FFL_CUDA_MMA_CUH
#define FFL_CUDA_MMA_CUH

#include "cuda/launch.cuh"
#include <stdint.h>

/* bf16 rows, weights and hidden values, sums in f32: the contract (kernels/variant.h) of kernels made of
 * these. */
#define FFL_CONTRACT_BF16_TENSOR(activation_error_, invariances_)                                            \
    {                                                                                                        \
        .input = FFL_BF16, .weights = FFL_BF16, .hidden = FFL_BF16, .accumulator = FFL_F32,                  \
        .output = FFL_BF16, .storage = FFL_BF16, .reassociates = true,                                       \
        .activation_error = activation_error_, .alignment = 2, .invariances = invariances_                   \
    }

#ifdef FFL_CUDA_EMULATED

__device__ static inline void ffl_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    ffl_emulated_mma_bf16(d, a, b);
}

__device__ static inline void ffl_mma_tf32(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    ffl_emulated_mma_tf32(d, a, b);
}

__device__ static inline void ffl_load_matrices(uint32_t out[4], const void *row)
{
    ffl_emulated_load_matrices(out, row, false);
}

__device__ static inline void ffl_load_matrices_transposed(uint32_t out[4], const void *row)
{
    ffl_emulated_load_matrices(out, row, true);
}

#else

__device__ static inline void ffl_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ static inline void ffl_mma_tf32(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ static inline void ffl_load_matrices(uint32_t out[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"((unsigned)__cvta_generic_to_shared(row))
                 : "memory");
}

__device__ static inline void ffl_load_matrices_transposed(uint32_t out[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"((unsigned)__cvta_generic_to_shared(row))
                 : "memory");
}

#endif
#endif
