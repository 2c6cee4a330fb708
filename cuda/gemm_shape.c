#include "cuda/gemm.h"

size_t ffl_gemm_element(ffl_type type)
{
    return type == FFL_BF16 || type == FFL_F16 ? 2 : 4;
}

static ffl_status check_rows(const char *name, size_t rows, size_t width, size_t ld, size_t step,
                             size_t batch, bool shared)
{
    if (ld < width)
        return ffl_fail(FFL_BAD_INPUT, "gemm: ld%s is %zu, its rows have %zu elements", name, ld, width);
    if (batch > 1 && !(shared && step == 0) && step < (rows - 1) * ld + width)
        return ffl_fail(FFL_BAD_INPUT, "gemm: step_%s is %zu, one matrix takes %zu elements", name, step,
                        (rows - 1) * ld + width);
    return FFL_OK;
}

ffl_status ffl_gemm_check(const ffl_gemm_shape *s)
{
    const size_t most = 0x7fffffff; /* the library's 32-bit sizes */
    if (s->m == 0 || s->n == 0 || s->k == 0 || s->m > most || s->n > most || s->k > most || s->batch > most)
        return ffl_fail(FFL_BAD_INPUT, "gemm: m %zu, n %zu, k %zu, batch %zu: at least 1, at most %zu", s->m,
                        s->n, s->k, s->batch, most);
    if (s->type > FFL_F16)
        return ffl_fail(FFL_BAD_INPUT, "gemm: type %s: f32, tf32, bf16 or f16", ffl_type_name(s->type));
    if (s->output != FFL_F32 && (s->output != s->type || ffl_gemm_element(s->type) != 2))
        return ffl_fail(FFL_BAD_INPUT, "gemm: output %s of a product of %s: f32, or the same 16 bits",
                        ffl_type_name(s->output), ffl_type_name(s->type));
    if (s->alignment & (s->alignment - 1) || s->alignment > 256 ||
        (s->alignment && s->alignment < ffl_gemm_element(s->type)))
        return ffl_fail(FFL_BAD_INPUT, "gemm: alignment %zu: a power of two from the element's size to 256",
                        s->alignment);
    FFL_TRY(check_rows("a", s->transposed_a ? s->k : s->m, s->transposed_a ? s->m : s->k, s->lda, s->step_a,
                       s->batch, true));
    FFL_TRY(check_rows("b", s->transposed_b ? s->n : s->k, s->transposed_b ? s->k : s->n, s->ldb, s->step_b,
                       s->batch, true));
    FFL_TRY(check_rows("d", s->m, s->n, s->ldd, s->step_d, s->batch, false));
    if (s->epilogue != FFL_GEMM_PLAIN && s->batch > 1 && s->step_bias && s->step_bias < s->n)
        return ffl_fail(FFL_BAD_INPUT, "gemm: step_bias is %zu, a bias has %zu elements", s->step_bias, s->n);
    return FFL_OK;
}
