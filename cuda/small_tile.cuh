/*
 * A tile of up to 32 rows of a times up to 32 columns of b by a block of 128 threads, for products of which a
 * layer has many and each has few rows. Slices of 32 k come through a ring of shared memory, three of them on
 * their way: with so little arithmetic to a slice, latency binds. A sum runs over k in ascending order in one
 * accumulator, as in register_tile.cuh: its bits depend on neither tile nor neighbours.
 */
#ifndef FFL_CUDA_SMALL_TILE_CUH
#define FFL_CUDA_SMALL_TILE_CUH

#include "cuda/async.cuh"

static constexpr unsigned FFL_SMALL_ROWS = 32, FFL_SMALL_THREADS = 128;
static constexpr unsigned FFL_SMALL_STEP = 32, FFL_SMALL_PITCH = FFL_SMALL_STEP + 4, FFL_SMALL_STAGES = 4;

/* Eight threads share a row, and each owns COLUMNS columns of it: 8·COLUMNS of a tile. */
template <unsigned COLUMNS>
static constexpr unsigned ffl_small_stage = (FFL_SMALL_ROWS + 8 * COLUMNS) * FFL_SMALL_PITCH;
template <unsigned COLUMNS>
static constexpr size_t ffl_small_shared = FFL_SMALL_STAGES *ffl_small_stage<COLUMNS> * sizeof(float);

/* wide: lines begin at multiples of 16 bytes. */
struct ffl_small_operands {
    const float *a[2]; /* this thread's: rows threadIdx.x / 8 and 16 more; NULL past the last */
    const float *b;    /* of the tile; [columns][depth], TRANSPOSED, or [depth][columns] */
    size_t ldb;
    unsigned rows, columns, depth;
    bool wide_a, wide_b;
};

/* Four elements at `from`, `left` of them there, zeros after those. */
__device__ static inline void ffl_small_copy(float *to, const float *from, unsigned left, bool wide)
{
    if (left == 0)
        *(float4 *)to = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    else if (wide)
        ffl_copy_async_part(to, from, left < 4 ? 4 * left : 16);
    else
#pragma unroll
        for (unsigned i = 0; i < 4; i++)
            ffl_copy_async_word(to + i, i < left ? from + i : from, i < left);
}

template <bool TRANSPOSED, unsigned COLUMNS>
__device__ static inline void ffl_small_fetch(const ffl_small_operands &o, unsigned k, float *stage)
{
    const unsigned line = threadIdx.x / 8, quad = threadIdx.x % 8 * 4;
#pragma unroll
    for (unsigned half = 0; half < 2; half++) {
        const float *row = o.a[half];
        const unsigned left = row && k + quad < o.depth ? o.depth - k - quad : 0;
        ffl_small_copy(stage + (line + 16 * half) * FFL_SMALL_PITCH + quad, row + k + quad, left, o.wide_a);
    }
    const unsigned lines = TRANSPOSED ? 8 * COLUMNS : FFL_SMALL_STEP;
    for (unsigned l = line; l < lines; l += 16) {
        const unsigned first = TRANSPOSED ? k + quad : quad, end = TRANSPOSED ? o.depth : o.columns;
        const size_t source = TRANSPOSED ? l : (size_t)k + l;
        const bool there = source < (TRANSPOSED ? o.columns : o.depth) && first < end;
        ffl_small_copy(stage + (FFL_SMALL_ROWS + l) * FFL_SMALL_PITCH + quad, o.b + source * o.ldb + first,
                       there ? end - first : 0, o.wide_b);
    }
}

__device__ static inline void ffl_small_quad(const float *from, float (&to)[4])
{
    const float4 q = *(const float4 *)from;
    to[0] = q.x, to[1] = q.y, to[2] = q.z, to[3] = q.w;
}

