#include "harness/check/properties.h"
#include "harness/check/bounds.h"
#include "harness/check/findings.h"
#include "harness/check/spelled.h"
#include "harness/check/walk.h"
#include "harness/device/storage.h"
#include "harness/instance.h"
#include "harness/registry.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TOKENS_MIN = 16, UNKNOWN = -1 };

struct ffl_properties {
    ffl_check_case check_case;
    ffl_spelled spelled;
    size_t tokens;
    float *x, *divided; /* [tokens][width_in]; divided by 2^FFL_SCALED_BITS */
};

/* A visited node of one row. */
typedef struct item {
    long node; /* within its tree; UNKNOWN: neither spelled nor implied */
    double z;
    bool open; /* rounding leaves its branch open */
} item;

/* One variant at work. */
typedef struct subject {
    const ffl_properties *all;
    const ffl_variant *variant;
    float *y[FFL_RELATIVES]; /* [tokens][width_out]; NULL: not run */
    /* One row, and its bounds on the spelled (0) and on the mirrored layer (1). */
    item *items; /* [trees][levels] */
    ffl_arithmetic arithmetic[2];
    ffl_sums sums[2];
    double *statistical[2], *worst[2]; /* [width_out] */
    ffl_judgement *out;
} subject;

/* ---- The data ---- */

ffl_status ffl_properties_new(const ffl_check_case *check_case, ffl_properties **out)
{
    const ffl_layer *shape = &check_case->shape;
    *out = NULL;
    ffl_properties *p = ffl_alloc(sizeof *p);
    if (!p)
        return FFL_NO_MEMORY;
    p->check_case = *check_case;
    if (ffl_operation_has_experts(shape->operation)) {
        *out = p;
        return FFL_OK;
    }
    p->tokens = check_case->batch < TOKENS_MIN ? TOKENS_MIN : check_case->batch;
    p->x = ffl_alloc_array(p->tokens * shape->width_in, sizeof *p->x);
    p->divided = ffl_alloc_array(p->tokens * shape->width_in, sizeof *p->divided);
    ffl_status status = p->x && p->divided ? FFL_OK : FFL_NO_MEMORY;
    if (status == FFL_OK)
        status = ffl_spelled_new(shape, ffl_layout_from_seed(check_case->seed).bias, check_case->seed,
                                 &p->spelled);
    if (status != FFL_OK) {
        ffl_properties_free(p);
        return status;
    }
    ffl_spelled_inputs(p->x, p->tokens, shape->width_in, check_case->seed);
    for (size_t i = 0; i < p->tokens * shape->width_in; i++)
        p->divided[i] = ldexpf(p->x[i], -FFL_SCALED_BITS);
    *out = p;
    return FFL_OK;
}

void ffl_properties_free(ffl_properties *p)
{
    if (!p)
        return;
    ffl_spelled_free(&p->spelled);
    ffl_free(p->x);
    ffl_free(p->divided);
    ffl_free(p);
}

/* ---- Findings ---- */

__attribute__((format(printf, 4, 5))) static void tell(subject *s, ffl_way way, ffl_verdict verdict,
                                                       const char *format, ...)
{
    char text[sizeof s->out->reason];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    ffl_outcome_set(s->out, way, FFL_BROKEN);
    ffl_outcome_tell(s->out, verdict, "%s: %.480s", ffl_way_name(way), text);
}

static const ffl_layer *layer_of(const subject *s, ffl_relative relative)
{
    return &s->all->spelled.relative[relative].layer;
}

static const float *row_of(const subject *s, ffl_relative relative, size_t token)
{
    return s->y[relative] + token * layer_of(s, relative)->width_out;
}

/* ---- Running the relatives ---- */

static ffl_status run_relative(subject *s, ffl_relative relative)
{
    const ffl_properties *p = s->all;
    const ffl_layer *l = layer_of(s, relative);
    const size_t batch = p->check_case.batch;
    const ffl_contract *c = &s->variant->contract;
    const size_t ldx = ffl_storage_stride(l->width_in, 0, c), ldy = ffl_storage_stride(l->width_out, 0, c);
    const float *from = relative == FFL_SCALED_IN ? p->divided : p->x;
    ffl_instance instance;
    float *x = ffl_alloc_rows(batch * ldx, sizeof *x), *y = ffl_alloc_rows(batch * ldy, sizeof *y);
    s->y[relative] = ffl_alloc_array(p->tokens * l->width_out, sizeof *y);
    ffl_status status = x && y && s->y[relative] ? FFL_OK : FFL_NO_MEMORY;
    if (status == FFL_OK)
        status = ffl_instance_new(s->variant, &p->spelled.guarded[relative].layer, batch,
                                  s->variant->threaded ? p->check_case.threads : 1, &instance);
    const bool made = status == FFL_OK;
    for (size_t first = 0, tokens; first < p->tokens && status == FFL_OK; first += tokens) {
        tokens = p->tokens - first < batch ? p->tokens - first : batch;
        for (size_t t = 0; t < tokens; t++) {
            memcpy(x + t * ldx, from + (first + t) * l->width_in, l->width_in * sizeof *x);
            for (size_t j = 0; j < l->width_out; j++)
                y[t * ldy + j] = NAN;
        }
        status = ffl_instance_run(&instance, x, ldx, y, ldy, tokens);
        for (size_t t = 0; t < tokens && status == FFL_OK; t++)
            memcpy(s->y[relative] + (first + t) * l->width_out, y + t * ldy, l->width_out * sizeof *y);
    }
    if (made)
        ffl_instance_free(&instance);
    ffl_free(x);
    ffl_free(y);
    return status;
}

