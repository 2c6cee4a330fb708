/*
 * Ideas and predictions; a step that is absent from a run shows as –. What bounds a token of 1x11 at width
 * 768: 24 rows of 3 KB, of which the upper seven levels' stay in 1 MB of L2 and the lower five levels' (30
 * KB) come from L3 or memory at 11 GB/s: 2.7 µs where no two tokens share them. kernels/NOTES.md has the
 * rates.
 */
#include "reports/ladder.h"

static const ffl_ladder_step dense[] = {
    {"ff_naive", "plain C, one accumulator per neuron", "–", NULL},
    {"ff_blas1_openblas", "a library's dot and axpy per token and neuron",
     "5x: 16 lanes and several sums, until the weights' stream (25 MB per token) binds", "ff_naive"},
    {"ff_blas2_openblas", "two matrix-vector products per token", "1.1x: the same bytes, fewer calls",
     "ff_blas1_openblas"},
    {"ff_blas3_openblas", "two matrix products, activation between",
     "B=1 none; B=128 5x: arithmetic binds, not bytes", "ff_blas2_openblas"},
    {"ff_rows_avx512", "our own rows, vectorised, tokens in groups",
     "1x at B=1: bytes bind; loses to tiles from B=16", "ff_blas2_openblas"},
    {"ff_tiled_avx2", "packed weights, register tiles of 256-bit vectors, activation in L2",
     "half of AVX-512's rate: half the width", "ff_blas3_openblas"},
    {"ff_tiled_avx512", "the same with 512-bit vectors",
     "1.1–1.3x: one pass over y less, weights packed once", "ff_blas3_openblas"},
    {0},
};

static const ffl_ladder_step tree[] = {
    {"fff_naive", "plain C, one accumulator per dot product", "–", NULL},
    {"fff_blas1_openblas", "a library's dot and axpy per node", "3x: vectors; 24 calls per token cost 0.5 µs",
     "fff_naive"},
    {"fff_walk_c_avx2", "the compiler's vectors: eight lanes, one sum",
     "2.5x: one chain of FMAs, 4 cycles per 8 products", "fff_naive"},
    {"fff_walk_avx512", "16 lanes, four sums", "1.5–2x: from the chain of FMAs to the load ports",
     "fff_walk_c_avx2"},
    {"fff_walk_fused_avx512", "y once at the end, from all rows visited", "1.2x: 11 of 12 passes over y less",
     "fff_walk_avx512"},
    {"fff_walk_prefetch_avx512", "half of both children and the visited w_out row asked for early",
     "1.1x at B=1: the next row is on its way during the dot; but half of it is never used",
     "fff_walk_fused_avx512"},
    {"fff_walk_speculative2_avx512", "both children's dots beside the parent's, two levels per step",
     "0.9x: fewer turns to wait for, 1.5 times the rows of w_in", "fff_walk_fused_avx512"},
    {"fff_walk_speculative3_avx512", "seven nodes, three levels per step", "0.6x: 2.3 times the rows",
     "fff_walk_fused_avx512"},
    {"fff_walk_records_avx512", "a node's two rows side by side",
     "1.1x: what the prefetcher fetches too far is useful", "fff_walk_fused_avx512"},
    {"fff_walk_interleaved2_avx512", "two descents side by side",
     "1.2x from B=16 on: one misses while the other computes", "fff_walk_fused_avx512"},
    {"fff_walk_interleaved4_avx512", "four", "1.4x likewise", "fff_walk_fused_avx512"},
    {"fff_walk_interleaved8_avx512", "eight", "1.5x, if ten outstanding lines per core allow it",
     "fff_walk_fused_avx512"},
    {"fff_walk_interleaved16_avx512", "sixteen", "as eight: the bytes bind", "fff_walk_fused_avx512"},
    {"fff_walk_records4_avx512", "four descents over packed rows", "1.1x over either alone",
     "fff_walk_interleaved4_avx512"},
    {"fff_levels_avx512", "tokens sorted by node at every level, tiles of 8 tokens",
     "1x: each row fetched once, but x again for each of 12 levels", "fff_walk_interleaved8_avx512"},
    {"fff_partition_avx512", "depth first over the batch, tiles of 8 tokens by 3 nodes",
     "1x at 128, 2–3x at 16384: rows once per batch, x twice", "fff_walk_interleaved8_avx512"},
    {"fff_buckets_avx512", "upper levels for all tokens, then subtree by subtree, outputs by leaf",
     "1.2x at 16384: the upper rows stay in L2 for the whole batch", "fff_partition_avx512"},
    {"fff_buckets_stream_avx512", "y past the caches", "1.2x at 16384: y is not read before it is written",
     "fff_buckets_avx512"},
    {0},
};

static const ffl_ladder_step forest[] = {
    {"fff_walk_fused_avx512", "one token after the other, y from registers", "–", NULL},
    {"fff_walk_interleaved8_avx512", "eight tokens side by side", "1.3x: a tree's rows serve eight tokens",
     "fff_walk_fused_avx512"},
    {"fff_lanes_avx512", "tokens in lanes: dense top levels, register tables below, outputs by shared path",
     "3x: no horizontal sums, no gathers, and rows from L1", "fff_walk_interleaved8_avx512"},
    {"fff_forest_avx512", "tokens of a node take two levels at once, 8 tokens by 3 rows; outputs likewise",
     "3x: 11 loads for 24 multiply-adds instead of 2 for each", "fff_walk_interleaved8_avx512"},
    {0},
};

const ffl_ladder ffl_ladders[] = {
    {"Dense layer of 4095 neurons", "1x11", "f32", dense},
    {"One tree, 12 of 4095 neurons", "1x11", "f32", tree},
    {"Many trees, 640 of 3968 neurons", "128x4", "f32", forest},
    {"16 trees, 128 of 4080 neurons", "16x7", "f32", forest},
    {0},
};
