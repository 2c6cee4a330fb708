/*
 * FF as a batch of products of one row each, the form of the paper's batched baseline (torch.bmm): every
 * token multiplies the whole of w_in and of w_out as a matrix of its own, so weights are read again for each,
 * out of the L2 cache at best. f32 on CUDA cores by cuBLASLt's strided batches.
 */
#include "cuda/dense.cuh"

struct state {
    ffl_dense dense; /* its packed weights and passes */
};

static bool supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    *why = "more products than the library takes in a batch";
    return tokens <= 65535 && shape->width_in <= INT32_MAX / 2 && shape->width_out <= INT32_MAX / 2 &&
           shape->neurons <= INT32_MAX / 2;
}

static void release(ffl_plan *plan)
{
    state *s = (state *)plan->state;
    ffl_dense *d = &s->dense;
    ffl_gemm_free(d->first);
    ffl_gemm_free(d->second);
    if (d->owns_weights) {
        ffl_device_free(d->w_in);
        ffl_device_free(d->w_out);
    }
    ffl_device_free(d->b_in);
    ffl_device_free(d->b_out);
    free(s);
    plan->state = NULL;
}

static ffl_status plan_products(ffl_dense *d, size_t tokens)
{
    const ffl_dense_sizes *s = &d->sizes;
    const ffl_gemm_shape first = {.m = 1,
                                  .n = s->neurons,
                                  .k = s->width_in,
                                  .transposed_b = true,
                                  .lda = s->width_in,
                                  .ldb = s->width_in,
                                  .ldd = s->neurons,
                                  .batch = tokens,
                                  .step_a = s->width_in,
                                  .step_d = s->neurons,
                                  .epilogue = FFL_GEMM_BIAS};
    const ffl_gemm_shape second = {.m = 1,
                                   .n = s->width_out,
                                   .k = s->neurons,
                                   .lda = s->neurons,
                                   .ldb = s->width_out,
                                   .ldd = s->width_out,
                                   .batch = tokens,
                                   .step_a = s->neurons,
                                   .step_d = s->width_out,
                                   .epilogue = d->b_out ? FFL_GEMM_BIAS : FFL_GEMM_PLAIN};
    FFL_TRY(ffl_gemm_new(&first, &d->first));
    return ffl_gemm_new(&second, &d->second);
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    state *s = (state *)calloc(1, sizeof *s);
    if (!s)
        return ffl_fail(FFL_NO_MEMORY, "no memory for a plan");
    plan->state = s;
    ffl_dense *d = &s->dense;
    const size_t tokens = plan->max_tokens;
    d->layer = layer; /* types: all f32 */
    d->sizes = ffl_dense_sizes_of(layer, &d->types);
    ffl_status status = ffl_dense_pack(d);
    if (status == FFL_OK)
        status = plan_products(d, tokens);
    if (status == FFL_OK)
        status = ffl_device_synchronize();
    if (status != FFL_OK) {
        release(plan);
        return status;
    }
    const size_t one = ffl_gemm_workspace(d->first), two = ffl_gemm_workspace(d->second);
    const ffl_dense_chunk all = {tokens, false};
    d->chunk = all;
    d->at = ffl_dense_scratch_of(&d->sizes, &d->types, &all, tokens, one > two ? one : two);
    plan->scratch_bytes = d->at.total;
    plan->packed_bytes = d->packed_bytes;
    return FFL_OK;
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_dense *d = &((const state *)plan->state)->dense;
    unsigned char *scratch = (unsigned char *)exec->scratch;
    const cudaStream_t stream = ffl_cuda_stream(exec->stream);
    const ffl_dense_call call = {d, scratch, stream};
    const bool in_place = ffl_dense_in_place(y, ldy, d->layer->width_out, d->sizes.width_out);
    void *hidden = scratch + d->at.hidden, *out = in_place ? (void *)y : scratch + d->at.y;
    void *workspace = scratch + d->at.workspace;
    const void *rows;
    FFL_TRY(ffl_dense_input(&call, x, ldx, tokens, &rows));
    FFL_TRY(ffl_gemm_run_some(d->first, 1, tokens, rows, d->w_in, d->b_in, hidden, workspace, stream));
    FFL_TRY(ffl_dense_activate(d, hidden, hidden, tokens, stream));
    FFL_TRY(ffl_gemm_run_some(d->second, 1, tokens, hidden, d->w_out, d->b_out, out, workspace, stream));
    if (in_place)
        return FFL_OK;
    return ffl_dense_convert(FFL_F32, out, d->sizes.width_out, tokens, d->layer->width_out, FFL_F32, y, ldy,
                             tokens, d->layer->width_out, stream);
}

FFL_VARIANTS(ff_bmm_cuda) = {
    {.name = "ff_bmm_cuda",
     .summary = "a batch of matrix-vector products, one per token, by cuBLASLt",
     .source = "arXiv:2311.10770, BMM",
     .operation = FFL_FF,
     .place = FFL_CUDA,
     .family = FFL_BLAS2,
     .library = FFL_CUBLAS,
     .contract = FFL_CONTRACT_F32,
     .supports = supports,
     .prepare = prepare,
     .run = run,
     .release = release},
    {},
};
