/*
 * FF with BLAS level 2: two matrix-vector products per token. One token takes the whole matrices at once;
 * more of them go block by block of neurons, so that the weights of a block stay in the cache for all
 * tokens (one call per block and product where the library has a batched form).
 */
#include "kernels/blas.h"
#include "kernels/gelu.h"
#include "kernels/memory.h"
#include <string.h>

typedef struct state {
    ffl_blas *blas;
    size_t block; /* neurons, for more than one token */
} state;

/* 64 tokens of hidden values at a time: enough to use a block of weights, little enough to stay in L1. */
enum { BLOCK_TOKENS = 64, BLOCK_MIN = 16, BLOCK_ALONE_MAX = 65536 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t scratch_floats(const ffl_layer *l, size_t block, size_t tokens)
{
    const size_t alone = smaller(l->neurons, BLOCK_ALONE_MAX),
                 together = block * smaller(tokens, BLOCK_TOKENS);
    return alone > together ? alone : together;
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    /* Both matrices of a block take half of the L2 cache. */
    const size_t l2 = machine->l2_bytes ? machine->l2_bytes : 512 << 10;
    size_t block = l2 / 2 / ((layer->width_in + layer->width_out) * sizeof(float));
    block = smaller(block < BLOCK_MIN ? BLOCK_MIN : block / BLOCK_MIN * BLOCK_MIN, layer->neurons);
    FFL_TRY(ffl_blas_prepare(layer, machine, plan));
    state *s = ffl_alloc(sizeof *s);
    if (!s)
        return FFL_NO_MEMORY;
    *s = (state){plan->state, block};
    plan->state = s;
    plan->scratch_bytes = scratch_floats(layer, block, plan->max_tokens) * sizeof(float);
    return FFL_OK;
}

static void release(ffl_plan *plan)
{
    ffl_free(plan->state);
}

/* y[t] (+)= matrix·x[t] for all tokens. beta is always 1: not every gemv leaves y unread at beta = 0. */
static void multiply(const ffl_blas *blas, int transposed, size_t rows, size_t columns, const float *matrix,
                     const float *x, size_t ldx, float *y, size_t ldy, size_t tokens)
{
    const int m = (int)rows, n = (int)columns;
    if (blas->sgemv_batch_strided && tokens > 1 && ldx <= INT32_MAX && ldy <= INT32_MAX) {
        blas->sgemv_batch_strided(FFL_ROW_MAJOR, transposed, m, n, 1.0f, matrix, n, 0, x, 1, (int)ldx, 1.0f,
                                  y, 1, (int)ldy, (int)tokens);
        return;
    }
    for (size_t t = 0; t < tokens; t++)
        blas->sgemv(FFL_ROW_MAJOR, transposed, m, n, 1.0f, matrix, n, x + t * ldx, 1, 1.0f, y + t * ldy, 1);
}

static void add_neurons(const ffl_layer *l, const ffl_blas *blas, size_t first, size_t count, const float *x,
                        size_t ldx, float *y, size_t ldy, size_t tokens, float *hidden)
{
    for (size_t t = 0; t < tokens; t++)
        memcpy(hidden + t * count, l->b_in + first, count * sizeof *hidden);
    multiply(blas, FFL_NO_TRANS, count, l->width_in, l->w_in + first * l->width_in, x, ldx, hidden, count,
             tokens);
    ffl_activate_array(l->activation, hidden, tokens * count);
    multiply(blas, FFL_TRANS, count, l->width_out, l->w_out + first * l->width_out, hidden, count, y, ldy,
             tokens);
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const state *s = plan->state;
    ffl_blas_use(s->blas, exec->threads);
    for (size_t done = 0; done < tokens;
         done += BLOCK_TOKENS, x += BLOCK_TOKENS * ldx, y += BLOCK_TOKENS * ldy) {
        const size_t count = smaller(BLOCK_TOKENS, tokens - done);
        for (size_t t = 0; t < count; t++) {
            if (l->b_out)
                memcpy(y + t * ldy, l->b_out, l->width_out * sizeof *y);
            else
                memset(y + t * ldy, 0, l->width_out * sizeof *y);
        }
        const size_t block = count == 1 ? BLOCK_ALONE_MAX : s->block;
        for (size_t first = 0; first < l->neurons; first += block)
            add_neurons(l, s->blas, first, smaller(block, l->neurons - first), x, ldx, y, ldy, count,
                        exec->scratch);
    }
    return FFL_OK;
}

#define ROW(provider, provider_name)                                                                         \
    {                                                                                                        \
        .name = "ff_blas2_" provider_name, .source = "arXiv:2311.10770, level 2",                            \
        .summary = "two matrix-vector products per token, weights blocked for the cache",                    \
        .operation = FFL_FF, .place = FFL_HOST, .family = FFL_BLAS2, .isa = FFL_ISA_BASE,                    \
        .library = provider, .threaded = true, .contract = FFL_CONTRACT_F32, .supports = ffl_blas_supports,  \
        .prepare = prepare, .run = run, .release = release                                                   \
    }

FFL_VARIANTS(ff_blas2) = {
    ROW(FFL_OPENBLAS, "openblas"),
    ROW(FFL_BLIS, "blis"),
    ROW(FFL_CBLAS, "cblas"),
    {0},
};
