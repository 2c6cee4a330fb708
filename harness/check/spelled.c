#include "harness/check/spelled.h"
#include "harness/check/fixtures.h"
#include "harness/workload/random.h"
#include <math.h>
#include <string.h>

enum { DIGIT_BITS = 4, BASE = 1 << DIGIT_BITS };

/* Magnitudes below are raised to these: normal numbers of f16, also those of x after the division. */
static const float least_x = 0x1p-8f, least_w = 0x1p-13f;

static size_t digits_of(const ffl_layer *shape)
{
    return shape->operation == FFL_FF ? 0 : (shape->levels + DIGIT_BITS - 1) / DIGIT_BITS;
}

size_t ffl_spelled_width(const ffl_layer *shape)
{
    if (ffl_operation_has_experts(shape->operation))
        return 1; /* nothing is spelled: properties.c */
    return shape->operation == FFL_FF ? shape->neurons
                                      : shape->trees * shape->levels * (1 + digits_of(shape));
}

size_t ffl_spelled_column(const ffl_spelled *s, size_t tree, size_t level)
{
    return (tree * s->levels + level) * s->columns;
}

static size_t level_of(size_t node)
{
    size_t level = 0;
    for (; node > 0; node = (node - 1) / 2)
        level++;
    return level;
}

/* ---- The spelled layer ---- */

static void spell(const ffl_spelled *s, ffl_weights *w)
{
    const ffl_layer *l = &w->layer;
    for (size_t row = 0; row < l->neurons; row++) {
        const size_t node = row % s->nodes;
        float *out = w->w_out + row * l->width_out + ffl_spelled_column(s, row / s->nodes, level_of(node));
        memset(w->w_out + row * l->width_out, 0, l->width_out * sizeof *out);
        out[0] = (float)FFL_SPELLED_PEAK;
        for (size_t d = 1; d < s->columns; d++)
            out[d] = (float)(node >> DIGIT_BITS * (d - 1) & (BASE - 1));
    }
}

static float away_from_zero(float v, float least)
{
    return fabsf(v) < least ? copysignf(least, v) : v;
}

/* ---- Its relatives, from it ---- */

static void copy_row(const ffl_weights *from, size_t row, ffl_weights *to, size_t at, float sign)
{
    const ffl_layer *l = &from->layer;
    for (size_t i = 0; i < l->width_in; i++)
        to->w_in[at * l->width_in + i] = sign * from->w_in[row * l->width_in + i];
    to->b_in[at] = sign * from->b_in[row];
    memcpy(to->w_out + at * l->width_out, from->w_out + row * l->width_out, l->width_out * sizeof(float));
}

/* The node in the same level that is reached by turning the other way everywhere. */
static size_t mirror_of(size_t node)
{
    const size_t first = ((size_t)1 << level_of(node)) - 1;
    return 2 * first - (node - first);
}

size_t ffl_spelled_row(const ffl_spelled *s, ffl_relative relative, size_t tree, size_t node)
{
    if (relative == FFL_MIRRORED)
        return tree * s->nodes + mirror_of(node);
    if (relative == FFL_RELABELLED)
        return (s->trees - 1 - tree) * s->nodes + node;
    return tree * s->nodes + node;
}

static void scale(float *v, size_t count)
{
    for (size_t i = 0; i < count; i++)
        v[i] = ldexpf(v[i], FFL_SCALED_BITS);
}

/* Of the last level; dense: the last neuron. */
static bool is_last(const ffl_spelled *s, size_t tree, size_t node)
{
    const bool dense = s->relative[FFL_SPELLED].layer.operation == FFL_FF;
    return dense ? tree + 1 == s->trees : level_of(node) + 1 == s->levels;
}

static void derive(const ffl_spelled *s, ffl_relative relative, ffl_weights *to)
{
    const ffl_weights *from = &s->relative[FFL_SPELLED];
    const ffl_layer *l = &from->layer;
    for (size_t tree = 0; tree < s->trees; tree++)
        for (size_t node = 0; node < s->nodes; node++) {
            const bool last = is_last(s, tree, node);
            size_t at = ffl_spelled_row(s, relative, tree, node);
            if (relative == FFL_SHORTER && last)
                continue;
            if (relative == FFL_SHORTER && l->operation == FFL_FFF)
                at = tree * to->layer.nodes + node; /* heap order: the upper levels come first */
            copy_row(from, tree * s->nodes + node, to, at, relative == FFL_MIRRORED ? -1.0f : 1.0f);
            if (relative == FFL_SILENT && last)
                memset(to->w_out + at * l->width_out, 0, l->width_out * sizeof(float));
        }
    if (relative == FFL_SCALED_OUT)
        scale(to->w_out, l->neurons * l->width_out);
    if (relative == FFL_SCALED_IN)
        scale(to->w_in, l->neurons * l->width_in);
}

