/*
 * FF by two matrix products of cuBLASLt per chunk of tokens (dense.cuh), in f32 on CUDA cores, and in tf32,
 * bf16 and f16 on tensor cores: "linear, GELU, linear", the paper's native fused baseline. GELU is exact and
 * a pass of its own, over activations that stay in the L2 cache, because the library's epilogue is the tanh
 * form; the row that uses that says so, and is a class of its own.
 *
 * The z16 rows store z in 16 bits before the activation, as frameworks do: half the bytes of the pass.
 */
#include "cuda/dense_tune.cuh"

static bool supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    *why = "a size exceeds the library's 32-bit integers";
    return shape->width_in <= INT32_MAX / 2 && shape->width_out <= INT32_MAX / 2 &&
           shape->neurons <= INT32_MAX / 2 && tokens <= INT32_MAX / 2;
}

static bool supports_gelu(const ffl_layer *shape, size_t tokens, const char **why)
{
    if (!supports(shape, tokens, why))
        return false;
    *why = "the library's epilogue is GELU";
    return shape->activation != FFL_RELU;
}

static void release(ffl_plan *plan)
{
    ffl_dense *d = (ffl_dense *)plan->state;
    ffl_dense_unplan(d);
    if (d->owns_weights) {
        ffl_device_free(d->w_in);
        ffl_device_free(d->w_out);
    }
    ffl_device_free(d->b_in);
    ffl_device_free(d->b_out);
    ffl_device_free(d->b_in_fused);
    free(d);
    plan->state = NULL;
}

/* Leaves the fastest of the chunks planned in d; one that fails is passed over while another works. */
static ffl_status time_chunks(ffl_dense *d, ffl_dense_trial *trial, const ffl_dense_chunk *chunks,
                              size_t count, size_t tokens)
{
    ffl_dense best = {};
    float least = 1e30f;
    ffl_status status = FFL_OK;
    for (size_t i = 0; i < count; i++) {
        float ms;
        const ffl_status tried = ffl_dense_time(d, trial, chunks[i], tokens, &ms);
        if (tried == FFL_OK && ms < least) {
            least = ms;
            ffl_dense_unplan(&best);
            best = *d;
            d->first = d->second = NULL;
        }
        status = tried == FFL_OK ? status : tried;
        ffl_dense_unplan(d);
    }
    if (!best.first)
        return status;
    *d = best;
    return FFL_OK;
}

static ffl_status choose_chunk(ffl_dense *d, size_t tokens)
{
    ffl_dense_chunk chunks[FFL_CHUNKS_MOST];
    cudaDeviceProp device;
    FFL_CUDA_TRY(cudaGetDeviceProperties(&device, 0));
    const size_t count = ffl_dense_chunks(&d->sizes, &d->types, tokens, (size_t)device.l2CacheSize,
                                          (size_t)device.multiProcessorCount, chunks);
#ifdef FFL_CUDA_EMULATED
    /* Its times say nothing: each shape takes one of the ways, so that checks see them all. */
    return ffl_dense_plan_chunk(d, chunks[(d->sizes.neurons / 8 + tokens) % count], tokens);
#else
    ffl_dense_trial trial = {};
    ffl_status status = ffl_dense_trial_new(d, tokens, &trial);
    if (status == FFL_OK)
        status = time_chunks(d, &trial, chunks, count, tokens);
    ffl_dense_trial_free(&trial);
    return status;
#endif
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    ffl_dense *d = (ffl_dense *)calloc(1, sizeof *d);
    if (!d)
        return ffl_fail(FFL_NO_MEMORY, "no memory for a plan");
    plan->state = d;
    const ffl_contract *c = &plan->variant->contract;
    d->types.product = c->weights;
    d->types.logit = c->logit;
    d->types.storage = c->storage;
    d->types.fused = c->activation_error > FFL_ACTIVATION_EXACT;
    d->layer = layer;
    d->sizes = ffl_dense_sizes_of(layer, &d->types);
    ffl_status status = ffl_dense_pack(d);
    if (status == FFL_OK)
        status = choose_chunk(d, plan->max_tokens);
    if (status == FFL_OK)
        status = ffl_device_synchronize();
    if (status != FFL_OK) {
        release(plan);
        return status;
    }
    plan->scratch_bytes = d->at.total;
    plan->packed_bytes = d->packed_bytes;
    return FFL_OK;
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    return ffl_dense_run((const ffl_dense *)plan->state, exec, x, ldx, y, ldy, tokens);
}

#define CONTRACT(type, logit_, storage_, alignment_, error)                                                  \
    {                                                                                                        \
        .input = type, .weights = type, .logit = logit_, .hidden = type, .accumulator = FFL_F32,             \
        .output = storage_, .storage = storage_, .reassociates = true, .activation_error = error,            \
        .alignment = alignment_, .invariances = FFL_SAME_RUN_TO_RUN                                          \
    }
#define ROW(name_, summary_, supports_, ...)                                                                 \
    {                                                                                                        \
        .name = name_, .summary = summary_, .source = "arXiv:2311.10770, native fused", .operation = FFL_FF, \
        .place = FFL_CUDA, .family = FFL_BLAS3, .library = FFL_CUBLAS, .contract = CONTRACT(__VA_ARGS__),    \
        .supports = supports_, .prepare = prepare, .run = run, .release = release                            \
    }

FFL_VARIANTS(ff_cublas_cuda) = {
    ROW("ff_cublas_cuda", "two f32 products of cuBLASLt on CUDA cores, GELU between them", supports, FFL_F32,
        FFL_F32, FFL_F32, 4, 4 * FFL_UNIT_F32),
    ROW("ff_cublaslt_tf32_cuda", "two tf32 products, operands rounded first, GELU in the L2 cache", supports,
        FFL_TF32, FFL_F32, FFL_F32, 4, FFL_QUICK_ACTIVATION_ERROR),
    ROW("ff_cublaslt_bf16_cuda", "two bf16 products, z in f32, GELU in the L2 cache", supports, FFL_BF16,
        FFL_F32, FFL_BF16, 2, FFL_QUICK_ACTIVATION_ERROR),
    ROW("ff_cublaslt_bf16_z16_cuda", "two bf16 products, z in bf16, GELU in place in the L2 cache", supports,
        FFL_BF16, FFL_BF16, FFL_BF16, 2, FFL_QUICK_ACTIVATION_ERROR),
    ROW("ff_cublaslt_bf16_tanh_cuda", "two bf16 products, GELU's tanh form in the first one's epilogue",
        supports_gelu, FFL_BF16, FFL_BF16, FFL_BF16, 2, 0x1p-11),
    ROW("ff_cublaslt_f16_cuda", "two f16 products, z in f32, GELU in the L2 cache", supports, FFL_F16,
        FFL_F32, FFL_F16, 2, FFL_QUICK_ACTIVATION_ERROR),
    ROW("ff_cublaslt_f16_z16_cuda", "two f16 products, z in f16, GELU in place in the L2 cache", supports,
        FFL_F16, FFL_F16, FFL_F16, 2, FFL_QUICK_ACTIVATION_ERROR),
    {},
};
