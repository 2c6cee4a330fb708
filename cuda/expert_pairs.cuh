/*
 * Pairs: which rows meet which expert's matrices, in which order, cut into which tiles.
 *
 * A pair is a token and one of the experts that it chose; pair token·chosen + c, c by descending gate. A
 * variant's first kernels write down each pair's expert (ffl_expert_take); ffl_expert_pairs_order lists them.
 *
 * Places: every expert that was chosen gets a row of places for its pairs, cut into tiles; in whatever order
 * the experts come, and in time by the pairs, not by the experts (depth 20 has a million leaves). Few pairs
 * need none of this: each is a tile of its own.
 */
#ifndef FFL_CUDA_EXPERT_PAIRS_CUH
#define FFL_CUDA_EXPERT_PAIRS_CUH

#include "cuda/launch.cuh"
#include "kernels/variant.h"

/* Pairs of a tile, unless there are enough for larger ones. */
static constexpr unsigned FFL_EXPERT_TILE = 32;

/* Of one run, by value to kernels. */
struct ffl_expert_pairs {
    unsigned *expert, *rank, *order; /* [pairs]; rank: among its expert's; order: pairs by place */
    float *share;                    /* [pairs]; NULL: 1 each */
    uint4 *tile;                     /* expert, first place, pairs of it */
    unsigned *count, *start;         /* [experts]: pairs, 0 between runs; first place */
    unsigned long long *total;       /* tiles << 32 | places given away */
    unsigned pairs, experts, chosen;
    unsigned tile_rows;
    bool loose; /* a tile of its own for each pair: place = pair; of all these only expert and share are used
                 */
};

/* Pair `pair` goes to `expert`; each pair once. */
__device__ static inline void ffl_expert_take(const ffl_expert_pairs &p, size_t pair, unsigned expert)
{
    p.expert[pair] = expert;
    if (!p.loose)
        p.rank[pair] = atomicAdd(&p.count[expert], 1u);
}

/* By one thread of the grid, before any pair is placed. */
__device__ static inline void ffl_expert_begin(const ffl_expert_pairs &p)
{
    if (!p.loose)
        *p.total = 0;
}

/* Places and tiles of all pairs, once each has its expert. Only enqueues; FFL_DEVICE when a launch failed. */
ffl_status ffl_expert_pairs_order(cudaStream_t stream, const ffl_expert_pairs *pairs);

/* Which row of a matrix belongs to a place: of that number, its pair's, its token's. */
enum ffl_row_of { FFL_ROW_OF_PLACE, FFL_ROW_OF_PAIR, FFL_ROW_OF_TOKEN };

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

#endif
