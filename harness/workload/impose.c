#include "harness/workload/impose.h"
#include "harness/workload/leaves.h"
#include "kernels/reference.h"
#include <math.h>

/* A tree of 1x11 at width 768 needs 2 or 3 sweeps; as many decisions as the width some dozens. */
enum { SWEEPS_MAX = 400, SWEEPS_STRICT = 200 };

void ffl_impose_squares(const ffl_layer *layer, double *out)
{
    for (size_t row = 0; row < layer->neurons; row++) {
        const float *w = layer->w_in + row * layer->width_in;
        out[row] = ffl_reference_dot(w, w, layer->width_in);
    }
}

/* Corrects each wrong decision once; returns how many there were. `unit` = margin·‖x‖/√width. */
static size_t sweep(const ffl_layer *layer, const double *squares, const uint32_t *leaf, double unit,
                    float *x)
{
    const size_t depth = layer->levels - 1;
    size_t wrong = 0;
    for (size_t tree = 0; tree < layer->trees; tree++) {
        for (size_t level = 0; level < depth; level++) {
            const size_t row = tree * layer->nodes + ffl_leaf_ancestor(leaf[tree], depth, level);
            const bool right = (leaf[tree] >> (depth - 1 - level)) & 1;
            const float *w = layer->w_in + row * layer->width_in;
            const double z = ffl_reference_dot(x, w, layer->width_in) + (double)layer->b_in[row];
            const double towards = right ? z : -z, margin = unit * sqrt(squares[row]);
            if (towards >= margin)
                continue;
            wrong++;
            /* A little beyond the margin: corrections that end exactly on it never settle. */
            const double wanted = fmax(-towards, 1.5 * margin);
            const float step = (float)((wanted - towards) / squares[row] * (right ? 1 : -1));
            for (size_t i = 0; i < layer->width_in && squares[row] > 0; i++)
                x[i] += step * w[i];
        }
    }
    return wrong;
}

bool ffl_impose_path(const ffl_layer *layer, const double *squares, const uint32_t *leaf, float *x)
{
    const size_t width = layer->width_in;
    const double drawn = sqrt(ffl_reference_dot(x, x, width));
    for (size_t i = 0; i < SWEEPS_MAX; i++) {
        /* Paths between nearly parallel planes: the second half takes any length and a narrower margin. */
        const bool strict = i < SWEEPS_STRICT;
        double length = sqrt(ffl_reference_dot(x, x, width));
        if (strict && fabs(length - drawn) > 0.05 * drawn) {
            const float scale = (float)(drawn / length);
            for (size_t k = 0; k < width; k++)
                x[k] *= scale;
            length = drawn;
        }
        const double margin = strict ? FFL_IMPOSE_MARGIN : FFL_IMPOSE_MARGIN_LAST;
        if (sweep(layer, squares, leaf, margin * length / sqrt((double)width), x) == 0)
            return true;
    }
    return false;
}