/* All of them that exist and that the variant takes. */
static ffl_status run_relatives(subject *s)
{
    for (int r = 0; r < FFL_RELATIVES; r++) {
        const ffl_properties *p = s->all;
        const char *why;
        if (layer_of(s, (ffl_relative)r)->neurons == 0 || (r == FFL_RELABELLED && p->spelled.trees == 1) ||
            !ffl_variant_supports(s->variant, layer_of(s, (ffl_relative)r), p->check_case.batch,
                                  s->variant->threaded ? p->check_case.threads : 1, &why))
            continue;
        FFL_TRY(run_relative(s, (ffl_relative)r));
    }
    return FFL_OK;
}

/* ---- Which nodes a row names ---- */

static item make_item(subject *s, const ffl_input *input, size_t tree, long node)
{
    const ffl_layer *l = layer_of(s, FFL_SPELLED);
    const size_t row = tree * s->all->spelled.nodes + (size_t)node;
    const double z =
        ffl_reference_dot(input->x, l->w_in + row * l->width_in, l->width_in) + (double)l->b_in[row];
    const ffl_node bounded = ffl_node_new(&s->arithmetic[0], input, row, z);
    return (item){.node = node, .z = z, .open = ffl_node_open(&s->arithmetic[0], &bounded, false)};
}

/* May an activation be rounded to zero, so that no name is left? */
static bool may_vanish(const subject *s)
{
    const ffl_contract *c = &s->variant->contract;
    return layer_of(s, FFL_SPELLED)->activation == FFL_RELU || c->hidden == FFL_INT8 ||
           c->hidden == FFL_INT16 || c->hidden == FFL_F16 || c->output == FFL_F16 || c->storage == FFL_F16;
}

/* One level: which node is it, given the one above? False when what is spelled cannot be. */
static bool name_node(subject *s, const ffl_input *input, const float *y, size_t token, size_t tree,
                      size_t level)
{
    const ffl_spelled *p = &s->all->spelled;
    item *items = s->items + tree * p->levels;
    const long spelled = ffl_spelled_node(p, y, tree, level);
    const double above = level ? (double)y[ffl_spelled_column(p, tree, level - 1)] : 0;
    const item *parent = level ? &items[level - 1] : NULL;
    const long left = parent ? 2 * parent->node + 1 : 0;
    const long due = !parent ? 0 : above == 0 ? UNKNOWN : left + (above > 0);
    long node = spelled >= 0 ? spelled : due;
    if (spelled == UNKNOWN && !may_vanish(s)) {
        tell(s, FFL_WAY_PATH, FFL_FAILED, "row %zu, tree %zu, level %zu: no node contributes", token, tree,
             level);
        return false;
    }
    const bool sibling = parent && (node == left || node == left + 1);
    if (spelled < UNKNOWN || (spelled >= 0 && node != due && !(sibling && (above == 0 || parent->open)))) {
        char found[48] = "what contributes is no node";
        if (spelled >= 0)
            snprintf(found, sizeof found, "node %ld contributes", spelled);
        if (due >= 0 && parent)
            tell(s, FFL_WAY_PATH, FFL_FAILED,
                 "row %zu, tree %zu, level %zu: %s, but node %ld is due, for the activation of node %ld is "
                 "%.3g",
                 token, tree, level, found, due, parent->node, above / FFL_SPELLED_PEAK);
        else
            tell(s, FFL_WAY_PATH, FFL_FAILED, "row %zu, tree %zu, level %zu: %s", token, tree, level, found);
        return false;
    }
    if (node >= 0)
        items[level] = make_item(s, input, tree, node);
    return true;
}

