/* The plan of the GPU's hybrid FFF: cuda/hybrid.h, on the host. */
#include "cuda/hybrid.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    unsigned whole, bottom;
} rules[] = {{6, 5}, {5, 5}, {5, 6}};

Test(hybrid, a_cut_keeps_every_level_and_fits_its_columns)
{
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        for (unsigned levels = 1; levels <= FFL_HYBRID_LEVELS_MAX; levels++) {
            const ffl_hybrid_cut cut = ffl_hybrid_cut_new(levels, rules[r].whole, rules[r].bottom);
            cr_assert_eq(cut.top + cut.bottom, levels);
            cr_assert(cut.bottom >= 1 && cut.bottom <= FFL_HYBRID_BOTTOM_MAX, "%u levels", levels);
            cr_assert_leq(cut.top, FFL_HYBRID_TOP_MAX, "%u levels", levels);
            cr_assert_eq(cut.top == 0, levels <= rules[r].whole || levels <= rules[r].bottom);
            cr_assert_eq(cut.buckets, 1u << cut.top);
            cr_assert_geq(cut.bottom_columns, (1u << cut.bottom) - 1);
            cr_assert(cut.top == 0 || cut.top_columns >= cut.buckets - 1);
            cr_assert_eq(cut.rows, cut.top_columns + cut.buckets * cut.bottom_columns);
        }
}

Test(hybrid, every_node_is_packed_once)
{
    for (unsigned levels = 1; levels <= FFL_HYBRID_LEVELS_MAX; levels++) {
        const ffl_hybrid_cut cut = ffl_hybrid_cut_new(levels, 6, 5);
        const int nodes = (1 << levels) - 1;
        unsigned char *seen = calloc((size_t)nodes, 1);
        cr_assert_not_null(seen);
        for (unsigned row = 0; row < cut.rows; row++) {
            const int node = ffl_hybrid_node(&cut, row);
            cr_assert(node == FFL_HYBRID_NO_NODE || (node >= 0 && node < nodes), "levels %u row %u", levels,
                      row);
            if (node != FFL_HYBRID_NO_NODE)
                seen[node]++;
        }
        for (int node = 0; node < nodes; node++)
            cr_assert_eq(seen[node], 1, "levels %u: node %d is packed %d times", levels, node, seen[node]);
        free(seen);
    }
}

/* Walks every leaf of a tree by heap index, and by packed rows as the kernels do. */
Test(hybrid, rows_of_a_path_are_its_nodes)
{
    const ffl_hybrid_cut cut = ffl_hybrid_cut_new(12, 6, 5);
    for (unsigned leaf = 0; leaf < 1u << 11; leaf++) {
        const unsigned bucket = leaf >> 4; /* 7 of 11 turns */
        int node = 0;
        unsigned inside = 0;
        for (unsigned level = 0; level < 12; level++) {
            const unsigned row = level < cut.top ? ffl_hybrid_path_row(&cut, bucket, level)
                                                 : cut.top_columns + bucket * cut.bottom_columns + inside;
            cr_assert_eq(ffl_hybrid_node(&cut, row), node, "leaf %u level %u", leaf, level);
            const unsigned right = level < 11 ? leaf >> (10 - level) & 1 : 0;
            node = 2 * node + 1 + (int)right;
            if (level >= cut.top)
                inside = 2 * inside + 1 + right;
        }
    }
}

/* As ffl_bottom_chunk deals them out: buckets in turn, each evenly. */
static void deal(const ffl_hybrid_cut *cut, const unsigned *totals, size_t tokens, unsigned tile)
{
    const unsigned blocks = ffl_hybrid_bottom_blocks(cut, tokens, tile);
    unsigned used = 0;
    for (unsigned b = 0; b < cut->buckets; b++) {
        const unsigned chunks = ffl_hybrid_chunks(totals[b], tile);
        unsigned next = 0;
        for (unsigned c = 0; c < chunks; c++) {
            const unsigned first = ffl_hybrid_chunk_first(totals[b], chunks, c);
            const unsigned count = ffl_hybrid_chunk_first(totals[b], chunks, c + 1) - first;
            cr_assert_eq(first, next);
            cr_assert(count >= 1 && count <= tile, "%u tokens in a tile of %u", count, tile);
            next += count;
        }
        cr_assert_eq(next, totals[b]);
        used += chunks;
    }
    cr_assert_leq(used, blocks, "%zu tokens need %u blocks of %u", tokens, used, tile);
}

Test(hybrid, blocks_suffice_for_any_routing)
{
    static const size_t batches[] = {1, 15, 16, 17, 127, 128, 129, 1024, 4096, 16384, 65536};
    const ffl_hybrid_cut cut = ffl_hybrid_cut_new(12, 6, 5);
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        const size_t tokens = batches[i];
        const unsigned tile = ffl_hybrid_bottom_tile(&cut, tokens, 132);
        unsigned totals[128] = {0};
        totals[77] = (unsigned)tokens; /* one path */
        deal(&cut, totals, tokens, tile);
        memset(totals, 0, sizeof totals);
        for (size_t t = 0; t < tokens; t++)
            totals[t % 128]++; /* every leaf in turn */
        deal(&cut, totals, tokens, tile);
        memset(totals, 0, sizeof totals);
        size_t left = tokens; /* one token more than full tiles wherever that is possible */
        for (unsigned b = 0; b < 128 && left; b++) {
            totals[b] = left > tile + 1 ? tile + 1 : (unsigned)left;
            left -= totals[b];
        }
        totals[127] += (unsigned)left;
        deal(&cut, totals, tokens, tile);
    }
}

Test(hybrid, tiles_follow_the_batch)
{
    const ffl_hybrid_cut cut = ffl_hybrid_cut_new(12, 6, 5);
    static const struct {
        size_t tokens;
        unsigned top, bottom;
    } expected[] = {{1, 16, 16},    {1024, 16, 16},    {4096, 32, 48},
                    {6000, 64, 80}, {16384, 128, 160}, {65536, 128, 160}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        cr_assert_eq(ffl_hybrid_top_tile(expected[i].tokens, 132), expected[i].top);
        cr_assert_eq(ffl_hybrid_bottom_tile(&cut, expected[i].tokens, 132), expected[i].bottom);
    }
}
