/*
 * A dense layer by two matrix products of the library (cuda/gemm.h): packed weights, chunks of tokens
 * (dense_plan.h), the activation between them as a pass of its own. One variant is one ffl_dense_types.
 */
#ifndef FFL_CUDA_DENSE_CUH
#define FFL_CUDA_DENSE_CUH

#include "cuda/dense_plan.h"
#include "cuda/gemm.h"
#include "cuda/rows.cuh"
#include <stdlib.h>

typedef struct ffl_dense {
    ffl_dense_types types;
    const ffl_layer *layer;
    ffl_dense_sizes sizes;
    ffl_dense_chunk chunk;
    ffl_dense_scratch at;
    ffl_gemm *first, *second;
    void *w_in, *w_out; /* of the product's type, padded; the layer's own where that is the same */
    float *b_in, *b_out;
    void *b_in_fused; /* as the epilogue wants it: of the product's type */
    bool owns_weights;
    size_t packed_bytes;
} ffl_dense;

/* ---- Passes by type ---- */

template <ffl_type FROM, ffl_type TO>
static inline void ffl_dense_convert_as(const void *from, size_t ld_from, size_t rows_from, size_t width_from,
                                        void *to, size_t ld_to, size_t rows_to, size_t width_to,
                                        cudaStream_t stream)
{
    const dim3 grid = ffl_rows_grid(rows_to, width_to);
    const size_t bytes = ffl_gemm_element(FROM);
    if (rows_from == rows_to && width_from == width_to && width_to % FFL_ROWS_LANES == 0 &&
        (uintptr_t)from % 16 == 0 && ld_from * bytes % 16 == 0 && (uintptr_t)to % 16 == 0 &&
        ld_to * ffl_gemm_element(TO) % 16 == 0)
        FFL_LAUNCH((ffl_rows_convert_lanes<FROM, TO>), grid, FFL_ROWS_THREADS, 0, stream, from, ld_from, to,
                   ld_to, rows_to, width_to);
    else
        FFL_LAUNCH((ffl_rows_convert<FROM, TO>), grid, FFL_ROWS_THREADS, 0, stream, from, ld_from, rows_from,
                   width_from, to, ld_to, rows_to, width_to);
}