static bool name_nodes(subject *s, const ffl_input *input, size_t token)
{
    const ffl_spelled *p = &s->all->spelled;
    const float *y = row_of(s, FFL_SPELLED, token);
    const bool dense = layer_of(s, FFL_SPELLED)->operation == FFL_FF;
    bool good = true;
    for (size_t i = 0; i < p->trees * p->levels; i++)
        s->items[i].node = UNKNOWN;
    for (size_t tree = 0; tree < p->trees; tree++)
        for (size_t level = 0; level < p->levels && good; level++) {
            if (dense)
                s->items[tree] = make_item(s, input, tree, 0);
            else
                good = name_node(s, input, y, token, tree, level);
            if (s->items[tree * p->levels + level].node == UNKNOWN)
                break;
        }
    return good;
}

/* ---- Bounds of the row that was named ---- */

static ffl_node node_of(const subject *s, const ffl_input *input, int mirrored, size_t i)
{
    const ffl_spelled *p = &s->all->spelled;
    const size_t row =
        ffl_spelled_row(p, mirrored ? FFL_MIRRORED : FFL_SPELLED, i / p->levels, (size_t)s->items[i].node);
    return ffl_node_new(&s->arithmetic[mirrored], input, row, mirrored ? -s->items[i].z : s->items[i].z);
}

static void make_bounds(subject *s, const ffl_input *input)
{
    const ffl_spelled *p = &s->all->spelled;
    const size_t items = p->trees * p->levels, width = layer_of(s, FFL_SPELLED)->width_out;
    for (int m = 0; m < 2; m++) {
        double peak = 0;
        ffl_sums_clear(&s->arithmetic[m], &s->sums[m]);
        for (size_t i = 0; i < items; i++)
            if (s->items[i].node != UNKNOWN) {
                const ffl_node node = node_of(s, input, m, i);
                peak = fmax(peak, ffl_node_hidden(&s->arithmetic[m], &node));
            }
        for (size_t i = 0; i < items; i++)
            if (s->items[i].node != UNKNOWN) {
                const ffl_node node = node_of(s, input, m, i);
                ffl_sums_add(&s->arithmetic[m], &node, peak, 1, &s->sums[m]);
            }
        ffl_sums_finish(&s->arithmetic[m], &s->sums[m], s->sums[m].y, NULL, width, s->statistical[m],
                        s->worst[m]);
    }
}

/* ---- Comparing two relatives ---- */

/*
 * Does y of the spelled layer differ from the relative's by factor·z·w_out, in the columns of all nodes down
 * to an open decision? `levels`: of each tree, so many.
 */
static void compare(subject *s, ffl_way way, ffl_relative one, ffl_relative other, size_t token,
                    double factor, size_t levels)
{
    const ffl_spelled *p = &s->all->spelled;
    const ffl_layer *l = layer_of(s, FFL_SPELLED);
    const int m = other == FFL_MIRRORED;
    const float *a = row_of(s, one, token), *b = row_of(s, other, token);
    for (size_t tree = 0; tree < p->trees; tree++)
        for (size_t level = 0; level < levels; level++) {
            const item *at = &s->items[tree * p->levels + level];
            if (at->node == UNKNOWN)
                break;
            const size_t first = ffl_spelled_column(p, tree, level);
            const float *w = l->w_out + (tree * p->nodes + (size_t)at->node) * l->width_out;
            for (size_t c = first; c < first + p->columns; c++) {
                const double moved = (double)a[c] - (double)b[c], due = factor * at->z * (double)w[c];
                const double error = fabs(moved - due), worst = s->worst[0][c] + s->worst[m][c];
                const double bound = s->statistical[0][c] + s->statistical[m][c];
                s->out->error_statistical = fmax(s->out->error_statistical, error / bound);
                s->out->error_worst = fmax(s->out->error_worst, error / worst);
                if (!(error <= bound))
                    tell(s, way, error <= worst ? FFL_SUSPECT : FFL_FAILED,
                         "row %zu, tree %zu, node %ld, element %zu: y moves by %.6g instead of %.6g; the "
                         "bound is %.3g",
                         token, tree, at->node, c, moved, due, bound);
            }
            if (at->open)
                break;
        }
    ffl_outcome_set(s->out, way, FFL_WITHIN_BOUND);
}

