/* cuda/gemm.h: what it refuses, and its products against plain sums, where there is a device or an emulated
 * one. */
#include "cuda/gemm.h"
#include "kernels/cublas.h"
#include "kernels/device.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 1 << 16 };

static ffl_gemm_shape plain(size_t m, size_t n, size_t k)
{
    return (ffl_gemm_shape){.m = m, .n = n, .k = k, .lda = k, .ldb = n, .ldd = n, .batch = 1};
}

Test(gemm, refuses_shapes_that_make_no_sense)
{
    ffl_gemm_shape s = plain(4, 8, 16);
    cr_expect_eq(ffl_gemm_check(&s), FFL_OK);
    s.ldb = 7;
    cr_expect_eq(ffl_gemm_check(&s), FFL_BAD_INPUT);
    cr_expect(strstr(ffl_error(), "ldb is 7"), "%s", ffl_error());
    s.transposed_b = true; /* rows of k */
    s.ldb = 16;
    cr_expect_eq(ffl_gemm_check(&s), FFL_OK);
    s.output = FFL_BF16;
    cr_expect_eq(ffl_gemm_check(&s), FFL_BAD_INPUT);
    s.type = FFL_BF16;
    cr_expect_eq(ffl_gemm_check(&s), FFL_OK);
    s.type = FFL_INT8;
    cr_expect_eq(ffl_gemm_check(&s), FFL_BAD_INPUT);
    s = plain(4, 8, 16);
    s.batch = 2;
    cr_expect_eq(ffl_gemm_check(&s), FFL_BAD_INPUT, "d's of a batch on top of each other");
    s.step_d = 4 * 8;
    cr_expect_eq(ffl_gemm_check(&s), FFL_OK, "a and b shared");
    s.step_a = 63;
    cr_expect_eq(ffl_gemm_check(&s), FFL_BAD_INPUT);
    s = plain(0, 8, 16);
    cr_expect_eq(ffl_gemm_check(&s), FFL_BAD_INPUT);
    s = plain(4, 8, 16);
    s.alignment = 3;
    cr_expect_eq(ffl_gemm_check(&s), FFL_BAD_INPUT);
    s.alignment = 2;
    cr_expect_eq(ffl_gemm_check(&s), FFL_BAD_INPUT, "less than a float");
}

/* All functions are found, or a reason is given; no device is needed for that. */
Test(gemm, opens_the_library_or_says_why_not)
{
    const ffl_cublas *library = ffl_cublas_open();
    if (library)
        cr_expect(library->version[0] && library->path[0]);
    else
        cr_expect(strstr(ffl_error(), "FFLAB_CUBLAS") || strstr(ffl_error(), "cublasLt.h"), "%s",
                  ffl_error());
}

/* ---- Products ---- */

/* Small whole numbers: every type holds them, every order of summation gives the same sum. */
static float element(size_t i, size_t salt)
{
    return (float)((int)((i * 2654435761u + salt * 97) >> 7 & 7) - 3);
}

static uint16_t half_of(ffl_type type, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if (type == FFL_BF16)
        return (uint16_t)(bits >> 16);
    const int exponent = (int)(bits >> 23 & 255) - 127 + 15;
    return value == 0
               ? 0
               : (uint16_t)(bits >> 16 & 0x8000) | (uint16_t)(exponent << 10) | (uint16_t)(bits >> 13 & 1023);
}