/* The shape of a relative; neurons 0: there is none. */
static ffl_status shape_of(const ffl_layer *shape, ffl_relative relative, ffl_layer *out)
{
    const bool last = relative == FFL_SILENT || relative == FFL_SHORTER;
    *out = *shape;
    if (last && (shape->operation == FFL_FF ? shape->neurons : shape->levels) < 2) {
        out->neurons = 0;
        return FFL_OK;
    }
    if (relative != FFL_SHORTER)
        return FFL_OK;
    if (shape->operation == FFL_FF)
        FFL_TRY(ffl_layer_ff(shape->width_in, shape->width_out, shape->neurons - 1, out));
    else
        FFL_TRY(ffl_layer_fff(shape->width_in, shape->width_out, shape->trees, shape->levels - 1, out));
    out->activation = shape->activation;
    return FFL_OK;
}

static ffl_status make_relative(const ffl_layer *shape, ffl_relative relative, ffl_spelled *s)
{
    ffl_layer own;
    FFL_TRY(shape_of(shape, relative, &own));
    if (own.neurons == 0)
        return FFL_OK;
    FFL_TRY(ffl_weights_new(&own, false, &s->relative[relative]));
    if (relative != FFL_SPELLED)
        derive(s, relative, &s->relative[relative]);
    return FFL_OK;
}

ffl_status ffl_spelled_new(const ffl_layer *shape, bool bias, uint64_t seed, ffl_spelled *out)
{
    const bool dense = shape->operation == FFL_FF;
    ffl_layer wide = *shape;
    wide.width_out = ffl_spelled_width(shape);
    *out = (ffl_spelled){.trees = dense ? shape->neurons : shape->trees,
                         .levels = dense ? 1 : shape->levels,
                         .nodes = dense ? 1 : shape->nodes,
                         .columns = 1 + digits_of(shape)};
    ffl_status status = make_relative(&wide, FFL_SPELLED, out);
    ffl_weights *w = &out->relative[FFL_SPELLED];
    if (status == FFL_OK) {
        ffl_weights_randomise(w, seed);
        for (size_t i = 0; i < w->layer.neurons * w->layer.width_in; i++)
            w->w_in[i] = away_from_zero(w->w_in[i], least_w);
        for (size_t row = 0; row < w->layer.neurons; row++)
            w->b_in[row] = bias ? away_from_zero(w->b_in[row], least_w) : 0;
        spell(out, w);
    }
    for (int r = FFL_MIRRORED; r < FFL_RELATIVES && status == FFL_OK; r++)
        status = make_relative(&wide, (ffl_relative)r, out);
    for (int r = 0; r < FFL_RELATIVES && status == FFL_OK; r++)
        if (out->relative[r].layer.neurons)
            status = ffl_guarded_layer_new(&out->relative[r].layer, &out->guarded[r]);
    if (status != FFL_OK)
        ffl_spelled_free(out);
    return status;
}

void ffl_spelled_free(ffl_spelled *spelled)
{
    for (int r = 0; r < FFL_RELATIVES; r++) {
        ffl_weights_free(&spelled->relative[r]);
        ffl_guarded_layer_free(&spelled->guarded[r]);
    }
    *spelled = (ffl_spelled){0};
}

void ffl_spelled_inputs(float *x, size_t tokens, size_t width, uint64_t seed)
{
    ffl_random random = ffl_random_new(seed, FFL_STREAM_X);
    for (size_t i = 0; i < tokens * width; i++)
        x[i] = away_from_zero((float)ffl_random_normal(&random), least_x);
}

long ffl_spelled_node(const ffl_spelled *s, const float *y, size_t tree, size_t level)
{
    const float *at = y + ffl_spelled_column(s, tree, level);
    long node = 0;
    if (at[0] == 0)
        return -1;
    for (size_t d = 1; d < s->columns; d++) {
        const double digit = FFL_SPELLED_PEAK * (double)at[d] / (double)at[0];
        if (!(digit > -0.25 && digit < BASE) || fabs(digit - rint(digit)) > 0.25)
            return -2;
        node |= (long)rint(digit) << DIGIT_BITS * (d - 1);
    }
    return node;
}
