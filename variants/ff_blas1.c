/*
 * FF with BLAS level 1: one dot product and one axpy per neuron and token. Token by token all weights pass
 * once per token, the published form; neuron by neuron a weight row serves a block of tokens whose inputs
 * and outputs stay in the cache.
 */
#include "kernels/blas.h"
#include "kernels/gelu.h"
#include <string.h>

/* 64 rows of x and y at width 768 are 393 KB: they stay in an L2 cache. */
enum { BLOCK_TOKENS = 64 };

static void start(const ffl_layer *l, float *y)
{
    if (l->b_out)
        memcpy(y, l->b_out, l->width_out * sizeof *y);
    else
        memset(y, 0, l->width_out * sizeof *y);
}

static void add_neuron(const ffl_layer *l, const ffl_blas *blas, size_t row, const float *x, float *y)
{
    const float z = blas->sdot((int)l->width_in, x, 1, l->w_in + row * l->width_in, 1) + l->b_in[row];
    blas->saxpy((int)l->width_out, ffl_activate(l->activation, z), l->w_out + row * l->width_out, 1, y, 1);
}

static ffl_status run_by_token(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx,
                               float *y, size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    (void)exec;
    ffl_blas_use(plan->state, 1);
    for (size_t t = 0; t < tokens; t++, x += ldx, y += ldy) {
        start(l, y);
        for (size_t row = 0; row < l->neurons; row++)
            add_neuron(l, plan->state, row, x, y);
    }
    return FFL_OK;
}

static ffl_status run_by_neuron(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx,
                                float *y, size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    (void)exec;
    ffl_blas_use(plan->state, 1);
    for (size_t first = 0; first < tokens; first += BLOCK_TOKENS) {
        const size_t end = tokens - first < BLOCK_TOKENS ? tokens : first + BLOCK_TOKENS;
        for (size_t t = first; t < end; t++)
            start(l, y + t * ldy);
        for (size_t row = 0; row < l->neurons; row++)
            for (size_t t = first; t < end; t++)
                add_neuron(l, plan->state, row, x + t * ldx, y + t * ldy);
    }
    return FFL_OK;
}

#define ROW(variant_name, text, function, provider)                                                          \
    {                                                                                                        \
        .name = variant_name, .source = "arXiv:2311.10770, level 1", .summary = text, .operation = FFL_FF,   \
        .place = FFL_HOST, .family = FFL_BLAS1, .isa = FFL_ISA_BASE, .library = provider,                    \
        .contract = FFL_CONTRACT_F32, .supports = ffl_blas_supports, .prepare = ffl_blas_prepare,            \
        .run = function                                                                                      \
    }
#define BY_TOKEN(provider, name)                                                                             \
    ROW("ff_blas1_" name, "BLAS dot and axpy per neuron, token by token", run_by_token, provider)
#define BY_NEURON(provider, name)                                                                            \
    ROW("ff_neurons_blas1_" name, "BLAS dot and axpy per token, neuron by neuron", run_by_neuron, provider)

FFL_VARIANTS(ff_blas1) = {
    BY_TOKEN(FFL_OPENBLAS, "openblas"),
    BY_TOKEN(FFL_BLIS, "blis"),
    BY_TOKEN(FFL_CBLAS, "cblas"),
    BY_NEURON(FFL_OPENBLAS, "openblas"),
    BY_NEURON(FFL_BLIS, "blis"),
    BY_NEURON(FFL_CBLAS, "cblas"),
    {0},
};
