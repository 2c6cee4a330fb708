/*
 * Products of many small matrices at once: rows of a, in tiles that each belong to one expert, times that
 * expert's matrix. With one expert and all rows in their own order it is a plain product (a mixture's gates).
 */
#ifndef FFL_CUDA_GROUPED_PRODUCT_CUH
#define FFL_CUDA_GROUPED_PRODUCT_CUH

#include "cuda/experts.cuh"

/* Which row of a matrix belongs to a place: of that number, its pair's, its token's. */
enum ffl_row_of { FFL_ROW_OF_PLACE, FFL_ROW_OF_PAIR, FFL_ROW_OF_TOKEN };

/* d = act(a · b + bias) by rows of places. Widths and strides in elements. */
struct ffl_grouped_product {
    const float *a, *b, *bias; /* bias [experts][columns] or NULL */
    float *d;
    size_t lda, ldb, ldd;
    unsigned columns, depth; /* b of an expert: [columns][ldb] where transposed, else [depth][ldb] */
    ffl_row_of row_a, row_d;
    bool activate, transposed;
    ffl_activation activation;
};

/* Places of one expert. */
struct ffl_expert_tile {
    unsigned expert, first, rows;
};

/* Tiles there are, on the device. */
__device__ static inline size_t ffl_expert_tiles(const ffl_expert_pairs &p)
{
    if (p.loose)
        return p.pairs;
    return p.total ? (unsigned)(*p.total >> 32) : (p.pairs + p.tile_rows - 1) / p.tile_rows;
}

__device__ static inline ffl_expert_tile ffl_expert_tile_at(const ffl_expert_pairs &p, size_t i)
{
    if (p.loose)
        return {p.expert[i], (unsigned)i, 1};
    if (p.total) {
        const uint4 t = p.tile[i];
        return {t.x, t.y, t.z};
    }
    const unsigned first = (unsigned)i * p.tile_rows, left = p.pairs - first;
    return {0, first, left < p.tile_rows ? left : p.tile_rows};
}

__device__ static inline size_t ffl_expert_row(const ffl_expert_pairs &p, ffl_row_of of, unsigned place)
{
    if (of == FFL_ROW_OF_PLACE)
        return place;
    const unsigned pair = p.order && !p.loose ? p.order[place] : place;
    return of == FFL_ROW_OF_PAIR || p.chosen == 1 ? pair : pair / p.chosen;
}

/* Tiles that `pairs` may have at most. */
static inline size_t ffl_expert_tiles_most(const ffl_expert_pairs *p)
{
    const size_t whole = p->pairs / p->tile_rows, rest = p->pairs < p->experts ? p->pairs : p->experts;
    return p->loose ? p->pairs : whole + rest;
}

/* All rows of a in their own order, one expert. */
static inline ffl_expert_pairs ffl_expert_all_rows(size_t rows, unsigned tile_rows)
{
    ffl_expert_pairs p = {};
    p.pairs = (unsigned)rows;
    p.experts = p.chosen = 1;
    p.tile_rows = tile_rows;
    return p;
}

/* Tiles of 32 rows or of 128: which suits so many rows of so many experts, on so many multiprocessors. The
 * bits are the same. Large ones are for products that fit them alone: rows of both operands begin at
 * multiples of 16 bytes and consist of whole quads. */
unsigned ffl_grouped_tile_rows(size_t rows, size_t experts, size_t columns, unsigned multiprocessors);
bool ffl_grouped_fits_large(const ffl_grouped_product *product);

/* Rows that begin at multiples of 16 bytes. */
static inline bool ffl_rows_wide(const float *rows, size_t ld)
{
    return (uintptr_t)rows % 16 == 0 && ld % 4 == 0;
}

/* Only enqueues; tiles of pairs->tile_rows. behind: as FFL_LAUNCH_BEHIND. */
ffl_status ffl_grouped_run(const ffl_grouped_product *product, const ffl_expert_pairs *pairs,
                           unsigned multiprocessors, bool behind, cudaStream_t stream);

#endif
