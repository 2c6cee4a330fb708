/*
 * cuda/gemm.h on cuBLASLt. The library's matrices are column-major: seen so, every row-major matrix is its
 * own transpose, and d' = b'·a' is computed. The features of a layer are then the rows of d', which is what
 * its bias epilogue adds along.
 */
#include "cuda/device.cuh"
#include "cuda/gemm.h"
#if __has_include(<cublasLt.h>)
#include "cuda/cublas.cuh"
#include <pthread.h>
#include <stdlib.h>

enum { CANDIDATES = 8, PLANNED_MOST = 4, ROUNDS = 5 };

/* What NVIDIA advises for Hopper: enough for every split over k that its heuristics propose. */
static const size_t workspace_most = (size_t)32 << 20;

static const float long_ms = 4;

typedef struct planned {
    size_t rows, workspace;
    cublasLtMatmulAlgo_t algorithm;
} planned;

struct ffl_gemm {
    ffl_gemm_shape shape;
    planned plans[PLANNED_MOST];
    size_t count;
    size_t workspace; /* enough for every candidate seen */
};

/* On the stack of whoever runs it: nothing is allocated. */
typedef struct description {
    cublasLtMatmulDescOpaque_t matmul;
    cublasLtMatrixLayoutOpaque_t first, second, result; /* b', a', d' */
} description;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static cublasLtHandle_t handle;
static cublasStatus_t handle_status;

static void create_once(void)
{
    handle_status = ffl_cublas_table()->cublasLtCreate(&handle);
}

static ffl_status fail(cublasStatus_t status, const char *call)
{
    const ffl_cublas_functions *f = ffl_cublas_table();
    return ffl_fail(status == CUBLAS_STATUS_NOT_SUPPORTED ? FFL_UNSUPPORTED : FFL_DEVICE, "%s: %s: %s",
                    ffl_cublas_open()->version, call, f->cublasLtGetStatusString(status));
}