static void check_row(subject *s, size_t token)
{
    const ffl_spelled *p = &s->all->spelled;
    const bool dense = layer_of(s, FFL_SPELLED)->operation == FFL_FF;
    const ffl_input input =
        ffl_input_new(&s->arithmetic[0], s->all->x + token * layer_of(s, FFL_SPELLED)->width_in);
    if (!name_nodes(s, &input, token))
        return; /* told */
    s->out->rows++;
    if (!dense)
        ffl_outcome_set(s->out, FFL_WAY_PATH, FFL_WITHIN_BOUND);
    make_bounds(s, &input);
    if (s->y[FFL_MIRRORED])
        compare(s, FFL_WAY_MIRROR, FFL_SPELLED, FFL_MIRRORED, token, 1, p->levels);
    if (s->y[FFL_RELABELLED])
        compare(s, FFL_WAY_RELABELLED, FFL_SPELLED, FFL_RELABELLED, token, 0, p->levels);
    if (s->y[FFL_SILENT] && s->y[FFL_SHORTER])
        compare(s, FFL_WAY_LAST_LEVEL, FFL_SILENT, FFL_SHORTER, token, 0, p->levels);
}

/* Powers of two change no significand: the same bits, shifted. */
static void check_scaled(subject *s, ffl_way way, ffl_relative relative, int bits)
{
    const size_t width = layer_of(s, FFL_SPELLED)->width_out;
    for (size_t i = 0; s->y[relative] && i < s->all->tokens * width; i++) {
        const float due = ldexpf(s->y[FFL_SPELLED][i], bits), got = s->y[relative][i];
        if (!(got == due))
            tell(s, way, FFL_FAILED, "row %zu, element %zu: got %.9g, due are the bits of %.9g", i / width,
                 i % width, (double)got, (double)due);
    }
    if (s->y[relative])
        ffl_outcome_set(s->out, way, FFL_BITWISE);
}

/* ---- One variant ---- */

static ffl_status make_room(subject *s)
{
    const ffl_spelled *p = &s->all->spelled;
    const size_t width = layer_of(s, FFL_SPELLED)->width_out;
    for (int m = 0; m < 2; m++) {
        s->arithmetic[m] = ffl_arithmetic_new(layer_of(s, m ? FFL_MIRRORED : FFL_SPELLED),
                                              &s->variant->contract, FFL_DATA_GENERAL);
        FFL_TRY(ffl_sums_new(&s->arithmetic[m], true, &s->sums[m]));
        s->statistical[m] = ffl_alloc_array(width, sizeof(double));
        s->worst[m] = ffl_alloc_array(width, sizeof(double));
        if (!s->statistical[m] || !s->worst[m])
            return FFL_NO_MEMORY;
    }
    s->items = ffl_alloc_array(p->trees * p->levels, sizeof *s->items);
    return s->items ? FFL_OK : FFL_NO_MEMORY;
}

static void free_room(subject *s)
{
    for (int r = 0; r < FFL_RELATIVES; r++)
        ffl_free(s->y[r]);
    for (int m = 0; m < 2; m++) {
        ffl_sums_free(&s->sums[m]);
        ffl_free(s->statistical[m]);
        ffl_free(s->worst[m]);
    }
    ffl_free(s->items);
}

ffl_status ffl_properties_run(ffl_properties *p, const ffl_variant *variant, ffl_judgement *out)
{
    const char *why = "";
    subject s = {.all = p, .variant = variant, .out = out};
    *out = (ffl_judgement){.flip_margin = NAN, .error_statistical = NAN, .error_worst = NAN};
    if (ffl_operation_has_experts(p->check_case.shape.operation)) {
        out->verdict = FFL_UNSUPPORTED_HERE;
        snprintf(out->reason, sizeof out->reason,
                 "gates add nothing to y, so no output weights can name the ones that decided");
        return FFL_OK;
    }
    if (!ffl_variant_supports(variant, layer_of(&s, FFL_SPELLED), p->check_case.batch,
                              variant->threaded ? p->check_case.threads : 1, &why)) {
        out->verdict = FFL_UNSUPPORTED_HERE;
        snprintf(out->reason, sizeof out->reason, "%s", why);
        return FFL_OK;
    }
    ffl_status status = make_room(&s);
    if (status == FFL_OK && (status = run_relatives(&s)) != FFL_OK && status != FFL_NO_MEMORY) {
        const bool declined = status == FFL_UNSUPPORTED && variant->library == FFL_PROCESS;
        out->verdict = declined ? FFL_UNSUPPORTED_HERE : FFL_FAILED;
        snprintf(out->reason, sizeof out->reason, "%s%s", declined ? "" : "run failed: ", ffl_error());
        free_room(&s);
        return FFL_OK;
    }
    for (size_t t = 0; t < p->tokens && status == FFL_OK; t++)
        check_row(&s, t);
    if (status == FFL_OK) {
        check_scaled(&s, FFL_WAY_SCALED_OUT, FFL_SCALED_OUT, FFL_SCALED_BITS);
        check_scaled(&s, FFL_WAY_SCALED_IN, FFL_SCALED_IN, 0);
    }
    free_room(&s);
    return status;
}
