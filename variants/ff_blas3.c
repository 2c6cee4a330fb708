/*
 * FF with BLAS level 3: two matrix products and the activation between them, over blocks of tokens and
 * neurons so that the hidden values never exceed 16 MB. This is the dense baseline that a user has; each
 * batch size takes the form that was measured fastest.
 */
#include "kernels/blas.h"
#include "kernels/gelu.h"
#include <string.h>

enum { TOKENS_MAX = 1024, NEURONS_MAX = 4096, FEW_NEURONS = 32 };

/* Below this many multiply-adds OpenBLAS (AVX-512) multiplies without packing its operands first. */
static const size_t small_product = 1000000;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/*
 * Few tokens cannot pay for packing the weights: blocks of 32 neurons stay below the limit and are 1.3 to 3
 * times as fast as one product with OpenBLAS (up to 40 tokens of width 768, one thread), and as fast with
 * BLIS. With more threads the library needs the whole product to share out.
 */
static size_t neuron_block(const ffl_layer *l, size_t tokens, int threads)
{
    const size_t width = l->width_in > l->width_out ? l->width_in : l->width_out;
    const bool few = threads == 1 && tokens * FEW_NEURONS * width <= small_product;
    return smaller(l->neurons, few ? FEW_NEURONS : NEURONS_MAX);
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

/* One token: matrix-vector products; the same arithmetic without a matrix product's overhead. */
static void one_token(const ffl_layer *l, const ffl_blas *blas, const float *x, float *y, float *hidden)
{
    const int width_in = (int)l->width_in, width_out = (int)l->width_out;
    for (size_t first = 0; first < l->neurons; first += NEURONS_MAX) {
        const size_t count = smaller(NEURONS_MAX, l->neurons - first);
        memset(hidden, 0, count * sizeof *hidden); /* beta = 1: not every gemv leaves y unread at beta = 0 */
        blas->sgemv(FFL_ROW_MAJOR, FFL_NO_TRANS, (int)count, width_in, 1.0f, l->w_in + first * l->width_in,
                    width_in, x, 1, 1.0f, hidden, 1);
        activate(l, first, count, hidden, 1);
        blas->sgemv(FFL_ROW_MAJOR, FFL_TRANS, (int)count, width_out, 1.0f, l->w_out + first * l->width_out,
                    width_out, hidden, 1, 1.0f, y, 1);
    }
}

static void block_of_tokens(const ffl_layer *l, const ffl_blas *blas, int threads, const float *x, size_t ldx,
                            float *y, size_t ldy, size_t tokens, float *hidden)
{
    const int width_in = (int)l->width_in, width_out = (int)l->width_out, rows = (int)tokens;
    const size_t block = neuron_block(l, tokens, threads);
    for (size_t first = 0; first < l->neurons; first += block) {
        const int count = (int)smaller(block, l->neurons - first);
        blas->sgemm(FFL_ROW_MAJOR, FFL_NO_TRANS, FFL_TRANS, rows, count, width_in, 1.0f, x, (int)ldx,
                    l->w_in + first * l->width_in, width_in, 0.0f, hidden, count);
        activate(l, first, (size_t)count, hidden, tokens);
        blas->sgemm(FFL_ROW_MAJOR, FFL_NO_TRANS, FFL_NO_TRANS, rows, width_out, count, 1.0f, hidden, count,
                    l->w_out + first * l->width_out, width_out, 1.0f, y, (int)ldy);
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
        if (count == 1)
            one_token(l, plan->state, x, y, exec->scratch);
        else
            block_of_tokens(l, plan->state, exec->threads, x, ldx, y, ldy, count, exec->scratch);
    }
    return FFL_OK;
}

#define ROW(provider, provider_name)                                                                         \
    {                                                                                                        \
        .name = "ff_blas3_" provider_name, .source = "arXiv:2311.10770, level 3",                            \
        .summary = "two matrix products, GELU between them", .operation = FFL_FF, .place = FFL_HOST,         \
        .family = FFL_BLAS3, .isa = FFL_ISA_BASE, .library = provider, .threaded = true,                     \
        .contract = FFL_CONTRACT_F32, .supports = ffl_blas_supports, .prepare = prepare, .run = run          \
    }

FFL_VARIANTS(ff_blas3) = {
    ROW(FFL_OPENBLAS, "openblas"),
    ROW(FFL_BLIS, "blis"),
    ROW(FFL_CBLAS, "cblas"),
    {0},
};
