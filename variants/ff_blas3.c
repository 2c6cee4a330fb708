/*
 * FF with BLAS level 3: two matrix products and the activation between them, over blocks of tokens and
 * neurons so that the hidden values never exceed 16 MB. This is the dense baseline that a user has; each
 * batch size takes the form that was measured fastest (kernels/blas_products.h).
 */
#include "kernels/blas_products.h"
#include "kernels/gelu.h"
#include "kernels/memory.h"
#include <string.h>

enum { TOKENS_MAX = 1024, NEURONS_MAX = 4096 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    plan->scratch_bytes =
        smaller(plan->max_tokens, TOKENS_MAX) * smaller(layer->neurons, NEURONS_MAX) * sizeof(float);
    return ffl_blas_prepare(layer, machine, plan);
}

/* hidden[t][0..count) = act(hidden + b_in) */
static void activate(const ffl_layer *l, size_t first, size_t count, float *hidden, size_t tokens)
{
    const float *bias = l->b_in + first;
    for (size_t t = 0; t < tokens; t++, hidden += count) {
        for (size_t i = 0; i < count; i++)
            hidden[i] += bias[i];
        ffl_activate_array(l->activation, hidden, count);
    }
}

static void add_neurons(const ffl_layer *l, const ffl_blas *blas, size_t block, const float *x, size_t ldx,
                        float *y, size_t ldy, size_t tokens, float *hidden)
{
    for (size_t first = 0; first < l->neurons; first += block) {
        const size_t count = smaller(block, l->neurons - first);
        ffl_blas_multiply_in(blas, x, ldx, tokens, l->w_in + first * l->width_in, l->width_in, count, hidden,
                             count);
        activate(l, first, count, hidden, tokens);
        ffl_blas_multiply_out(blas, hidden, count, tokens, l->w_out + first * l->width_out, l->width_out,
                              count, y, ldy);
    }
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    ffl_blas_use(plan->state, exec->threads);
    for (size_t done = 0; done < tokens; done += TOKENS_MAX, x += TOKENS_MAX * ldx, y += TOKENS_MAX * ldy) {
        const size_t count = smaller(TOKENS_MAX, tokens - done);
        for (size_t t = 0; t < count; t++) {
            if (l->b_out)
                memcpy(y + t * ldy, l->b_out, l->width_out * sizeof *y);
            else
                memset(y + t * ldy, 0, l->width_out * sizeof *y);
        }
        const size_t width = l->width_in > l->width_out ? l->width_in : l->width_out;
        const size_t block =
            smaller(NEURONS_MAX, ffl_blas_row_block(plan->state, count, width, exec->threads));
        add_neurons(l, plan->state, block, x, ldx, y, ldy, count, exec->scratch);
    }
    return FFL_OK;
}

/* BLIS 0.9 with its haswell kernels (Zen's too) loads, and does not use, up to a row after the last one of
 * an operand: github.com/flame/blis/issues/635 and 821. */
enum { BLIS_OVER_READ = FFL_OVER_READ_MAX };

#define ROW(provider, provider_name, over_read)                                                              \
    {                                                                                                        \
        .name = "ff_blas3_" provider_name, .source = "arXiv:2311.10770, level 3",                            \
        .summary = "two matrix products, GELU between them", .operation = FFL_FF, .place = FFL_HOST,         \
        .family = FFL_BLAS3, .isa = FFL_ISA_BASE, .library = provider, .threaded = true,                     \
        .contract = FFL_CONTRACT_F32_READS(over_read), .supports = ffl_blas_supports, .prepare = prepare,    \
        .run = run                                                                                           \
    }

FFL_VARIANTS(ff_blas3) = {
    ROW(FFL_OPENBLAS, "openblas", 0),
    ROW(FFL_BLIS, "blis", BLIS_OVER_READ),
    ROW(FFL_CBLAS, "cblas", 0),
    {0},
};
