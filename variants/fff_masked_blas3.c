/*
 * FFF as it is trained: all logits by one matrix product, then the paths, then a second product over the
 * activations with everything off the path set to zero. Does the dense arithmetic; nothing but the path is
 * activated, and what is off it is replaced, never multiplied by zero.
 */
#include "kernels/blas_products.h"
#include "kernels/gelu.h"
#include "kernels/memory.h"
#include <string.h>

enum { TOKENS_MAX = 1024, HIDDEN_MAX = 4 << 20 }; /* floats: 16 MB */

static size_t block_tokens(const ffl_layer *l, size_t tokens)
{
    const size_t fit = HIDDEN_MAX / l->neurons ? HIDDEN_MAX / l->neurons : 1;
    const size_t most = fit < TOKENS_MAX ? fit : TOKENS_MAX;
    return tokens < most ? tokens : most;
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    /* One more row holds the path of a token while the rest of its row is cleared. */
    plan->scratch_bytes =
        (block_tokens(layer, plan->max_tokens) * layer->neurons + layer->trees * layer->levels) *
        sizeof(float);
    return ffl_blas_prepare(layer, machine, plan);
}

/* Walks one token's trees over its logits and leaves the activations of its path, zeros elsewhere. */
static void select_path(const ffl_layer *l, float *hidden, float *kept)
{
    size_t used = 0;
    for (size_t tree = 0; tree < l->trees; tree++) {
        size_t node = 0;
        for (size_t level = 0; level < l->levels; level++) {
            const size_t row = tree * l->nodes + node;
            const float z = hidden[row] + l->b_in[row];
            kept[used++] = z;
            node = 2 * node + 1 + (z > 0.0f);
        }
    }
    memset(hidden, 0, l->neurons * sizeof *hidden);
    used = 0;
    for (size_t tree = 0; tree < l->trees; tree++) {
        size_t node = 0;
        for (size_t level = 0; level < l->levels; level++) {
            const float z = kept[used++];
            hidden[tree * l->nodes + node] = ffl_activate(l->activation, z);
            node = 2 * node + 1 + (z > 0.0f);
        }
    }
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const ffl_blas *blas = plan->state;
    const size_t block = block_tokens(l, plan->max_tokens);
    const size_t width = l->width_in > l->width_out ? l->width_in : l->width_out;
    float *hidden = exec->scratch, *kept = hidden + block * l->neurons;
    ffl_blas_use(plan->state, exec->threads);
    for (size_t done = 0; done < tokens; done += block, x += block * ldx, y += block * ldy) {
        const size_t count = tokens - done < block ? tokens - done : block;
        const size_t most = ffl_blas_row_block(blas, count, width, exec->threads);
        const size_t rows = most < l->neurons ? most : l->neurons;
        for (size_t first = 0, n; first < l->neurons; first += n) {
            n = l->neurons - first < rows ? l->neurons - first : rows;
            ffl_blas_multiply_in(blas, x, ldx, count, l->w_in + first * l->width_in, l->width_in, n,
                                 hidden + first, l->neurons);
        }
        for (size_t t = 0; t < count; t++) {
            select_path(l, hidden + t * l->neurons, kept);
            memset(y + t * ldy, 0, l->width_out * sizeof *y);
        }
        for (size_t first = 0, n; first < l->neurons; first += n) {
            n = l->neurons - first < rows ? l->neurons - first : rows;
            ffl_blas_multiply_out(blas, hidden + first, l->neurons, count, l->w_out + first * l->width_out,
                                  l->width_out, n, y, ldy);
        }
    }
    return FFL_OK;
}

/* BLIS 0.9 with its haswell kernels (Zen's too) loads, and does not use, up to a row after the last one of
 * an operand: github.com/flame/blis/issues/635 and 821. */
enum { BLIS_OVER_READ = FFL_OVER_READ_MAX };

#define ROW(provider, provider_name, over_read)                                                              \
    {                                                                                                        \
        .name = "fff_masked_blas3_" provider_name, .source = "arXiv:2311.10770, training form",              \
        .summary = "all logits, select the path, second product over zeros", .operation = FFL_FFF,           \
        .place = FFL_HOST, .family = FFL_BLAS3, .isa = FFL_ISA_BASE, .library = provider, .threaded = true,  \
        .contract = FFL_CONTRACT_F32_READS(over_read), .supports = ffl_blas_supports, .prepare = prepare,    \
        .run = run                                                                                           \
    }

FFL_VARIANTS(fff_masked_blas3) = {
    ROW(FFL_OPENBLAS, "openblas", 0),
    ROW(FFL_BLIS, "blis", BLIS_OVER_READ),
    ROW(FFL_CBLAS, "cblas", 0),
    {0},
};
