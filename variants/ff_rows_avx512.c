/*
 * FF for one or a few tokens, without packing: the rows of CHUNK neurons at a time, one dot product each, one
 * vector activation, and one pass over y that sums the CHUNK output rows in registers. Both weight chunks
 * stay in the cache while the tokens take turns. At one token the weights' way from memory is all there is:
 * 16 rows are as many streams as the prefetchers follow (64 rows were 20 % slower); at more tokens register
 * tiles win.
 */
#include "kernels/simd/avx512.h"
#include "kernels/variant.h"

enum { CHUNK = 16 };

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    float g[CHUNK];
    const float *w[CHUNK];
    (void)exec;
    for (size_t first = 0; first < l->neurons; first += CHUNK) {
        const size_t count = l->neurons - first < CHUNK ? l->neurons - first : CHUNK;
        for (size_t k = 0; k < count; k++)
            w[k] = l->w_out + (first + k) * l->width_out;
        for (size_t t = 0; t < tokens; t++) {
            for (size_t k = 0; k < count; k++)
                g[k] = ffl_dot_avx512(x + t * ldx, l->w_in + (first + k) * l->width_in, l->width_in) +
                       l->b_in[first + k];
            ffl_activate_avx512(l->activation, g, count);
            ffl_rows_avx512(g, w, count, y + t * ldy, l->width_out, first > 0);
        }
    }
    for (size_t t = 0; l->b_out && t < tokens; t++)
        ffl_axpy_avx512(1.0f, l->b_out, y + t * ldy, l->width_out);
    return FFL_OK;
}

FFL_VARIANTS(ff_rows_avx512) = {
    {.name = "ff_rows_avx512",
     .source = "this lab",
     .summary = "matrix-vector form on unpacked rows, for few tokens, AVX-512",
     .operation = FFL_FF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = ffl_prepare_nothing,
     .run = run},
    {0},
};
