/*
 * A tile of 128 rows of a times 128 columns of b by a block of 256 threads, 8x8 sums per thread, k in steps
 * of 16 through two buffers of shared memory; what the next step needs is on its way in registers meanwhile.
 * Each step of k is 4 16-byte reads of shared memory for 64 multiply-adds, so arithmetic binds. A sum runs
 * over k in ascending order in one accumulator: its bits depend on neither tile nor neighbours.
 */
#ifndef FFL_CUDA_REGISTER_TILE_CUH
#define FFL_CUDA_REGISTER_TILE_CUH

#include "cuda/launch.cuh"

static constexpr unsigned FFL_REGISTER_TILE = 128, FFL_REGISTER_STEP = 16, FFL_REGISTER_THREADS = 256;
static constexpr unsigned FFL_REGISTER_PITCH = FFL_REGISTER_TILE + 4, FFL_REGISTER_PART = 8;

/* What a tile multiplies. Rows of a are this thread's: threadIdx.x / 4 and 64 more; NULL: zeros. */
struct ffl_register_operands {
    const float *a[2];
    const float *b; /* [columns][ldb] where TRANSPOSED, else [depth][ldb]; `column` is the tile's first */
    size_t ldb, column, columns, depth;
    size_t readable; /* of a row of a: depth, or more when zeros follow */
};

typedef float ffl_register_buffer[2][FFL_REGISTER_STEP][FFL_REGISTER_PITCH];

/* Eight elements of a tile on their way to shared memory: two quads of one line of the source. */
struct ffl_register_quads {
    float v[FFL_REGISTER_PART];
};

/* Four elements at place … of a line of `length`; zeros outside. WIDE: all quads are whole. */
template <bool WIDE>
__device__ static inline void ffl_register_load_quad(const float *line, bool there, size_t place,
                                                     size_t length, float *v)
{
    if constexpr (WIDE) {
        const float4 q =
            there && place < length ? *(const float4 *)(line + place) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        v[0] = q.x, v[1] = q.y, v[2] = q.z, v[3] = q.w;
    } else {
        for (unsigned i = 0; i < 4; i++)
            v[i] = there && place + i < length ? line[place + i] : 0.0f;
    }
}

/* Lines of k: thread t takes places 4·(t % 4) … of lines t / 4 and t / 4 + 64, and turns them in shared
 * memory. */
template <bool WIDE>
__device__ static inline ffl_register_quads ffl_register_load_rows(const float *const (&rows)[2], size_t k,
                                                                   size_t depth)
{
    ffl_register_quads q;
    for (unsigned half = 0; half < 2; half++)
        ffl_register_load_quad<WIDE>(rows[half], rows[half], k + threadIdx.x % 4 * 4, depth, q.v + 4 * half);
    return q;
}

template <bool WIDE>
__device__ static inline ffl_register_quads ffl_register_load_lines(const ffl_register_operands &o, size_t k)
{
    ffl_register_quads q;
    for (unsigned half = 0; half < 2; half++) {
        const size_t line = o.column + threadIdx.x / 4 + 64 * half;
        ffl_register_load_quad<WIDE>(o.b + line * o.ldb, line < o.columns, k + threadIdx.x % 4 * 4, o.depth,
                                     q.v + 4 * half);
    }
    return q;
}

__device__ static inline void ffl_register_store_lines(float (*to)[FFL_REGISTER_PITCH],
                                                       const ffl_register_quads &q)
{
    for (unsigned i = 0; i < FFL_REGISTER_PART; i++)
        to[threadIdx.x % 4 * 4 + i % 4][threadIdx.x / 4 + i / 4 * 64] = q.v[i];
}

/* Lines of columns: thread t takes places 4·(t % 32) … of lines t / 32 and t / 32 + 8. */
template <bool WIDE>
__device__ static inline ffl_register_quads ffl_register_load_columns(const ffl_register_operands &o,
                                                                      size_t k)
{
    ffl_register_quads q;
    for (unsigned half = 0; half < 2; half++) {
        const size_t line = k + threadIdx.x / 32 + 8 * half;
        ffl_register_load_quad<WIDE>(o.b + line * o.ldb, line < o.depth, o.column + threadIdx.x % 32 * 4,
                                     o.columns, q.v + 4 * half);
    }
    return q;
}