#define CUBLAS_TRY(call)                                                                                     \
    do {                                                                                                     \
        const cublasStatus_t status_ = f->call;                                                              \
        if (status_ != CUBLAS_STATUS_SUCCESS)                                                                \
            return fail(status_, #call);                                                                     \
    } while (0)

static cudaDataType_t data_type(ffl_type type)
{
    return type == FFL_BF16 ? CUDA_R_16BF : type == FFL_F16 ? CUDA_R_16F : CUDA_R_32F;
}

/* A row-major matrix, rows x columns, as the library sees it. */
static ffl_status describe_matrix(cublasLtMatrixLayoutOpaque_t *out, ffl_type type, size_t rows,
                                  size_t columns, size_t ld, size_t batch, size_t step)
{
    const ffl_cublas_functions *f = ffl_cublas_table();
    const int32_t count = batch > 1 ? (int32_t)batch : 1;
    const int64_t stride = (int64_t)step;
    CUBLAS_TRY(
        cublasLtMatrixLayoutInit_internal(out, sizeof *out, data_type(type), columns, rows, (int64_t)ld));
    CUBLAS_TRY(
        cublasLtMatrixLayoutSetAttribute(out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count));
    CUBLAS_TRY(cublasLtMatrixLayoutSetAttribute(out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride,
                                                sizeof stride));
    return FFL_OK;
}

static ffl_status describe_epilogue(description *d, const ffl_gemm_shape *s, const void *bias)
{
    const ffl_cublas_functions *f = ffl_cublas_table();
    const cublasLtEpilogue_t epilogue =
        s->epilogue == FFL_GEMM_BIAS ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_GELU_BIAS;
    const cudaDataType_t type = data_type(s->output);
    const int64_t step = (int64_t)s->step_bias;
    CUBLAS_TRY(cublasLtMatmulDescSetAttribute(&d->matmul, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                              sizeof epilogue));
    CUBLAS_TRY(
        cublasLtMatmulDescSetAttribute(&d->matmul, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
    CUBLAS_TRY(
        cublasLtMatmulDescSetAttribute(&d->matmul, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type));
    if (s->batch > 1)
        CUBLAS_TRY(cublasLtMatmulDescSetAttribute(&d->matmul, CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, &step,
                                                  sizeof step));
    return FFL_OK;
}

static ffl_status describe(const ffl_gemm_shape *s, size_t rows, const void *bias, description *d)
{
    const ffl_cublas_functions *f = ffl_cublas_table();
    const cublasComputeType_t compute =
        s->type == FFL_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    CUBLAS_TRY(cublasLtMatmulDescInit_internal(&d->matmul, sizeof d->matmul, compute, CUDA_R_32F));
    if (s->transposed_b)
        CUBLAS_TRY(cublasLtMatmulDescSetAttribute(&d->matmul, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                                  sizeof transposed));
    if (s->transposed_a)
        CUBLAS_TRY(cublasLtMatmulDescSetAttribute(&d->matmul, CUBLASLT_MATMUL_DESC_TRANSB, &transposed,
                                                  sizeof transposed));
    if (s->epilogue != FFL_GEMM_PLAIN)
        FFL_TRY(describe_epilogue(d, s, bias));
    FFL_TRY(describe_matrix(&d->first, s->type, s->transposed_b ? s->n : s->k, s->transposed_b ? s->k : s->n,
                            s->ldb, s->batch, s->step_b));
    FFL_TRY(describe_matrix(&d->second, s->type, s->transposed_a ? s->k : rows, s->transposed_a ? rows : s->k,
                            s->lda, s->batch, s->step_a));
    return describe_matrix(&d->result, s->output, rows, s->n, s->ldd, s->batch, s->step_d);
}

/* The library's candidates for `rows` rows, the most promising first. */
static ffl_status candidates(const ffl_gemm_shape *s, size_t rows, const void *bias, size_t workspace,
                             cublasLtMatmulHeuristicResult_t *out, int most, int *count)
{
    const ffl_cublas_functions *f = ffl_cublas_table();
    description d;
    FFL_TRY(describe(s, rows, bias, &d));
    cublasLtMatmulPreferenceOpaque_t preference;
    CUBLAS_TRY(cublasLtMatmulPreferenceInit_internal(&preference, sizeof preference));
    CUBLAS_TRY(cublasLtMatmulPreferenceSetAttribute(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                    &workspace, sizeof workspace));
    /* Sums split over k meet in f32: the two other schemes add in the output's type. */
    const uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    CUBLAS_TRY(cublasLtMatmulPreferenceSetAttribute(&preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                    &schemes, sizeof schemes));
    const uint32_t alignment = s->alignment ? (uint32_t)s->alignment : 16;
    for (int which = CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
         which <= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES; which++)
        CUBLAS_TRY(cublasLtMatmulPreferenceSetAttribute(
            &preference, (cublasLtMatmulPreferenceAttributes_t)which, &alignment, sizeof alignment));
    CUBLAS_TRY(cublasLtMatmulAlgoGetHeuristic(handle, &d.matmul, &d.first, &d.second, &d.result, &d.result,
                                              &preference, most, out, count));
    return *count > 0 ? FFL_OK
                      : ffl_fail(FFL_UNSUPPORTED, "%s has no kernel for a product of %s, %zu x %zu x %zu",
                                 ffl_cublas_open()->version, ffl_type_name(s->type), rows, s->n, s->k);
}

static const planned *find_plan(const ffl_gemm *g, size_t rows)
{
    for (size_t i = 0; i < g->count; i++)
        if (g->plans[i].rows == rows)
            return &g->plans[i];
    return NULL;
}

static planned *place_for(ffl_gemm *g, size_t rows)
{
    planned *found = (planned *)find_plan(g, rows);
    if (!found && g->count < PLANNED_MOST)
        found = &g->plans[g->count++];
    return found;
}

static void keep(ffl_gemm *g, size_t rows, const cublasLtMatmulHeuristicResult_t *result)
{
    planned *p = place_for(g, rows);
    if (p) {
        p->rows = rows;
        p->workspace = result->workspaceSize;
        p->algorithm = result->algo;
    }
}

/* A bias pointer that is never followed, aligned as the caller's are: heuristics look at it. */
static const void *some_bias(const ffl_gemm_shape *s)
{
    return s->epilogue == FFL_GEMM_PLAIN ? NULL : (const void *)(s->alignment ? s->alignment : 16);
}

ffl_status ffl_gemm_plan_rows(ffl_gemm *g, size_t rows)
{
    if (rows == 0 || rows > g->shape.m)
        return ffl_fail(FFL_BAD_INPUT, "gemm: %zu rows, planned for %zu", rows, g->shape.m);
    if (find_plan(g, rows))
        return FFL_OK;
    cublasLtMatmulHeuristicResult_t found[CANDIDATES];
    int count = 0;
    FFL_TRY(candidates(&g->shape, rows, some_bias(&g->shape), workspace_most, found, CANDIDATES, &count));
    for (int i = 0; i < count; i++)
        if (found[i].workspaceSize > g->workspace)
            g->workspace = found[i].workspaceSize;
    keep(g, rows, &found[0]);
    return FFL_OK;
}

ffl_status ffl_gemm_new(const ffl_gemm_shape *shape, ffl_gemm **out)
{
    *out = NULL;
    FFL_TRY(ffl_gemm_check(shape));
    if (!ffl_cublas_table())
        return FFL_UNSUPPORTED;
    pthread_once(&once, create_once);
    if (handle_status != CUBLAS_STATUS_SUCCESS)
        return fail(handle_status, "cublasLtCreate");
    ffl_gemm *g = (ffl_gemm *)calloc(1, sizeof *g);
    if (!g)
        return ffl_fail(FFL_NO_MEMORY, "gemm: no memory for a plan");
    g->shape = *shape;
    const ffl_status status = ffl_gemm_plan_rows(g, shape->m);
    if (status == FFL_OK)
        *out = g;
    else
        free(g);
    return status;
}

void ffl_gemm_free(ffl_gemm *gemm)
{
    free(gemm);
}

size_t ffl_gemm_workspace(const ffl_gemm *g)
{
    return g->workspace;
}

static ffl_status run_with(const ffl_gemm_shape *s, size_t rows, const cublasLtMatmulAlgo_t *algorithm,
                           size_t workspace_bytes, const void *a, const void *b, const void *bias, void *d,
                           void *workspace, cudaStream_t stream)
{
    const ffl_cublas_functions *f = ffl_cublas_table();
    const float one = 1.0f;
    description to;
    FFL_TRY(describe(s, rows, bias, &to));
    CUBLAS_TRY(cublasLtMatmul(handle, &to.matmul, &one, b, &to.first, a, &to.second, &s->beta, d, &to.result,
                              d, &to.result, algorithm, workspace, workspace_bytes, stream));
    return FFL_OK;
}

ffl_status ffl_gemm_run(const ffl_gemm *g, size_t rows, const void *a, const void *b, const void *bias,
                        void *d, void *workspace, void *stream)
{
    return ffl_gemm_run_some(g, rows, g->shape.batch, a, b, bias, d, workspace, stream);
}

ffl_status ffl_gemm_run_some(const ffl_gemm *g, size_t rows, size_t products, const void *a, const void *b,
                             const void *bias, void *d, void *workspace, void *stream)
{
    ffl_gemm_shape s = g->shape;
    s.batch = products;
    const planned *p = products == g->shape.batch ? find_plan(g, rows) : NULL;
    if (p)
        return run_with(&s, rows, &p->algorithm, p->workspace, a, b, bias, d, workspace,
                        ffl_cuda_stream(stream));
    cublasLtMatmulHeuristicResult_t result;
    int count = 0;
    FFL_TRY(candidates(&s, rows, bias, g->workspace, &result, 1, &count));
    return run_with(&s, rows, &result.algo, result.workspaceSize, a, b, bias, d, workspace,
                    ffl_cuda_stream(stream));
}

typedef struct timer {
    cudaStream_t stream;
    cudaEvent_t start, end;
} timer;

static void timer_free(timer *t)
{
    if (t->end)
        cudaEventDestroy(t->end);
    if (t->start)
        cudaEventDestroy(t->start);
    if (t->stream)
        cudaStreamDestroy(t->stream);
}

static ffl_status timer_new(timer *t)
{
    FFL_CUDA_TRY(cudaStreamCreateWithFlags(&t->stream, cudaStreamNonBlocking));
    FFL_CUDA_TRY(cudaEventCreate(&t->start));
    FFL_CUDA_TRY(cudaEventCreate(&t->end));
    return FFL_OK;
}

/* The fastest of a few runs, after one to load its code. */
static ffl_status time_one(const timer *t, const ffl_gemm_shape *s, size_t rows,
                           const cublasLtMatmulHeuristicResult_t *c, const void *a, const void *b,
                           const void *bias, void *d, void *workspace, float *ms)
{
    *ms = 1e30f;
    for (int round = 0; round <= ROUNDS; round++) {
        float once_ms = 0;
        FFL_CUDA_TRY(cudaEventRecord(t->start, t->stream));
        FFL_TRY(run_with(s, rows, &c->algo, c->workspaceSize, a, b, bias, d, workspace, t->stream));
        FFL_CUDA_TRY(cudaEventRecord(t->end, t->stream));
        FFL_CUDA_TRY(cudaEventSynchronize(t->end));
        FFL_CUDA_TRY(cudaEventElapsedTime(&once_ms, t->start, t->end));
        if (round > 0 && once_ms < *ms)
            *ms = once_ms;
        if (round > 0 && once_ms > long_ms)
            break; /* noise is small beside it */
    }
    return FFL_OK;
}

static ffl_status tune_with(const timer *t, ffl_gemm *g, size_t rows, const void *a, const void *b,
                            const void *bias, void *d, void *workspace, double *us)
{
    cublasLtMatmulHeuristicResult_t found[CANDIDATES];
    int count = 0, best = -1;
    FFL_TRY(candidates(&g->shape, rows, bias, ffl_gemm_workspace(g), found, CANDIDATES, &count));
    FFL_CUDA_TRY(cudaDeviceSynchronize()); /* what filled the buffers may have used another stream */
    float least = 1e30f;
    for (int i = 0; i < count; i++) {
        float ms;
        if (found[i].state != CUBLAS_STATUS_SUCCESS ||
            time_one(t, &g->shape, rows, &found[i], a, b, bias, d, workspace, &ms) != FFL_OK)
            continue; /* one of many */
        if (ms < least) {
            least = ms;
            best = i;
        }
    }
    FFL_CUDA_TRY(cudaDeviceSynchronize());
    if (best < 0)
        return ffl_fail(FFL_DEVICE, "%s: none of its %d candidates runs", ffl_cublas_open()->version, count);
    keep(g, rows, &found[best]);
    *us = 1e3 * (double)least;
    return FFL_OK;
}

ffl_status ffl_gemm_tune(ffl_gemm *g, size_t rows, const void *a, const void *b, const void *bias, void *d,
                         void *workspace, double *us)
{
    if (rows == 0 || rows > g->shape.m)
        return ffl_fail(FFL_BAD_INPUT, "gemm: %zu rows, planned for %zu", rows, g->shape.m);
    timer t = {};
    ffl_status status = timer_new(&t);
    if (status == FFL_OK)
        status = tune_with(&t, g, rows, a, b, bias, d, workspace, us);
    timer_free(&t);
    return status;
}

#else

/* The toolkit has no cublasLt.h: ffl_cublas_open says so. */
ffl_status ffl_gemm_new(const ffl_gemm_shape *, ffl_gemm **out)
{
    *out = NULL;
    return ffl_cublas_open() ? FFL_OK : FFL_UNSUPPORTED;
}

void ffl_gemm_free(ffl_gemm *)
{
}

ffl_status ffl_gemm_plan_rows(ffl_gemm *, size_t)
{
    return FFL_UNSUPPORTED;
}

size_t ffl_gemm_workspace(const ffl_gemm *)
{
    return 0;
}

ffl_status ffl_gemm_tune(ffl_gemm *, size_t, const void *, const void *, const void *, void *, void *,
                         double *)
{
    return FFL_UNSUPPORTED;
}

ffl_status ffl_gemm_run(const ffl_gemm *, size_t, const void *, const void *, const void *, void *, void *,
                        void *)
{
    return FFL_UNSUPPORTED;
}

ffl_status ffl_gemm_run_some(const ffl_gemm *, size_t, size_t, const void *, const void *, const void *,
                             void *, void *, void *)
{
    return FFL_UNSUPPORTED;
}

#endif
