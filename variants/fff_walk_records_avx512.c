/*
 * FFF, walks over packed weights, a node's two rows side by side (records.h): alone, or a few tokens
 * together. The same arithmetic as fff_walk_interleaved_avx512, some 10 % faster where L3 and memory limit.
 */
#include "kernels/simd/avx512.h"
#include "kernels/simd/together.h"
#include "kernels/team.h"
#include "kernels/variant.h"

typedef struct packed {
    ffl_tree_rows rows;
    float *memory;
    size_t together;
} packed;

static void part(const ffl_plan *plan, size_t first, size_t trees, const float *x, size_t ldx, float *y,
                 size_t ldy, size_t tokens)
{
    const packed *p = plan->state;
    const ffl_layer l = ffl_layer_trees(plan->layer, first, trees);
    ffl_tree_rows rows = p->rows;
    rows.in += first * l.nodes * rows.in_stride;
    rows.out += first * l.nodes * rows.out_stride;
    ffl_walk_together(&l, rows, ffl_dot_avx512, ffl_activate_avx512, ffl_rows_avx512, x, ldx, y, ldy, tokens,
                      p->together);
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    return ffl_team_trees(plan, exec, part, x, ldx, y, ldy, tokens);
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    (void)exec;
    ffl_walk_trace(plan->layer, ffl_dot_avx512, x, ldx, tokens, nodes, logits);
    return FFL_OK;
}

static void release(ffl_plan *plan)
{
    packed *p = plan->state;
    ffl_free(p->memory);
    ffl_free(p);
}

static ffl_status prepare(const ffl_layer *layer, ffl_plan *plan, size_t together)
{
    packed *p = ffl_alloc(sizeof *p);
    if (!p)
        return FFL_NO_MEMORY;
    const ffl_status status = ffl_records_pack(layer, &p->memory, &p->rows);
    if (status != FFL_OK) {
        ffl_free(p);
        return status;
    }
    p->together = together;
    plan->state = p;
    plan->packed_bytes = ffl_records_bytes(layer);
    ffl_team_trees_scratch(plan);
    return FFL_OK;
}

static ffl_status prepare_1(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    return prepare(layer, plan, 1);
}

static ffl_status prepare_4(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    return prepare(layer, plan, 4);
}

FFL_VARIANTS(fff_walk_records_avx512) = {
    {.name = "fff_walk_records_avx512",
     .source = "this lab",
     .summary = "fused tree walk per token, a node's two rows packed side by side, AVX-512",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = prepare_1,
     .run = run,
     .release = release,
     .trace = trace},
    {.name = "fff_walk_records4_avx512",
     .source = "this lab",
     .summary = "tree walks of 4 tokens side by side, a node's two rows packed side by side, AVX-512",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = prepare_4,
     .run = run,
     .release = release,
     .trace = trace},
    {0},
};