__device__ static inline void ffl_register_store_columns(float (*to)[FFL_REGISTER_PITCH],
                                                         const ffl_register_quads &q)
{
    for (unsigned half = 0; half < 2; half++)
        *(float4 *)&to[threadIdx.x / 32 + 8 * half][threadIdx.x % 32 * 4] =
            make_float4(q.v[4 * half], q.v[4 * half + 1], q.v[4 * half + 2], q.v[4 * half + 3]);
}

template <bool TRANSPOSED, bool WIDE>
__device__ static inline ffl_register_quads ffl_register_load_b(const ffl_register_operands &o, size_t k)
{
    return TRANSPOSED ? ffl_register_load_lines<WIDE>(o, k) : ffl_register_load_columns<WIDE>(o, k);
}

template <bool TRANSPOSED>
__device__ static inline void ffl_register_store_b(float (*to)[FFL_REGISTER_PITCH],
                                                   const ffl_register_quads &q)
{
    if (TRANSPOSED)
        ffl_register_store_lines(to, q);
    else
        ffl_register_store_columns(to, q);
}

/* Thread (i, j) of 16x16 owns rows 4i … 4i+3 and 64+4i …, columns likewise: reads of a warp meet no bank
 * twice. */
__device__ static inline void ffl_register_load_part(const float *line, unsigned i,
                                                     float part[FFL_REGISTER_PART])
{
    const float4 low = *(const float4 *)(line + 4 * i), high = *(const float4 *)(line + 64 + 4 * i);
    part[0] = low.x, part[1] = low.y, part[2] = low.z, part[3] = low.w;
    part[4] = high.x, part[5] = high.y, part[6] = high.z, part[7] = high.w;
}

/* Row of a thread's sum[k] in the tile, i = threadIdx.x / 16; its column, i = threadIdx.x % 16. */
__device__ static inline unsigned ffl_register_place(unsigned i, unsigned k)
{
    return 4 * i + k % 4 + k / 4 * 64;
}

__device__ static inline void ffl_register_multiply(const float (*a)[FFL_REGISTER_PITCH],
                                                    const float (*b)[FFL_REGISTER_PITCH],
                                                    float sum[FFL_REGISTER_PART][FFL_REGISTER_PART])
{
#pragma unroll
    for (unsigned k = 0; k < FFL_REGISTER_STEP; k++) {
        float left[FFL_REGISTER_PART], right[FFL_REGISTER_PART];
        ffl_register_load_part(a[k], threadIdx.x / 16, left);
        ffl_register_load_part(b[k], threadIdx.x % 16, right);
#pragma unroll
        for (unsigned i = 0; i < FFL_REGISTER_PART; i++)
#pragma unroll
            for (unsigned j = 0; j < FFL_REGISTER_PART; j++)
                sum[i][j] = ffl_multiply_add(left[i], right[j], sum[i][j]);
    }
}

/* sum, of zeros, gets the products. a and b are free again when this returns, and all threads have come so
 * far.
 */
template <bool TRANSPOSED, bool WIDE>
__device__ static inline void ffl_register_product(const ffl_register_operands &o, ffl_register_buffer &a,
                                                   ffl_register_buffer &b,
                                                   float sum[FFL_REGISTER_PART][FFL_REGISTER_PART])
{
    ffl_register_store_lines(a[0], ffl_register_load_rows<WIDE>(o.a, 0, o.readable));
    ffl_register_store_b<TRANSPOSED>(b[0], ffl_register_load_b<TRANSPOSED, WIDE>(o, 0));
    __syncthreads();
    for (size_t k = 0, turn = 0; k < o.depth; k += FFL_REGISTER_STEP, turn ^= 1) {
        const bool more = k + FFL_REGISTER_STEP < o.depth;
        ffl_register_quads next_a = {}, next_b = {};
        if (more) {
            next_a = ffl_register_load_rows<WIDE>(o.a, k + FFL_REGISTER_STEP, o.readable);
            next_b = ffl_register_load_b<TRANSPOSED, WIDE>(o, k + FFL_REGISTER_STEP);
        }
        ffl_register_multiply(a[turn], b[turn], sum);
        if (more) {
            ffl_register_store_lines(a[turn ^ 1], next_a);
            ffl_register_store_b<TRANSPOSED>(b[turn ^ 1], next_b);
        }
        __syncthreads();
    }
}

#endif
