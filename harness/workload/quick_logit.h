/*
 * The logit of one node by a float dot product, several times faster than the double reference, with what
 * its rounding may amount to. Where a decision is closer than `doubt`, ask ffl_reference_dot instead.
 */
#ifndef FFL_HARNESS_QUICK_LOGIT_H
#define FFL_HARNESS_QUICK_LOGIT_H

#include "kernels/layer.h"

typedef struct ffl_quick_logit {
    double z;
    double doubt; /* |z - exact z| <= doubt; z is not finite when float sums overflowed */
} ffl_quick_logit;

/* `scale` = ‖x‖·‖w_in[row]‖, which bounds the sum of |products|. */
static inline ffl_quick_logit ffl_logit_quickly(const ffl_layer *layer, size_t row, const float *x,
                                                double scale)
{
    enum { LANES = 32 };
    const size_t n = layer->width_in;
    const float *w = layer->w_in + row * n;
    float sum[LANES] = {0}, rest = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            sum[k] += x[i + k] * w[i + k];
    for (; i < n; i++)
        rest += x[i] * w[i];
    for (size_t k = 0; k < LANES; k++)
        rest += sum[k];
    /* One rounding per product and per addition on the longest way into the sum. */
    return (ffl_quick_logit){.z = (double)rest + (double)layer->b_in[row],
                             .doubt = (double)(n / LANES + 2 * LANES) * 0x1p-24 * scale};
}

#endif
