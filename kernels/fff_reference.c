#include "kernels/gelu.h"
#include "kernels/reference.h"

/* Rows are added in ascending order within a tree and tree by tree: the order of the dense reference. */
ffl_status ffl_reference_walk(const ffl_layer *layer, const float *x, size_t ldx, size_t tokens, double *y,
                              double *logits, int32_t *path)
{
    for (size_t t = 0; t < tokens; t++, x += ldx, y += layer->width_out) {
        for (size_t j = 0; j < layer->width_out; j++)
            y[j] = 0.0;
        for (size_t tree = 0; tree < layer->trees; tree++) {
            size_t node = 0;
            for (size_t level = 0; level < layer->levels; level++) {
                const size_t row = tree * layer->nodes + node;
                const double z = ffl_reference_dot(x, layer->w_in + row * layer->width_in, layer->width_in) +
                                 (double)layer->b_in[row];
                const double g = ffl_activate_double(layer->activation, z);
                const float *w = layer->w_out + row * layer->width_out;
                for (size_t j = 0; j < layer->width_out; j++)
                    y[j] += g * (double)w[j];
                if (logits)
                    *logits++ = z;
                if (path)
                    *path++ = (int32_t)node;
                node = 2 * node + 1 + (z > 0.0);
            }
        }
    }
    return FFL_OK;
}
