/*
 * How the hybrid FFF cuts a tree, and in which order its packed rows lie. Plain C: tests/test_hybrid.c runs
 * it without a GPU.
 *
 * The upper `top` levels are evaluated for all tokens at once, as one dense product; they send each token to
 * one of 2^top buckets. The lower `bottom` levels are a small dense product of a bucket's tokens with the
 * bucket's own subtree. Of both products only the nodes on a token's path count. top = 0: no upper product,
 * one bucket, tokens in their own order.
 *
 * Packed rows of a tree: 2^top rows (at least 64) of the upper part in heap order, then for each bucket
 * 2^bottom rows (at least 32) of its subtree in heap order. Rows without a node are zero.
 */
#ifndef FFL_CUDA_HYBRID_H
#define FFL_CUDA_HYBRID_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __CUDACC__
#define FFL_HYBRID_BOTH __host__ __device__
#else
#define FFL_HYBRID_BOTH
#endif

#ifdef __cplusplus
#define FFL_HYBRID_CONSTEXPR constexpr
#else
#define FFL_HYBRID_CONSTEXPR
#endif

enum {
    FFL_HYBRID_TOP_MAX = 7,    /* levels of the upper part: 127 nodes, 128 columns */
    FFL_HYBRID_BOTTOM_MAX = 6, /* and of the lower */
    FFL_HYBRID_LEVELS_MAX = FFL_HYBRID_TOP_MAX + FFL_HYBRID_BOTTOM_MAX, /* deeper trees are walked */
    FFL_HYBRID_TOP_COLUMNS_MIN = 64,
    FFL_HYBRID_BOTTOM_COLUMNS_MIN = 32,
    FFL_HYBRID_NO_NODE = -1
};

typedef struct ffl_hybrid_cut {
    unsigned top, bottom;                 /* levels; their sum is the tree's */
    unsigned buckets;                     /* 2^top */
    unsigned top_columns, bottom_columns; /* packed: 0, 64 or 128; 32 or 64 */
    unsigned rows;                        /* packed rows of one tree */
} ffl_hybrid_cut;

/* Columns for 2^levels - 1 nodes. */
static inline unsigned ffl_hybrid_columns(unsigned levels, unsigned least)
{
    const unsigned nodes = 1u << levels;
    return nodes < least ? least : nodes;
}

/*
 * levels: 1 … FFL_HYBRID_LEVELS_MAX. A tree of up to `whole` levels has no upper part; otherwise the lower
 * part has `bottom` levels, or more where the upper part would pass FFL_HYBRID_TOP_MAX.
 */
static inline ffl_hybrid_cut ffl_hybrid_cut_new(unsigned levels, unsigned whole, unsigned bottom)
{
    ffl_hybrid_cut cut;
    cut.bottom = levels <= whole ? levels : bottom;
    if (levels > cut.bottom + FFL_HYBRID_TOP_MAX)
        cut.bottom = levels - FFL_HYBRID_TOP_MAX;
    cut.top = levels - cut.bottom;
    cut.buckets = 1u << cut.top;
    cut.top_columns = cut.top ? ffl_hybrid_columns(cut.top, FFL_HYBRID_TOP_COLUMNS_MIN) : 0;
    cut.bottom_columns = ffl_hybrid_columns(cut.bottom, FFL_HYBRID_BOTTOM_COLUMNS_MIN);
    cut.rows = cut.top_columns + cut.buckets * cut.bottom_columns;
    return cut;
}

/* Heap index in the tree of a packed row, or FFL_HYBRID_NO_NODE. */
FFL_HYBRID_BOTH static inline int ffl_hybrid_node(const ffl_hybrid_cut *cut, unsigned row)
{
    if (row < cut->top_columns)
        return row < (1u << cut->top) - 1 ? (int)row : FFL_HYBRID_NO_NODE;
    const unsigned bucket = (row - cut->top_columns) / cut->bottom_columns;
    const unsigned inside = (row - cut->top_columns) % cut->bottom_columns;
    if (inside >= (1u << cut->bottom) - 1)
        return FFL_HYBRID_NO_NODE;
    unsigned level = 0;
    while ((2u << level) - 1 <= inside)
        level++;
    const unsigned across = inside + 1 - (1u << level);
    return (int)(((cut->buckets + bucket) << level) + across - 1);
}

/* Packed row of the node that the tokens of a bucket visit on a level of the upper part. */
FFL_HYBRID_BOTH static inline unsigned ffl_hybrid_path_row(const ffl_hybrid_cut *cut, unsigned bucket,
                                                           unsigned level)
{
    return ((cut->buckets + bucket) >> (cut->top - level)) - 1;
}

/* Rows of a bucket's chunk when its tokens are spread evenly over as many chunks as they need. */
FFL_HYBRID_BOTH static inline unsigned ffl_hybrid_chunks(unsigned tokens, unsigned tile)
{
    return (tokens + tile - 1) / tile;
}

FFL_HYBRID_BOTH static inline unsigned ffl_hybrid_chunk_first(unsigned tokens, unsigned chunks,
                                                              unsigned chunk)
{
    return (unsigned)((size_t)tokens * chunk / chunks);
}

/*
 * Token tiles. The upper product is one wave of blocks: the smallest tile that needs no second one, since
 * smaller tiles read less each and larger ones read the weights less often.
 */
static inline unsigned ffl_hybrid_top_tile(size_t tokens, unsigned multiprocessors)
{
    unsigned tile = 16;
    while (tile < 128 && (tokens + tile - 1) / tile > multiprocessors)
        tile *= 2;
    return tile;
}

/* The largest tile of the lower product: what shared memory holds. */
FFL_HYBRID_BOTH FFL_HYBRID_CONSTEXPR static inline unsigned ffl_hybrid_large_tile(unsigned bottom_columns)
{
    return bottom_columns == 32 ? 160 : 144;
}

/*
 * 16, 48, 80 or the largest. Buckets of about the same size are cut into as many chunks as there are
 * multiprocessors, with room for buckets two and a half standard deviations above the mean: another chunk
 * would read the subtree's weights again, and another wave of blocks would take as long as the first.
 */
static inline unsigned ffl_hybrid_bottom_tile(const ffl_hybrid_cut *cut, size_t tokens,
                                              unsigned multiprocessors)
{
    const size_t mean = (tokens + cut->buckets - 1) / cut->buckets;
    const size_t chunks = multiprocessors > cut->buckets ? multiprocessors / cut->buckets : 1;
    size_t root = 0;
    while (cut->top && root * root < mean)
        root++;
    const size_t most = (mean + 5 * root / 2 + chunks - 1) / chunks;
    return most <= 16 ? 16 : most <= 48 ? 48 : most <= 80 ? 80 : ffl_hybrid_large_tile(cut->bottom_columns);
}

/* Blocks of the lower product: every bucket may end in a partial chunk. */
static inline unsigned ffl_hybrid_bottom_blocks(const ffl_hybrid_cut *cut, size_t tokens, unsigned tile)
{
    const size_t partial = tokens < cut->buckets ? tokens : cut->buckets;
    return (unsigned)(tokens / tile + partial);
}

#endif
