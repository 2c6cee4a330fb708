/*
 * FFF, a few tokens at a time: their descents advance level by level together (together.h), so that the
 * misses of one overlap with the arithmetic of the others; then activation and one output pass per token. The
 * knob is how many: beyond 8 the tokens' own rows no longer fit L1 beside the weights.
 */
#include "kernels/simd/avx2.h"
#include "kernels/simd/together.h"
#include "kernels/team.h"
#include "kernels/variant.h"

static void part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                 size_t tokens)
{
    const size_t together = *(const size_t *)plan->state;
    (void)scratch;
    ffl_walk_together(plan->layer, ffl_tree_rows_of(plan->layer), ffl_dot_avx2, ffl_activate_avx2,
                      ffl_rows_avx2, x, ldx, y, ldy, tokens, together);
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, 32, part, x, ldx, y, ldy, tokens);
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    (void)exec;
    ffl_walk_trace(plan->layer, ffl_dot_avx2, x, ldx, tokens, nodes, logits);
    return FFL_OK;
}

#define FORM(NUMBER)                                                                                         \
    static ffl_status prepare_##NUMBER(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)   \
    {                                                                                                        \
        static const size_t together = NUMBER;                                                               \
        plan->state = (void *)&together;                                                                     \
        return ffl_prepare_nothing(layer, machine, plan);                                                    \
    }

#define ROW(NUMBER)                                                                                          \
    {                                                                                                        \
        .name = "fff_walk_interleaved" #NUMBER "_avx2", .source = "this lab",                                \
        .summary = "tree walks of " #NUMBER " tokens side by side, one output pass each, AVX2",              \
        .operation = FFL_FFF, .place = FFL_HOST, .family = FFL_SIMD, .isa = FFL_ISA_AVX2, .threaded = true,  \
        .contract = FFL_CONTRACT_F32_ROWS, .prepare = prepare_##NUMBER, .run = run, .trace = trace           \
    }

FORM(2)
FORM(4)
FORM(8)
FORM(16)

FFL_VARIANTS(fff_walk_interleaved_avx2) = {ROW(2), ROW(4), ROW(8), ROW(16), {0}};
