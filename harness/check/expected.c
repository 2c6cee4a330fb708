#include "harness/check/expected.h"
#include "harness/check/experts.h"
#include "harness/check/walk.h"
#include "kernels/memory.h"
#include "kernels/reference.h"
#include <math.h>
#include <string.h>

/* Rows of a dense layer that share one pass over the weights. */
enum { BLOCK = 4, CHUNK = 256 };

static void store_bounds(const ffl_arithmetic *a, const ffl_sums *sums, size_t index, ffl_expected *out)
{
    double statistical[CHUNK], worst[CHUNK];
    const size_t first = index * out->width;
    for (size_t j = 0; j < out->width; j += CHUNK) {
        const size_t count = out->width - j < CHUNK ? out->width - j : CHUNK;
        const ffl_sums part = {.worst = sums->worst + j,
                               .squares = sums->squares + j,
                               .deviations = sums->deviations + j,
                               .shared = sums->shared ? sums->shared + j : NULL,
                               .flat_worst = sums->flat_worst,
                               .flat_deviations = sums->flat_deviations};
        const float *bias = a->layer->b_out ? a->layer->b_out + j : NULL;
        ffl_sums_finish(a, &part, out->y + first + j, bias, count, statistical, worst);
        for (size_t i = 0; i < count; i++) {
            out->statistical[first + j + i] = ffl_bound_rounded_up(statistical[i]);
            out->worst[first + j + i] = ffl_bound_rounded_up(worst[i]);
        }
    }
}

static ffl_status expect_walks(const ffl_arithmetic *a, const float *x, size_t ldx, const size_t *rows,
                               ffl_expected *out)
{
    ffl_walk walk;
    FFL_TRY(ffl_walk_new(a->layer, a, &walk));
    ffl_status status = FFL_OK;
    for (size_t i = 0; i < out->row_count && status == FFL_OK; i++) {
        status = ffl_walk_row(&walk, x + rows[i] * ldx);
        out->bounded[i] = walk.bounded;
        if (status != FFL_OK || !walk.bounded)
            continue;
        memcpy(out->y + i * out->width, walk.y, out->width * sizeof *out->y);
        store_bounds(a, &walk.sums, i, out);
    }
    ffl_walk_free(&walk);
    return status;
}

static ffl_status expect_experts(const ffl_arithmetic *a, const float *x, size_t ldx, const size_t *rows,
                                 ffl_expected *out)
{
    ffl_experts experts;
    FFL_TRY(ffl_experts_new(a->layer, a, &experts));
    ffl_status status = FFL_OK;
    for (size_t i = 0; i < out->row_count && status == FFL_OK; i++) {
        ffl_outcome outcome = {.y = out->y + i * out->width,
                               .statistical = out->statistical + i * out->width,
                               .worst = out->worst + i * out->width};
        status = ffl_experts_row(&experts, x + rows[i] * ldx);
        out->bounded[i] = experts.bounded;
        if (status != FFL_OK || !experts.bounded)
            continue;
        status = ffl_experts_outcome(&experts, experts.chosen, &outcome);
        out->bounded[i] = !outcome.overflows;
    }
    ffl_experts_free(&experts);
    return status;
}

typedef struct dense {
    ffl_input input[BLOCK];
    double *logits;  /* [BLOCK][neurons] */
    ffl_node *nodes; /* [BLOCK][neurons] */
    ffl_sums sums[BLOCK];
} dense;

static ffl_status expect_block(const ffl_arithmetic *a, const float *x, size_t ldx, const size_t *rows,
                               size_t first, size_t count, dense *d, ffl_expected *out)
{
    const ffl_layer *l = a->layer;
    double peak[BLOCK] = {0};
    for (size_t r = 0; r < count; r++) {
        d->input[r] = ffl_input_new(a, x + rows[first + r] * ldx);
        out->bounded[first + r] = d->input[r].bounded;
        FFL_TRY(ffl_reference(l, d->input[r].x, ldx, 1, out->y + (first + r) * out->width,
                              d->logits + r * l->neurons, NULL));
        ffl_sums_clear(a, &d->sums[r]);
    }
    for (size_t k = 0; k < l->neurons; k++)
        for (size_t r = 0; r < count; r++) {
            const ffl_node node = ffl_node_new(a, &d->input[r], k, d->logits[r * l->neurons + k]);
            d->nodes[r * l->neurons + k] = node;
            out->bounded[first + r] &= !node.overflows;
            peak[r] = fmax(peak[r], ffl_node_hidden(a, &node));
        }
    for (size_t k = 0; k < l->neurons; k++)
        for (size_t r = 0; r < count; r++)
            ffl_sums_add(a, &d->nodes[r * l->neurons + k], peak[r], 1, &d->sums[r]);
    for (size_t r = 0; r < count; r++) {
        out->bounded[first + r] &= !ffl_sums_overflow(a, &d->sums[r]);
        store_bounds(a, &d->sums[r], first + r, out);
    }
    return FFL_OK;
}

static ffl_status expect_dense(const ffl_arithmetic *a, const float *x, size_t ldx, const size_t *rows,
                               ffl_expected *out)
{
    const size_t neurons = a->layer->neurons;
    dense d = {.logits = ffl_alloc_array(neurons, BLOCK * sizeof *d.logits),
               .nodes = ffl_alloc_array(neurons, BLOCK * sizeof *d.nodes)};
    ffl_status status = d.logits && d.nodes ? FFL_OK : FFL_NO_MEMORY;
    for (size_t r = 0; r < BLOCK && status == FFL_OK; r++)
        status = ffl_sums_new(a, false, &d.sums[r]);
    for (size_t i = 0; i < out->row_count && status == FFL_OK; i += BLOCK)
        status = expect_block(a, x, ldx, rows, i, out->row_count - i < BLOCK ? out->row_count - i : BLOCK, &d,
                              out);
    for (size_t r = 0; r < BLOCK; r++)
        ffl_sums_free(&d.sums[r]);
    ffl_free(d.logits);
    ffl_free(d.nodes);
    return status;
}

ffl_status ffl_expected_new(const ffl_arithmetic *arithmetic, const float *x, size_t ldx, const size_t *rows,
                            size_t row_count, ffl_expected *out)
{
    const size_t width = arithmetic->layer->width_out;
    *out = (ffl_expected){.row_count = row_count, .width = width};
    out->bounded = ffl_alloc(row_count);
    out->y = ffl_alloc_array(row_count, width * sizeof *out->y);
    out->statistical = ffl_alloc_array(row_count, width * sizeof *out->statistical);
    out->worst = ffl_alloc_array(row_count, width * sizeof *out->worst);
    ffl_status status = FFL_NO_MEMORY;
    if (out->bounded && out->y && out->statistical && out->worst)
        status = arithmetic->layer->operation == FFL_FFF  ? expect_walks(arithmetic, x, ldx, rows, out)
                 : arithmetic->layer->operation == FFL_FF ? expect_dense(arithmetic, x, ldx, rows, out)
                                                          : expect_experts(arithmetic, x, ldx, rows, out);
    if (status != FFL_OK)
        ffl_expected_free(out);
    return status;
}

void ffl_expected_free(ffl_expected *expected)
{
    ffl_free(expected->bounded);
    ffl_free(expected->y);
    ffl_free(expected->statistical);
    ffl_free(expected->worst);
    *expected = (ffl_expected){0};
}