static float float_of(ffl_type type, const void *from, size_t i)
{
    if (ffl_gemm_element(type) == 4)
        return ((const float *)from)[i];
    const uint16_t h = ((const uint16_t *)from)[i];
    uint32_t bits = type == FFL_BF16 ? (uint32_t)h << 16
                    : (h & 0x7fff)
                        ? (uint32_t)(h & 0x8000) << 16 | (uint32_t)((h >> 10 & 31) - 15 + 127) << 23 |
                              (uint32_t)(h & 1023) << 13
                        : 0;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static void *device_array(ffl_type type, size_t salt)
{
    static unsigned char host[4 * ROOM];
    for (size_t i = 0; i < ROOM; i++) {
        const float v = element(i, salt);
        const uint16_t h = half_of(type, v);
        if (ffl_gemm_element(type) == 2)
            memcpy(host + 2 * i, &h, 2);
        else
            memcpy(host + 4 * i, &v, 4);
    }
    void *device;
    cr_assert_eq(ffl_device_alloc(sizeof host, &device), FFL_OK);
    cr_assert_eq(ffl_device_upload(device, host, sizeof host), FFL_OK);
    return device;
}

static double expected(const ffl_gemm_shape *s, size_t p, size_t row, size_t column, bool bias, float before)
{
    double sum = s->beta * before;
    for (size_t k = 0; k < s->k; k++)
        sum += element(p * s->step_a + (s->transposed_a ? k * s->lda + row : row * s->lda + k), 1) *
               element(p * s->step_b + (s->transposed_b ? column * s->ldb + k : k * s->ldb + column), 2);
    return bias ? sum + element(p * s->step_bias + column, 3) : sum;
}

static void check_product(ffl_gemm_shape s, size_t rows)
{
    ffl_gemm *gemm;
    cr_assert_eq(ffl_gemm_new(&s, &gemm), FFL_OK, "%s", ffl_error());
    void *a = device_array(s.type, 1), *b = device_array(s.type, 2), *bias = device_array(s.output, 3);
    void *d = device_array(s.output, 4), *workspace, *host = malloc(4 * ROOM);
    double us;
    cr_assert_eq(ffl_device_alloc(ffl_gemm_workspace(gemm), &workspace), FFL_OK);
    if (s.beta == 0)
        cr_assert_eq(ffl_gemm_tune(gemm, rows, a, b, bias, d, workspace, &us), FFL_OK, "%s", ffl_error());
    ffl_device_free(d);
    d = device_array(s.output, 4);
    cr_assert_eq(ffl_gemm_run(gemm, rows, a, b, bias, d, workspace, NULL), FFL_OK, "%s", ffl_error());
    cr_assert_eq(ffl_device_synchronize(), FFL_OK);
    cr_assert_eq(ffl_device_download(host, d, 4 * ROOM), FFL_OK);
    for (size_t i = 0; i < (s.batch ? s.batch : 1) * (s.batch > 1 ? s.step_d : s.m * s.ldd); i++) {
        const size_t p = s.batch > 1 ? i / s.step_d : 0, row = (i - p * s.step_d) / s.ldd,
                     column = (i - p * s.step_d) % s.ldd;
        const float before = element(i, 4), got = float_of(s.output, host, i);
        const bool inside = row < rows && column < s.n;
        const double want =
            inside ? expected(&s, p, row, column, s.epilogue != FFL_GEMM_PLAIN, before) : before;
        cr_assert_eq((double)got, want, "product %zu, row %zu, column %zu: %g, not %g", p, row, column,
                     (double)got, want);
    }
    free(host);
    ffl_device_free(a);
    ffl_device_free(b);
    ffl_device_free(bias);
    ffl_device_free(d);
    ffl_device_free(workspace);
    ffl_gemm_free(gemm);
}

static void need_device(void)
{
    const char *why;
    if (!ffl_device_available(&why))
        cr_skip_test("%s", why);
    if (!ffl_cublas_open())
        cr_skip_test("%s", ffl_error());
}

Test(gemm, multiplies_in_every_layout_and_type)
{
    need_device();
    static const ffl_type types[] = {FFL_F32, FFL_TF32, FFL_BF16, FFL_F16};
    for (size_t i = 0; i < 4 * 8; i++) {
        const bool ta = i & 1, tb = i & 2;
        const ffl_type type = types[i / 8];
        ffl_gemm_shape s = {.m = 16,
                            .n = 24,
                            .k = 8,
                            .transposed_a = ta,
                            .transposed_b = tb,
                            .lda = 32,
                            .ldb = 40,
                            .ldd = 48,
                            .type = type,
                            .beta = i & 4 ? 1 : 0,
                            .epilogue = i & 4 ? FFL_GEMM_PLAIN : FFL_GEMM_BIAS};
        if (ffl_gemm_element(type) == 2 && i & 4)
            s.output = type;
        check_product(s, 16);
        check_product(s, 5); /* fewer rows than planned */
    }
}

Test(gemm, batches_share_what_has_no_step)
{
    need_device();
    ffl_gemm_shape s = {.m = 8,
                        .n = 16,
                        .k = 8,
                        .lda = 8,
                        .ldb = 16,
                        .ldd = 16,
                        .batch = 3,
                        .step_b = 160,
                        .step_d = 200,
                        .type = FFL_BF16};
    check_product(s, 8);
    s.step_a = 64;
    s.epilogue = FFL_GEMM_BIAS;
    s.step_bias = 16;
    check_product(s, 7);
}

/* Odd sizes and addresses aligned to one element. */
Test(gemm, takes_any_leading_dimension)
{
    need_device();
    ffl_gemm_shape s = {.m = 5, .n = 7, .k = 3, .lda = 3, .ldb = 7, .ldd = 9, .alignment = 4};
    check_product(s, 5);
    s.type = FFL_BF16;
    s.alignment = 2;
    check_product(s, 5);
}

Test(gemm, tanh_gelu_is_an_epilogue)
{
    need_device();
    const ffl_gemm_shape s = {.m = 1,
                              .n = 8,
                              .k = 8,
                              .lda = 8,
                              .ldb = 8,
                              .ldd = 8,
                              .transposed_b = true,
                              .type = FFL_BF16,
                              .epilogue = FFL_GEMM_BIAS_GELU_TANH};
    ffl_gemm *gemm;
    cr_assert_eq(ffl_gemm_new(&s, &gemm), FFL_OK, "%s", ffl_error());
    void *a = device_array(s.type, 1), *b = device_array(s.type, 2), *bias = device_array(FFL_F32, 3),
         *workspace;
    void *d = device_array(FFL_F32, 4);
    float got[8];
    cr_assert_eq(ffl_device_alloc(ffl_gemm_workspace(gemm), &workspace), FFL_OK);
    cr_assert_eq(ffl_gemm_run(gemm, 1, a, b, bias, d, workspace, NULL), FFL_OK, "%s", ffl_error());
    cr_assert_eq(ffl_device_download(got, d, sizeof got), FFL_OK);
    for (size_t j = 0; j < 8; j++) {
        const double z = expected(&s, 0, 0, j, true, 0);
        const double want = 0.5 * z * (1 + tanh(sqrt(2 / M_PI) * (z + 0.044715 * z * z * z)));
        cr_expect(fabs((double)got[j] - want) <= 1e-3 * (1 + fabs(z)), "column %zu: %g, not %g", j,
                  (double)got[j], want);
    }
    ffl_device_free(a);
    ffl_device_free(b);
    ffl_device_free(bias);
    ffl_device_free(d);
    ffl_device_free(workspace);
    ffl_gemm_free(gemm);
}
