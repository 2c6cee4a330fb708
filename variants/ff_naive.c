/*
 * FF, as the equation reads: one neuron after the other, one dot product and one axpy each. The floor of
 * the ladder, and the form that "118x over naive" in the literature is measured against.
 */
#include "kernels/gelu.h"
#include "kernels/variant.h"

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    (void)exec;
    for (size_t t = 0; t < tokens; t++, x += ldx, y += ldy) {
        for (size_t j = 0; j < l->width_out; j++)
            y[j] = l->b_out ? l->b_out[j] : 0.0f;
        for (size_t row = 0; row < l->neurons; row++) {
            const float *w_in = l->w_in + row * l->width_in, *w_out = l->w_out + row * l->width_out;
            float z = 0.0f;
            for (size_t i = 0; i < l->width_in; i++)
                z += x[i] * w_in[i];
            const float g = ffl_activate(l->activation, z + l->b_in[row]);
            for (size_t j = 0; j < l->width_out; j++)
                y[j] += g * w_out[j];
        }
    }
    return FFL_OK;
}

FFL_VARIANTS(ff_naive) = {
    {.name = "ff_naive",
     .source = "arXiv:2311.10770, FF inference",
     .summary = "one neuron at a time, plain C",
     .operation = FFL_FF,
     .place = FFL_HOST,
     .family = FFL_NAIVE,
     .isa = FFL_ISA_BASE,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = ffl_prepare_nothing,
     .run = run},
    {0},
};
