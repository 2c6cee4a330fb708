#include "kernels/gelu.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <string.h>

double ffl_reference_dot(const float *x, const float *w, size_t n)
{
    /* Four independent sums: the products of two floats are exact in double, only the additions round. */
    double sum[4] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t k = 0; k < 4; k++)
            sum[k] += (double)x[i + k] * (double)w[i + k];
    for (; i < n; i++)
        sum[0] += (double)x[i] * (double)w[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Marks with 1 the neurons on the token's paths; `path` may be NULL. */
static void mark_paths(const ffl_layer *layer, const double *logits, unsigned char *selected, int32_t *path)
{
    memset(selected, 0, layer->neurons);
    for (size_t tree = 0; tree < layer->trees; tree++) {
        size_t node = 0;
        for (size_t level = 0; level < layer->levels; level++) {
            const size_t row = tree * layer->nodes + node;
            selected[row] = 1;
            if (path)
                *path++ = (int32_t)node;
            node = 2 * node + 1 + (logits[row] > 0.0);
        }
    }
}

static void reference_token(const ffl_layer *layer, const float *x, double *y, double *logits,
                            unsigned char *selected, int32_t *path)
{
    for (size_t row = 0; row < layer->neurons; row++)
        logits[row] = ffl_reference_dot(x, layer->w_in + row * layer->width_in, layer->width_in) +
                      (double)layer->b_in[row];
    if (layer->operation == FFL_FFF)
        mark_paths(layer, logits, selected, path);
    else
        memset(selected, 1, layer->neurons);
    for (size_t j = 0; j < layer->width_out; j++)
        y[j] = layer->b_out ? (double)layer->b_out[j] : 0.0;
    for (size_t row = 0; row < layer->neurons; row++) {
        if (!selected[row])
            continue;
        const double g = ffl_activate_double(layer->activation, logits[row]);
        const float *w = layer->w_out + row * layer->width_out;
        for (size_t j = 0; j < layer->width_out; j++)
            y[j] += g * (double)w[j];
    }
}

ffl_status ffl_reference(const ffl_layer *layer, const float *x, size_t ldx, size_t tokens, double *y,
                         double *logits, int32_t *path)
{
    if (ffl_operation_has_experts(layer->operation))
        return logits || path ? ffl_fail(FFL_INTERNAL, "experts have gates, not logits and paths")
                              : ffl_reference_experts(layer, x, ldx, tokens, y, NULL, NULL, NULL);
    double *own_logits = logits ? NULL : ffl_alloc_array(layer->neurons, sizeof *own_logits);
    unsigned char *selected = ffl_alloc(layer->neurons);
    ffl_status status = FFL_NO_MEMORY;
    if (!selected || (!logits && !own_logits))
        goto fail;
    for (size_t t = 0; t < tokens; t++)
        reference_token(layer, x + t * ldx, y + t * layer->width_out,
                        logits ? logits + t * layer->neurons : own_logits, selected,
                        path ? path + t * layer->trees * layer->levels : NULL);
    status = FFL_OK;
fail:
    ffl_free(selected);
    ffl_free(own_logits);
    return status;
}