/* Column j of a thread. Lanes meet no bank twice, neither along k nor along the columns. */
template <bool TRANSPOSED, unsigned COLUMNS>
__device__ static inline unsigned ffl_small_column(unsigned j)
{
    return TRANSPOSED ? threadIdx.x % 8 + 8 * j : threadIdx.x % 8 * COLUMNS + j;
}

template <bool TRANSPOSED, unsigned COLUMNS>
__device__ static inline void ffl_small_multiply(const float *stage, float (&sum)[2][COLUMNS])
{
    const float *const row = stage + threadIdx.x / 8 * FFL_SMALL_PITCH;
    const float *const columns = stage + FFL_SMALL_ROWS * FFL_SMALL_PITCH;
#pragma unroll
    for (unsigned k = 0; k < FFL_SMALL_STEP; k += 4) {
        float a[2][4], b[COLUMNS][4]; /* b: by column along k, or by k along the columns */
        ffl_small_quad(row + k, a[0]);
        ffl_small_quad(row + 16 * FFL_SMALL_PITCH + k, a[1]);
#pragma unroll
        for (unsigned j = 0; j < COLUMNS; j++)
            ffl_small_quad(TRANSPOSED ? columns + (threadIdx.x % 8 + 8 * j) * FFL_SMALL_PITCH + k
                                      : columns + (k + j) * FFL_SMALL_PITCH + threadIdx.x % 8 * 4,
                           b[j]);
#pragma unroll
        for (unsigned i = 0; i < 4; i++)
#pragma unroll
            for (unsigned j = 0; j < COLUMNS; j++) {
                const float w = TRANSPOSED ? b[j][i] : b[i % COLUMNS][j];
                sum[0][j] = ffl_multiply_add(a[0][i], w, sum[0][j]);
                sum[1][j] = ffl_multiply_add(a[1][i], w, sum[1][j]);
            }
    }
}

/*
 * sum[r][j] = row threadIdx.x / 8 + 16·r of a times column ffl_small_column(j) of b. ring: ffl_small_shared
 * bytes, free again when this returns, and all threads have come so far.
 */
template <bool TRANSPOSED, unsigned COLUMNS>
__device__ static inline void ffl_small_product(const ffl_small_operands &o, float *ring,
                                                float (&sum)[2][COLUMNS])
{
    static_assert(TRANSPOSED || COLUMNS == 4, "four columns are a quad");
    constexpr unsigned AHEAD = FFL_SMALL_STAGES - 1;
    const unsigned slices = (o.depth + FFL_SMALL_STEP - 1) / FFL_SMALL_STEP;
    const bool idle = threadIdx.x / 32 * 4 >= o.rows; /* a warp without a row */
#pragma unroll
    for (unsigned r = 0; r < 2; r++)
#pragma unroll
        for (unsigned j = 0; j < COLUMNS; j++)
            sum[r][j] = 0.0f;
    for (unsigned s = 0; s < AHEAD; s++) {
        if (s < slices)
            ffl_small_fetch<TRANSPOSED, COLUMNS>(o, s * FFL_SMALL_STEP, ring + s * ffl_small_stage<COLUMNS>);
        ffl_copy_commit();
    }
    for (unsigned s = 0; s < slices; s++) {
        ffl_copy_wait<AHEAD - 1>();
        __syncthreads(); /* slice s has landed, and everyone is through with slice s - 1 */
        if (s + AHEAD < slices)
            ffl_small_fetch<TRANSPOSED, COLUMNS>(o, (s + AHEAD) * FFL_SMALL_STEP,
                                                 ring + (s + AHEAD) % FFL_SMALL_STAGES *
                                                            ffl_small_stage<COLUMNS>);
        ffl_copy_commit();
        if (!idle)
            ffl_small_multiply<TRANSPOSED, COLUMNS>(ring + s % FFL_SMALL_STAGES * ffl_small_stage<COLUMNS>,
                                                    sum);
    }
    ffl_copy_wait<0>();
    __syncthreads();
}

#endif