/* The pairs that occur: f32 into anything, and a type into itself. */
static inline ffl_status ffl_dense_convert(ffl_type from_type, const void *from, size_t ld_from,
                                           size_t rows_from, size_t width_from, ffl_type to_type, void *to,
                                           size_t ld_to, size_t rows_to, size_t width_to, cudaStream_t stream)
{
#define FFL_CONVERT(FROM, TO)                                                                                \
    ffl_dense_convert_as<FROM, TO>(from, ld_from, rows_from, width_from, to, ld_to, rows_to, width_to, stream)
    if (to_type == FFL_TF32)
        FFL_CONVERT(FFL_F32, FFL_TF32);
    else if (to_type == FFL_BF16 && from_type == FFL_F32)
        FFL_CONVERT(FFL_F32, FFL_BF16);
    else if (to_type == FFL_F16 && from_type == FFL_F32)
        FFL_CONVERT(FFL_F32, FFL_F16);
    else if (to_type == FFL_BF16)
        FFL_CONVERT(FFL_BF16, FFL_BF16);
    else if (to_type == FFL_F16)
        FFL_CONVERT(FFL_F16, FFL_F16);
    else
        FFL_CONVERT(FFL_F32, FFL_F32);
#undef FFL_CONVERT
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

static inline ffl_status ffl_dense_activate(const ffl_dense *d, const void *z, void *hidden, size_t rows,
                                            cudaStream_t stream)
{
    const dim3 grid = ffl_rows_grid(rows, d->sizes.neurons);
    const ffl_type product = d->types.product;
    const bool narrow = d->types.logit != FFL_F32;
    const float *bias = narrow ? d->b_in : NULL; /* else the first product has added it */
#define FFL_ACTIVATE(LOGIT, HIDDEN)                                                                          \
    FFL_LAUNCH((ffl_rows_activate<LOGIT, HIDDEN>), grid, FFL_ROWS_THREADS, 0, stream, d->layer->activation,  \
               z, bias, hidden, rows, d->sizes.neurons)
    if (product == FFL_F32)
        FFL_ACTIVATE(FFL_F32, FFL_F32);
    else if (product == FFL_TF32)
        FFL_ACTIVATE(FFL_F32, FFL_TF32);
    else if (product == FFL_BF16 && narrow)
        FFL_ACTIVATE(FFL_BF16, FFL_BF16);
    else if (product == FFL_BF16)
        FFL_ACTIVATE(FFL_F32, FFL_BF16);
    else if (narrow)
        FFL_ACTIVATE(FFL_F16, FFL_F16);
    else
        FFL_ACTIVATE(FFL_F32, FFL_F16);
#undef FFL_ACTIVATE
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

/* ---- Weights ---- */

/* Neurons whose activation is `value` whatever x is, and whose rows of w_out add up to b_out / value. */
template <ffl_type TYPE>
__global__ static void __launch_bounds__(FFL_ROWS_THREADS)
    ffl_dense_bias_neurons(const float *b_out, size_t width_out, float logit, float value, float *b_in,
                           void *w_out, size_t ld, size_t parts)
{
    for (size_t j = threadIdx.x; j < width_out; j += FFL_ROWS_THREADS) {
        float rest = b_out[j] / value;
        for (size_t part = 0; part < parts; part++) {
            ffl_element_store<TYPE>(w_out, part * ld + j, rest);
            rest -= ffl_element_load<TYPE>(w_out, part * ld + j);
        }
    }
    if (threadIdx.x < parts)
        b_in[threadIdx.x] = logit;
}

static inline ffl_status ffl_dense_pack_bias(ffl_dense *d)
{
    const ffl_layer *l = d->layer;
    const ffl_dense_sizes *s = &d->sizes;
    FFL_TRY(ffl_dense_convert(FFL_F32, l->b_in, l->neurons, 1, l->neurons, FFL_F32, d->b_in, s->neurons, 1,
                              s->neurons, NULL));
    if (l->b_out && d->b_out)
        FFL_TRY(ffl_dense_convert(FFL_F32, l->b_out, l->width_out, 1, l->width_out, FFL_F32, d->b_out,
                                  s->width_out, 1, s->width_out, NULL));
    if (s->bias_neurons) {
        /* gelu(1.1444507) = 1. As a bf16 bias of an epilogue that is not exact, but gelu(16) = 16 is. */
        const float value = d->types.fused ? 16.0f : 1.0f;
        const float logit = d->types.fused || l->activation == FFL_RELU ? value
                            : l->activation == FFL_GELU                 ? 1.14445072f
                                                                        : 1.14463031f;
        float *b_in = d->b_in + l->neurons;
        void *rows = (uint16_t *)d->w_out + l->neurons * s->width_out;
        if (d->types.product == FFL_BF16)
            FFL_LAUNCH((ffl_dense_bias_neurons<FFL_BF16>), 1, FFL_ROWS_THREADS, 0, NULL, l->b_out,
                       l->width_out, logit, value, b_in, rows, s->width_out, s->bias_neurons);
        else
            FFL_LAUNCH((ffl_dense_bias_neurons<FFL_F16>), 1, FFL_ROWS_THREADS, 0, NULL, l->b_out,
                       l->width_out, logit, value, b_in, rows, s->width_out, s->bias_neurons);
        FFL_CUDA_TRY(cudaGetLastError());
    }
    if (d->b_in_fused)
        FFL_TRY(ffl_dense_convert(FFL_F32, d->b_in, s->neurons, 1, s->neurons, d->types.product,
                                  d->b_in_fused, s->neurons, 1, s->neurons, NULL));
    return FFL_OK;
}

static inline ffl_status ffl_dense_alloc(ffl_dense *d, size_t bytes, void **out)
{
    FFL_TRY(ffl_device_alloc(bytes, out));
    d->packed_bytes += bytes;
    return FFL_OK;
}

static inline ffl_status ffl_dense_pack(ffl_dense *d)
{
    const ffl_layer *l = d->layer;
    const ffl_dense_sizes *s = &d->sizes;
    const size_t element = ffl_gemm_element(d->types.product);
    FFL_TRY(ffl_dense_alloc(d, s->neurons * sizeof(float), (void **)&d->b_in));
    if (l->b_out && s->bias_neurons == 0)
        FFL_TRY(ffl_dense_alloc(d, s->width_out * sizeof(float), (void **)&d->b_out));
    if (d->types.fused)
        FFL_TRY(ffl_dense_alloc(d, s->neurons * element, &d->b_in_fused));
    d->owns_weights = d->types.product != FFL_F32 || s->neurons != l->neurons ||
                      !ffl_dense_in_place(l->w_in, l->width_in, l->width_in, s->width_in) ||
                      !ffl_dense_in_place(l->w_out, l->width_out, l->width_out, s->width_out);
    if (!d->owns_weights) {
        d->w_in = (void *)l->w_in;
        d->w_out = (void *)l->w_out;
        return ffl_dense_pack_bias(d);
    }
    FFL_TRY(ffl_dense_alloc(d, s->neurons * s->width_in * element, &d->w_in));
    FFL_TRY(ffl_dense_alloc(d, s->neurons * s->width_out * element, &d->w_out));
    FFL_TRY(ffl_dense_convert(FFL_F32, l->w_in, l->width_in, l->neurons, l->width_in, d->types.product,
                              d->w_in, s->width_in, s->neurons, s->width_in, NULL));
    FFL_TRY(ffl_dense_convert(FFL_F32, l->w_out, l->width_out, l->neurons, l->width_out, d->types.product,
                              d->w_out, s->width_out, s->neurons, s->width_out, NULL));
    return ffl_dense_pack_bias(d);
}

/* ---- One evaluation ---- */

typedef struct ffl_dense_call {
    const ffl_dense *dense;
    unsigned char *scratch;
    cudaStream_t stream;
} ffl_dense_call;

static inline void *ffl_dense_hidden(const ffl_dense_call *c, size_t token)
{
    const ffl_dense *d = c->dense;
    const size_t row = d->chunk.whole ? token : 0;
    return c->scratch + d->at.hidden + row * d->sizes.neurons * ffl_gemm_element(d->types.product);
}

/* x of a chunk as the first product wants it: as it is, or padded and rounded in scratch. */
static inline ffl_status ffl_dense_input(const ffl_dense_call *c, const void *x, size_t ldx, size_t tokens,
                                         const void **out)
{
    const ffl_dense *d = c->dense;
    *out = x;
    if (d->types.product == d->types.storage &&
        ffl_dense_in_place(x, ldx, d->layer->width_in, d->sizes.width_in))
        return FFL_OK;
    void *copy = c->scratch + d->at.x;
    *out = copy;
    return ffl_dense_convert(d->types.storage, x, ldx, tokens, d->layer->width_in, d->types.product, copy,
                             d->sizes.width_in, tokens, d->sizes.width_in, c->stream);
}

static inline ffl_status ffl_dense_first(const ffl_dense_call *c, const void *x, size_t ldx, size_t token,
                                         size_t tokens)
{
    const ffl_dense *d = c->dense;
    void *hidden = ffl_dense_hidden(c, token);
    const bool in_place = d->at.logits == d->at.hidden;
    void *z = in_place ? hidden : c->scratch + d->at.logits;
    const void *bias = d->types.fused ? d->b_in_fused : d->b_in;
    FFL_TRY(ffl_dense_input(c, x, ldx, tokens, &x));
    FFL_TRY(ffl_gemm_run(d->first, tokens, x, d->w_in, bias, z, c->scratch + d->at.workspace, c->stream));
    return d->types.fused ? FFL_OK : ffl_dense_activate(d, z, hidden, tokens, c->stream);
}

static inline ffl_status ffl_dense_second(const ffl_dense_call *c, void *y, size_t ldy, size_t token,
                                          size_t tokens)
{
    const ffl_dense *d = c->dense;
    const bool in_place = ffl_dense_in_place(y, ldy, d->layer->width_out, d->sizes.width_out);
    void *out = in_place ? y : c->scratch + d->at.y;
    FFL_TRY(ffl_gemm_run(d->second, tokens, ffl_dense_hidden(c, token), d->w_out, d->b_out, out,
                         c->scratch + d->at.workspace, c->stream));
    if (in_place)
        return FFL_OK;
    return ffl_dense_convert(d->types.storage, out, d->sizes.width_out, tokens, d->layer->width_out,
                             d->types.storage, y, ldy, tokens, d->layer->width_out, c->stream);
}

static inline ffl_status ffl_dense_run(const ffl_dense *d, const ffl_exec *exec, const void *x, size_t ldx,
                                       void *y, size_t ldy, size_t tokens)
{
    const ffl_dense_call c = {d, (unsigned char *)exec->scratch, ffl_cuda_stream(exec->stream)};
    const size_t element = ffl_gemm_element(d->types.storage);
    for (size_t token = 0; token < tokens; token += d->chunk.tokens) {
        const size_t left = tokens - token, count = left < d->chunk.tokens ? left : d->chunk.tokens;
        FFL_TRY(ffl_dense_first(&c, (const unsigned char *)x + token * ldx * element, ldx, token, count));
        if (!d->chunk.whole)
            FFL_TRY(ffl_dense_second(&c, (unsigned char *)y + token * ldy * element, ldy, token, count));
    }
    return d->chunk.whole ? ffl_dense_second(&c, y, ldy, 0, tokens) : FFL_OK;
}

#endif
