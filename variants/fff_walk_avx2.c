/*
 * FFF, one token at a time: at each node one dot product and one axpy over contiguous rows. No packing; bound
 * by the latency of fetching the next row, and by y, which is read and written once per node.
 */
#include "kernels/gelu.h"
#include "kernels/simd/avx2.h"
#include "kernels/simd/walk.h"
#include "kernels/variant.h"
#include <string.h>

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    (void)exec;
    for (size_t t = 0; t < tokens; t++, x += ldx, y += ldy) {
        memset(y, 0, l->width_out * sizeof *y);
        for (size_t tree = 0; tree < l->trees; tree++) {
            size_t node = 0;
            for (size_t level = 0; level < l->levels; level++) {
                const size_t row = tree * l->nodes + node;
                const float z = ffl_dot_avx2(x, l->w_in + row * l->width_in, l->width_in) + l->b_in[row];
                ffl_axpy_avx2(ffl_activate(l->activation, z), l->w_out + row * l->width_out, y, l->width_out);
                node = 2 * node + 1 + (z > 0.0f);
            }
        }
    }
    return FFL_OK;
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    (void)exec;
    ffl_walk_trace(plan->layer, ffl_dot_avx2, x, ldx, tokens, nodes, logits);
    return FFL_OK;
}

FFL_VARIANTS(fff_walk_avx2) = {
    {.name = "fff_walk_avx2",
     .source = "arXiv:2311.10770, FFF inference",
     .summary = "tree walk per token, AVX2 dot and axpy",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX2,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = ffl_prepare_nothing,
     .run = run,
     .trace = trace},
    {0},
};
