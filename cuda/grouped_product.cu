/* grouped_product.cuh */
#include "cuda/activation.h"
#include "cuda/grouped_product.cuh"
#include "cuda/register_tile.cuh"
#include "cuda/small_tile.cuh"

static constexpr size_t BLOCKS_MAX = 1 << 20;
static_assert(FFL_EXPERT_TILE == FFL_SMALL_ROWS, "tiles of pairs are tiles of rows");

__device__ static inline float end_of(const ffl_grouped_product &p, unsigned expert, unsigned column,
                                      float sum)
{
    const float z = p.bias ? sum + p.bias[(size_t)expert * p.columns + column] : sum;
    return p.activate ? ffl_activate_device(p.activation, z) : z;
}

/* Elements from one expert's matrix to the next one's. */
__device__ static inline size_t apart(const ffl_grouped_product &p)
{
    return (p.transposed ? p.columns : p.depth) * p.ldb;
}

/* Tiles of 8·COLUMNS columns. */
template <bool TRANSPOSED, unsigned COLUMNS>
__global__ static void __launch_bounds__(FFL_SMALL_THREADS)
    small_tiles(ffl_grouped_product p, ffl_expert_pairs pairs, bool wide_a, bool wide_b)
{
    constexpr unsigned WIDTH = 8 * COLUMNS;
    FFL_SHARED(float, ring);
    ffl_dependency_wait();
    ffl_dependents_launch();
    const unsigned slices = (p.columns + WIDTH - 1) / WIDTH, row = threadIdx.x / 8;
    const size_t items = ffl_expert_tiles(pairs) * slices;
    for (size_t item = blockIdx.x; item < items; item += gridDim.x) {
        const ffl_expert_tile tile = ffl_expert_tile_at(pairs, item / slices);
        const unsigned column = (unsigned)(item % slices) * WIDTH;
        ffl_small_operands o = {};
        float sum[2][COLUMNS];
        for (unsigned r = 0; r < 2; r++)
            if (row + 16 * r < tile.rows)
                o.a[r] = p.a + ffl_expert_row(pairs, p.row_a, tile.first + row + 16 * r) * p.lda;
        o.b = p.b + tile.expert * apart(p) + (TRANSPOSED ? column * p.ldb : column);
        o.ldb = p.ldb;
        o.rows = tile.rows;
        o.columns = p.columns - column < WIDTH ? p.columns - column : WIDTH;
        o.depth = p.depth;
        o.wide_a = wide_a;
        o.wide_b = wide_b;
        ffl_small_product<TRANSPOSED>(o, ring, sum);
        for (unsigned r = 0; r < 2; r++) {
            if (row + 16 * r >= tile.rows)
                continue;
            float *d = p.d + ffl_expert_row(pairs, p.row_d, tile.first + row + 16 * r) * p.ldd;
#pragma unroll
            for (unsigned j = 0; j < COLUMNS; j++) {
                const unsigned c = column + ffl_small_column<TRANSPOSED, COLUMNS>(j);
                if (c < p.columns)
                    d[c] = end_of(p, tile.expert, c, sum[r][j]);
            }
        }
    }
}

/* Operands at multiples of 16 bytes, and quads whole: whoever asks for 128 rows has seen to it. */
template <bool TRANSPOSED>
__global__ static void __launch_bounds__(FFL_REGISTER_THREADS, 2)
    large_tiles(ffl_grouped_product p, ffl_expert_pairs pairs)
{
    __align__(16) __shared__ ffl_register_buffer a;
    __align__(16) __shared__ ffl_register_buffer b;
    ffl_dependency_wait();
    ffl_dependents_launch();
    const unsigned slices = (p.columns + FFL_REGISTER_TILE - 1) / FFL_REGISTER_TILE;
    const size_t items = ffl_expert_tiles(pairs) * slices;
    for (size_t item = blockIdx.x; item < items; item += gridDim.x) {
        const ffl_expert_tile tile = ffl_expert_tile_at(pairs, item / slices);
        ffl_register_operands o = {};
        for (unsigned half = 0; half < 2; half++) {
            const unsigned row = threadIdx.x / 4 + 64 * half;
            if (row < tile.rows)
                o.a[half] = p.a + ffl_expert_row(pairs, p.row_a, tile.first + row) * p.lda;
        }
        o.b = p.b + tile.expert * apart(p);
        o.ldb = p.ldb;
        o.column = item % slices * FFL_REGISTER_TILE;
        o.columns = p.columns;
        o.depth = o.readable = p.depth;
        float sum[FFL_REGISTER_PART][FFL_REGISTER_PART] = {};
        ffl_register_product<TRANSPOSED, true>(o, a, b, sum);
#pragma unroll
        for (unsigned i = 0; i < FFL_REGISTER_PART; i++) {
            const unsigned row = ffl_register_place(threadIdx.x / 16, i);
            if (row >= tile.rows)
                continue;
            float *d = p.d + ffl_expert_row(pairs, p.row_d, tile.first + row) * p.ldd;
#pragma unroll
            for (unsigned j = 0; j < FFL_REGISTER_PART; j++) {
                const unsigned c = (unsigned)o.column + ffl_register_place(threadIdx.x % 16, j);
                if (c < p.columns)
                    d[c] = end_of(p, tile.expert, c, sum[i][j]);
            }
        }
    }
}

