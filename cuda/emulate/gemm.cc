/*
 * cuda/gemm.h on the emulated device: plain loops, sums in double rounded once. Strict where the library is:
 * alignment, overlap of types, and a workspace that it overwrites.
 */
#include "cuda/gemm.h"
#include "cuda/emulate/stream.h"
#include "kernels/cublas.h"
#include "kernels/gelu.h"
#include <cstdlib>
#include <vector>

struct ffl_gemm {
    ffl_gemm_shape shape;
};

enum { WORKSPACE = 4096 };

const ffl_cublas *ffl_cublas_open(void)
{
    static const ffl_cublas library = {"emulated", "emulated"};
    return &library;
}

ffl_status ffl_gemm_new(const ffl_gemm_shape *shape, ffl_gemm **out)
{
    *out = nullptr;
    FFL_TRY(ffl_gemm_check(shape));
    *out = new ffl_gemm{*shape};
    if ((*out)->shape.batch == 0)
        (*out)->shape.batch = 1;
    if ((*out)->shape.alignment == 0)
        (*out)->shape.alignment = 16;
    return FFL_OK;
}

void ffl_gemm_free(ffl_gemm *gemm)
{
    delete gemm;
}

static ffl_status check_rows(const ffl_gemm *g, size_t rows)
{
    if (rows == 0 || rows > g->shape.m)
        return ffl_fail(FFL_BAD_INPUT, "gemm: %zu rows, planned for %zu", rows, g->shape.m);
    return FFL_OK;
}

ffl_status ffl_gemm_plan_rows(ffl_gemm *g, size_t rows)
{
    return check_rows(g, rows);
}

size_t ffl_gemm_workspace(const ffl_gemm *)
{
    return WORKSPACE;
}

static float load(const void *from, size_t i, ffl_type type)
{
    switch (type) {
    case FFL_BF16:
        return __uint_as_float((uint32_t)((const uint16_t *)from)[i] << 16);
    case FFL_F16:
        return ffl_emulated_f16_to_float(((const uint16_t *)from)[i]);
    case FFL_TF32:
        return __uint_as_float(((const uint32_t *)from)[i] & 0xffffe000u);
    default:
        return ((const float *)from)[i];
    }
}

static void store(void *to, size_t i, ffl_type type, float value)
{
    if (type == FFL_BF16)
        ((uint16_t *)to)[i] = ffl_emulated_bf16(value);
    else if (type == FFL_F16)
        ((uint16_t *)to)[i] = ffl_emulated_f16(value);
    else
        ((float *)to)[i] = value;
}

static const void *at(const void *from, size_t elements, ffl_type type)
{
    return (const unsigned char *)from + elements * ffl_gemm_element(type);
}

/* One product; b becomes [k][n] doubles, a row of sums at a time runs over its rows. */
static void multiply(const ffl_gemm_shape &s, size_t rows, const void *a, const void *b, const void *bias,
                     void *d)
{
    std::vector<double> wide(s.k * s.n), sums(s.n);
    for (size_t k = 0; k < s.k; k++)
        for (size_t n = 0; n < s.n; n++)
            wide[k * s.n + n] = load(b, s.transposed_b ? n * s.ldb + k : k * s.ldb + n, s.type);
    for (size_t m = 0; m < rows; m++) {
        std::fill(sums.begin(), sums.end(), 0.0);
        for (size_t k = 0; k < s.k; k++) {
            const double factor = load(a, s.transposed_a ? k * s.lda + m : m * s.lda + k, s.type);
            const double *row = &wide[k * s.n];
            for (size_t n = 0; n < s.n; n++)
                sums[n] += factor * row[n];
        }
        for (size_t n = 0; n < s.n; n++) {
            const size_t i = m * s.ldd + n;
            double v = s.beta != 0 ? sums[n] + s.beta * (double)load(d, i, s.output) : sums[n];
            if (s.epilogue != FFL_GEMM_PLAIN)
                v += load(bias, n, s.output);
            if (s.epilogue == FFL_GEMM_BIAS_GELU_TANH)
                v = 0.5 * v * (1 + tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));
            store(d, i, s.output, (float)v);
        }
    }
}

static bool aligned(const void *address, const ffl_gemm_shape &s)
{
    return (uintptr_t)address % s.alignment == 0;
}

ffl_status ffl_gemm_run(const ffl_gemm *g, size_t rows, const void *a, const void *b, const void *bias,
                        void *d, void *workspace, void *stream)
{
    return ffl_gemm_run_some(g, rows, g->shape.batch, a, b, bias, d, workspace, stream);
}

ffl_status ffl_gemm_run_some(const ffl_gemm *g, size_t rows, size_t products, const void *a, const void *b,
                             const void *bias, void *d, void *workspace, void *stream)
{
    const ffl_gemm_shape s = g->shape;
    FFL_TRY(check_rows(g, rows));
    if (!aligned(a, s) || !aligned(b, s) || !aligned(d, s) || !aligned(bias, s) || (uintptr_t)workspace % 16)
        return ffl_fail(FFL_DEVICE, "emulated gemm: an address is not aligned to %zu bytes", s.alignment);
    if (!workspace || (s.epilogue != FFL_GEMM_PLAIN && !bias))
        return ffl_fail(FFL_DEVICE, "emulated gemm: no workspace, or no bias");
    ffl_emulated_enqueue((cudaStream_t)stream, [=] {
        memset(workspace, 0xff, WORKSPACE);
        for (size_t i = 0; i < products; i++)
            multiply(s, rows, at(a, i * s.step_a, s.type), at(b, i * s.step_b, s.type),
                     bias ? at(bias, i * s.step_bias, s.output) : nullptr,
                     (void *)at(d, i * s.step_d, s.output));
    });
    return FFL_OK;
}

ffl_status ffl_gemm_tune(ffl_gemm *g, size_t rows, const void *a, const void *b, const void *bias, void *d,
                         void *workspace, double *us)
{
    (void)a, (void)b, (void)bias, (void)workspace;
    *us = 1;
    FFL_TRY(check_rows(g, rows));
    const ffl_gemm_shape &s = g->shape; /* d as after one run of anything: overwritten */
    for (size_t i = 0; i < s.batch; i++)
        for (size_t m = 0; m < rows; m++)
            memset((void *)at(d, i * s.step_d + m * s.ldd, s.output), 0xff, s.n * ffl_gemm_element(s.output));
    return FFL_OK;
}
