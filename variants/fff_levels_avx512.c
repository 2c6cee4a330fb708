/*
 * FFF, level by level for the whole batch: tokens are kept sorted by node (each level splits every node's
 * stretch of the list in two, stably), and each node's row serves all its tokens in register tiles. The
 * output comes last, leaf by leaf. Every row is fetched once per batch, x once per level, from wherever x
 * lies.
 */
#include "kernels/simd/group_output_avx512.h"
#include "kernels/simd/walk.h"
#include "kernels/team.h"
#include "kernels/variant.h"

enum { GRAIN = 64, BLOCK = 384 };

static void part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                 size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const size_t block = tokens >= l->nodes ? BLOCK : (l->width_out + BLOCK - 1) / BLOCK * BLOCK;
    ffl_partition p = {.l = l, .last = l->levels, .x = x, .ldx = ldx, .g = scratch};
    p.node = (uint32_t *)(p.g + tokens * l->levels);
    p.spare = p.node + tokens;
    uint32_t *list = p.spare + tokens;
    p.way = (uint8_t *)(list + tokens);
    for (; p.tree < l->trees; p.tree++) {
        for (size_t t = 0; t < tokens; t++) {
            list[t] = (uint32_t)t;
            p.node[t] = 0;
        }
        for (size_t level = 0; level < l->levels; level++)
            for (size_t i = 0, next; i < tokens; i = next) {
                const uint32_t node = p.node[list[i]];
                size_t start[3];
                for (next = i + 1; next < tokens && p.node[list[next]] == node;)
                    next++;
                ffl_partition_step(&p, level, node, list + i, next - i, 1, start);
                for (size_t k = i; k < next; k++)
                    p.node[list[k]] = 2 * node + 1 + (k - i >= start[1]);
            }
        ffl_group_output_avx512(&p, list, tokens, y, ldy, block, FFL_STORES_AHEAD);
    }
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, GRAIN, part, x, ldx, y, ldy, tokens);
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    (void)exec;
    ffl_walk_trace(plan->layer, ffl_tile_dot_avx512, x, ldx, tokens, nodes, logits);
    return FFL_OK;
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    ffl_team_scratch(plan, plan->max_tokens *
                               (layer->levels * sizeof(float) + 3 * sizeof(uint32_t) + sizeof(uint8_t)));
    return FFL_OK;
}

static bool supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    (void)shape;
    *why = "more than 2^32 tokens";
    return tokens <= UINT32_MAX;
}

FFL_VARIANTS(fff_levels_avx512) = {
    {.name = "fff_levels_avx512",
     .source = "this lab",
     .summary = "level by level, tokens sorted by node, tiles of 8 tokens by 1 node, AVX-512",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = FFL_CONTRACT_F32_ROWS,
     .supports = supports,
     .prepare = prepare,
     .run = run,
     .trace = trace},
    {0},
};
