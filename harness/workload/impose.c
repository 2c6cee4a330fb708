#include "harness/workload/impose.h"
#include "harness/workload/leaves.h"
#include "harness/workload/quick_logit.h"
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

/* z·side of one decision, side = 1 or -1; in float unless that leaves the comparison with `margin` in doubt.
 */
static double logit_towards(const ffl_layer *layer, size_t row, const float *x, double length, double square,
                            double side, double margin)
{
    const ffl_quick_logit quick = ffl_logit_quickly(layer, row, x, length * sqrt(square));
    if (fabs(side * quick.z - margin) > quick.doubt && isfinite(quick.z))
        return side * quick.z;
    const float *w = layer->w_in + row * layer->width_in;
    return side * (ffl_reference_dot(x, w, layer->width_in) + (double)layer->b_in[row]);
}

/* Corrects each wrong decision once; returns how many there were. */
static size_t sweep(const ffl_layer *layer, const double *squares, const uint32_t *leaf, double length,
                    double relative_margin, float *x)
{
    const size_t depth = layer->levels - 1;
    size_t wrong = 0;
    for (size_t tree = 0; tree < layer->trees; tree++) {
        for (size_t level = 0; level < depth; level++) {
            const size_t row = tree * layer->nodes + ffl_leaf_ancestor(leaf[tree], depth, level);
            const double side = (leaf[tree] >> (depth - 1 - level)) & 1 ? 1 : -1;
            const double margin = relative_margin * length * sqrt(squares[row] / (double)layer->width_in);
            const double towards = logit_towards(layer, row, x, length, squares[row], side, margin);
            if (towards >= margin)
                continue;
            wrong++;
            /* A little beyond the margin: corrections that end exactly on it never settle. */
            const double wanted = fmax(-towards, 1.5 * margin);
            const float *w = layer->w_in + row * layer->width_in;
            const float step = (float)(side * (wanted - towards) / squares[row]);
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
        if (sweep(layer, squares, leaf, length, margin, x) == 0)
            return true;
    }
    return false;
}
