/* How walks on a GPU divide a token's work: cuda/walk_plan.h, on the host. */
#include "cuda/walk_plan.h"
#include <criterion/criterion.h>

enum { SHARED_MAX = 227 << 10, LEVELS_MAX = 21, GRID_MAX = 0x7fffffff };

static const struct {
    unsigned blocks, warps;
} forms[] = {{1, 3}, {1, 7}, {1, 15}, {8, 8}};
static const size_t trees[] = {1, 2, 3, 7, 8, 9, 15, 16, 63, 64, 65, 100, 128, 512, 3072};

enum { FORMS = sizeof forms / sizeof *forms, SHAPES = sizeof trees / sizeof *trees };

Test(walk_plan, a_speculation_reaches_the_leaves_within_its_warps_and_memory)
{
    for (size_t f = 0; f < FORMS; f++)
        for (size_t t = 0; t < SHAPES; t++)
            for (unsigned levels = 1; levels <= LEVELS_MAX; levels++) {
                const ffl_speculation s =
                    ffl_speculation_of(trees[t], levels, forms[f].blocks, forms[f].warps);
                cr_assert(s.blocks >= 1 && s.blocks <= forms[f].blocks && (s.blocks & (s.blocks - 1)) == 0);
                cr_assert_leq(s.warps * 32, FFL_SPECULATION_THREADS_MAX);
                cr_assert(s.trees >= 1 && s.trees <= trees[t]);
                cr_assert(s.levels_per_step >= 1 && s.levels_per_step <= levels);
                cr_assert_leq(s.levels_per_step, FFL_SPECULATION_LEVELS_MAX);
                /* A step of more than one level has a warp for each of its nodes. */
                cr_assert(s.levels_per_step == 1 ||
                              ffl_speculation_logits(&s) <= (size_t)s.blocks * s.warps,
                          "%zu trees of %u levels: %zu nodes a step", trees[t], levels,
                          ffl_speculation_logits(&s));
                cr_assert_leq(ffl_speculation_shared_bytes(&s), SHARED_MAX);
            }
}

Test(walk_plan, one_deep_tree_takes_as_many_levels_a_step_as_its_name_says)
{
    const unsigned expected[FORMS] = {2, 3, 4, 6};
    for (size_t f = 0; f < FORMS; f++) {
        const ffl_speculation s = ffl_speculation_of(1, 12, forms[f].blocks, forms[f].warps);
        cr_assert_eq(s.levels_per_step, expected[f], "%u levels", s.levels_per_step);
        cr_assert_eq(s.blocks, forms[f].blocks);
    }
}

Test(walk_plan, a_cluster_is_no_larger_than_its_nodes_need)
{
    cr_assert_eq(ffl_speculation_of(1, 1, 8, 8).blocks, 1);
    cr_assert_eq(ffl_speculation_of(1, 4, 8, 8).blocks, 2); /* 15 nodes, 16 warps */
    cr_assert_eq(ffl_speculation_of(1, 5, 8, 8).blocks, 4);
    /* 64 trees of 6 levels: a step has one level, and 6 barriers of a cluster are worse than none. */
    cr_assert_eq(ffl_speculation_of(64, 6, 8, 8).blocks, 1);
}

Test(walk_plan, every_tree_has_a_warp_and_every_token_a_place)
{
    static const size_t tokens[] = {1, 2, 7, 131, 132, 133, 4096, 65536};
    static const unsigned processors[] = {1, 2, 132};
    for (size_t t = 0; t < SHAPES; t++) {
        const ffl_warp_share s = ffl_warp_share_of(trees[t], 12, 6144, 160 << 10);
        cr_assert_eq(s.warps & (s.warps - 1), 0);
        cr_assert(s.warps >= trees[t] || s.warps == FFL_WALK_BLOCK_WARPS * FFL_WALK_CLUSTER_MAX);
        cr_assert(s.warps < 2 * trees[t], "%u warps for %zu trees", s.warps, trees[t]);
        cr_assert(s.blocks == 1 || s.blocks * FFL_WALK_BLOCK_WARPS == s.warps);
        cr_assert_leq(s.blocks, FFL_WALK_CLUSTER_MAX);
        for (size_t n = 0; n < sizeof tokens / sizeof *tokens; n++)
            for (size_t p = 0; p < sizeof processors / sizeof *processors; p++) {
                const unsigned warps = ffl_warp_share_block(&s, tokens[n], processors[p]);
                const size_t grid = ffl_warp_share_grid(&s, tokens[n], warps);
                cr_assert(warps >= 1 && warps <= FFL_WALK_BLOCK_WARPS);
                cr_assert(s.blocks > 1 ? warps == FFL_WALK_BLOCK_WARPS : warps % s.warps == 0);
                cr_assert_geq(grid * warps, tokens[n] * s.warps, "not every token is walked");
                cr_assert_lt((grid - s.blocks) * warps, tokens[n] * s.warps, "blocks without a token");
                cr_assert_leq(grid, GRID_MAX);
                cr_assert_eq(grid % s.blocks, 0, "a cluster is cut");
            }
    }
}

Test(walk_plan, upper_levels_are_kept_while_they_fit)
{
    /* Rows of 3 KB + 3 KB, f32 at width 768: 26 of them fit, and a tree of 4 levels has 15. */
    cr_assert_eq(ffl_warp_share_of(1, 12, 6144, 160 << 10).kept_levels, 4);
    cr_assert_eq(ffl_warp_share_of(1, 2, 6144, 160 << 10).kept_levels, 2);
    cr_assert_eq(ffl_warp_share_of(16, 8, 6144, 160 << 10).kept_levels, 1);
    cr_assert_eq(ffl_warp_share_of(128, 5, 6144, 160 << 10).kept_levels, 0);
}