bool ffl_grouped_fits_large(const ffl_grouped_product *p)
{
    const unsigned quads = p->transposed ? p->depth : p->columns;
    return ffl_rows_aligned(p->a, p->lda) && ffl_rows_aligned(p->b, p->ldb) && p->depth % 4 == 0 &&
           quads % 4 == 0;
}

/* A large tile does its work twice as fast, where it is full and most multiprocessors have one. */
unsigned ffl_grouped_tile_rows(size_t rows, size_t experts, size_t columns, unsigned multiprocessors)
{
    const size_t blocks = rows / FFL_REGISTER_TILE * ((columns + FFL_REGISTER_TILE - 1) / FFL_REGISTER_TILE);
    return rows / experts >= FFL_REGISTER_TILE && columns >= FFL_REGISTER_TILE &&
                   4 * blocks >= 3 * (size_t)multiprocessors
               ? FFL_REGISTER_TILE
               : FFL_SMALL_ROWS;
}

static unsigned blocks_of(const ffl_grouped_product &p, const ffl_expert_pairs &pairs, size_t columns)
{
    const size_t items = ffl_expert_tiles_most(&pairs) * ((p.columns + columns - 1) / columns);
    return (unsigned)(items < BLOCKS_MAX ? items : BLOCKS_MAX);
}

template <bool TRANSPOSED>
static void launch_large(const ffl_grouped_product &p, const ffl_expert_pairs &pairs, bool behind,
                         cudaStream_t stream)
{
    FFL_LAUNCH_BEHIND_IF(behind, large_tiles<TRANSPOSED>, blocks_of(p, pairs, FFL_REGISTER_TILE),
                         FFL_REGISTER_THREADS, 0, stream, p, pairs);
}

template <bool TRANSPOSED, unsigned COLUMNS>
static void launch_small(const ffl_grouped_product &p, const ffl_expert_pairs &pairs, bool behind,
                         cudaStream_t stream)
{
    FFL_LAUNCH_BEHIND_IF(behind, (small_tiles<TRANSPOSED, COLUMNS>), blocks_of(p, pairs, 8 * COLUMNS),
                         FFL_SMALL_THREADS, ffl_small_shared<COLUMNS>, stream, p, pairs,
                         ffl_rows_aligned(p.a, p.lda), ffl_rows_aligned(p.b, p.ldb));
}

/* Where 32 columns a block leave multiprocessors idle, 8 are done in half the time. */
ffl_status ffl_grouped_run(const ffl_grouped_product *p, const ffl_expert_pairs *pairs,
                           unsigned multiprocessors, bool behind, cudaStream_t stream)
{
    const bool large = pairs->tile_rows == FFL_REGISTER_TILE;
    if (p->transposed && large)
        launch_large<true>(*p, *pairs, behind, stream);
    else if (large)
        launch_large<false>(*p, *pairs, behind, stream);
    else if (!p->transposed)
        launch_small<false, 4>(*p, *pairs, behind, stream);
    else if (blocks_of(*p, *pairs, 32) >= multiprocessors)
        launch_small<true, 4>(*p, *pairs, behind, stream);
    else
        launch_small<true, 1>(*p, *pairs, behind, stream);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}
