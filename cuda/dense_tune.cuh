/* prepare of a dense layer by library products: plans them for a chunk, and finds the fastest chunk by
 * trying. */
#ifndef FFL_CUDA_DENSE_TUNE_CUH
#define FFL_CUDA_DENSE_TUNE_CUH

#include "cuda/dense.cuh"

static inline void ffl_dense_unplan(ffl_dense *d)
{
    ffl_gemm_free(d->first);
    ffl_gemm_free(d->second);
    d->first = d->second = NULL;
}

/* Products and scratch for a chunk; both products are also planned for the chunk that remains at the end. */
static inline ffl_status ffl_dense_plan_chunk(ffl_dense *d, ffl_dense_chunk chunk, size_t max_tokens)
{
    const ffl_dense_sizes *s = &d->sizes;
    const ffl_dense_types *t = &d->types;
    const ffl_gemm_shape first = {.m = chunk.tokens,
                                  .n = s->neurons,
                                  .k = s->width_in,
                                  .transposed_b = true,
                                  .lda = s->width_in,
                                  .ldb = s->width_in,
                                  .ldd = s->neurons,
                                  .type = t->product,
                                  .output = t->fused ? t->product : t->logit,
                                  .epilogue = t->fused              ? FFL_GEMM_BIAS_GELU_TANH
                                              : t->logit == FFL_F32 ? FFL_GEMM_BIAS
                                                                    : FFL_GEMM_PLAIN};
    const ffl_gemm_shape second = {.m = chunk.whole ? max_tokens : chunk.tokens,
                                   .n = s->width_out,
                                   .k = s->neurons,
                                   .lda = s->neurons,
                                   .ldb = s->width_out,
                                   .ldd = s->width_out,
                                   .type = t->product,
                                   .output = t->storage,
                                   .epilogue = d->b_out ? FFL_GEMM_BIAS : FFL_GEMM_PLAIN};
    const size_t rest = max_tokens % chunk.tokens;
    ffl_dense_unplan(d);
    FFL_TRY(ffl_gemm_new(&first, &d->first));
    FFL_TRY(ffl_gemm_new(&second, &d->second));
    if (rest)
        FFL_TRY(ffl_gemm_plan_rows(d->first, rest));
    if (rest && !chunk.whole)
        FFL_TRY(ffl_gemm_plan_rows(d->second, rest));
    const size_t one = ffl_gemm_workspace(d->first), two = ffl_gemm_workspace(d->second);
    d->chunk = chunk;
    d->at = ffl_dense_scratch_of(s, t, &chunk, max_tokens, one > two ? one : two);
    return FFL_OK;
}

/* Rows to time on: random, because products of zeros take less power and run faster. */
template <ffl_type TYPE>
__global__ static void __launch_bounds__(FFL_ROWS_THREADS) ffl_dense_fill(void *x, size_t count)
{
    const size_t step = (size_t)gridDim.x * FFL_ROWS_THREADS;
    for (size_t i = (size_t)blockIdx.x * FFL_ROWS_THREADS + threadIdx.x; i < count; i += step) {
        const uint32_t mixed = ((uint32_t)i ^ (uint32_t)i >> 15) * 2654435761u;
        ffl_element_store<TYPE>(x, i, (float)(int32_t)(mixed ^ mixed >> 13) * 0x1p-31f);
    }
}

static inline ffl_status ffl_dense_random(ffl_type type, void *x, size_t count)
{
    if (type == FFL_BF16)
        FFL_LAUNCH((ffl_dense_fill<FFL_BF16>), 264, FFL_ROWS_THREADS, 0, NULL, x, count);
    else if (type == FFL_F16)
        FFL_LAUNCH((ffl_dense_fill<FFL_F16>), 264, FFL_ROWS_THREADS, 0, NULL, x, count);
    else
        FFL_LAUNCH((ffl_dense_fill<FFL_F32>), 264, FFL_ROWS_THREADS, 0, NULL, x, count);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

typedef struct ffl_dense_trial {
    void *x, *y;
    ffl_exec exec;
    cudaEvent_t start, end;
} ffl_dense_trial;

static inline void ffl_dense_trial_free(ffl_dense_trial *t)
{
    if (t->end)
        cudaEventDestroy(t->end);
    if (t->start)
        cudaEventDestroy(t->start);
    ffl_device_free(t->exec.scratch);
    ffl_device_free(t->y);
    ffl_device_free(t->x);
}

static inline ffl_status ffl_dense_trial_new(const ffl_dense *d, size_t tokens, ffl_dense_trial *t)
{
    const size_t element = ffl_gemm_element(d->types.storage);
    FFL_TRY(ffl_device_alloc(tokens * d->layer->width_in * element, &t->x));
    FFL_TRY(ffl_device_alloc(tokens * d->layer->width_out * element, &t->y));
    FFL_CUDA_TRY(cudaEventCreate(&t->start));
    FFL_CUDA_TRY(cudaEventCreate(&t->end));
    return ffl_dense_random(d->types.storage, t->x, tokens * d->layer->width_in);
}

static inline ffl_status ffl_dense_once(const ffl_dense *d, const ffl_dense_trial *t, size_t tokens,
                                        float *ms)
{
    FFL_CUDA_TRY(cudaEventRecord(t->start, NULL));
    FFL_TRY(ffl_dense_run(d, &t->exec, t->x, d->layer->width_in, t->y, d->layer->width_out, tokens));
    FFL_CUDA_TRY(cudaEventRecord(t->end, NULL));
    FFL_CUDA_TRY(cudaEventSynchronize(t->end));
    FFL_CUDA_TRY(cudaEventElapsedTime(ms, t->start, t->end));
    return FFL_OK;
}

/* Plans a chunk, times its products' algorithms on the layer's own data, then the whole of it: the best of
 * three. */
static inline ffl_status ffl_dense_time(ffl_dense *d, ffl_dense_trial *t, ffl_dense_chunk chunk,
                                        size_t tokens, float *ms)
{
    double us;
    FFL_TRY(ffl_dense_plan_chunk(d, chunk, tokens));
    ffl_device_free(t->exec.scratch);
    t->exec.scratch = NULL;
    FFL_TRY(ffl_device_alloc(d->at.total, &t->exec.scratch));
    FFL_TRY(ffl_dense_once(d, t, tokens,
                           ms)); /* x, z and hidden values are in scratch now, where they are copied */
    unsigned char *scratch = (unsigned char *)t->exec.scratch;
    void *workspace = scratch + d->at.workspace;
    const ffl_dense_call call = {d, scratch, NULL};
    const void *x;
    FFL_TRY(ffl_dense_input(&call, t->x, d->layer->width_in, chunk.tokens, &x));
    FFL_TRY(ffl_gemm_tune(d->second, chunk.whole ? tokens : chunk.tokens, scratch + d->at.hidden, d->w_out,
                          d->b_out, scratch + d->at.y, workspace, &us));
    FFL_TRY(ffl_gemm_tune(d->first, chunk.tokens, x, d->w_in, d->types.fused ? d->b_in_fused : d->b_in,
                          scratch + d->at.logits, workspace, &us));
    *ms = 1e30f;
    for (int round = 0; round < 3; round++) {
        float once;
        FFL_TRY(ffl_dense_once(d, t, tokens, &once));
        *ms = once < *ms ? once : *ms;
    }
    return FFL_OK;
}

#endif
