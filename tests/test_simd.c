/*
 * Every kernel of kernels/simd against double precision: all short widths and the long odd ones, at all
 * misalignments, with operands that end (and then begin) exactly where readable memory does.
 */
#include "cuda/activation.h"
#include "harness/workload/random.h"
#include "kernels/gelu.h"
#include "tests/simd_functions.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WIDTH_MAX = 769, ROWS_MAX = 33, SLACK = 16 };

static const simd_functions *const all[] = {
    &simd_functions_scalar,
#if defined(FFL_BUILT_AVX2)
    &simd_functions_avx2,
#endif
#if defined(FFL_BUILT_AVX512)
    &simd_functions_avx512,
#endif
};
enum { SETS = sizeof all / sizeof *all };

static size_t next_width(size_t n)
{
    return n < 70 ? n + 1 : n < 127 ? 127 : n < 130 ? n + 1 : n < 767 ? 767 : n + 1;
}

/* A readable span of WIDTH_MAX + SLACK floats or more between two pages that fault. */
typedef struct fenced {
    char *base;
    size_t page, bytes;
} fenced;

static fenced fenced_new(void)
{
    fenced f = {.page = (size_t)sysconf(_SC_PAGESIZE)};
    f.bytes = ((WIDTH_MAX + SLACK) * sizeof(float) + f.page - 1) / f.page * f.page;
    f.base = mmap(NULL, f.bytes + 2 * f.page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(f.base, MAP_FAILED);
    cr_assert_eq(mprotect(f.base + f.page, f.bytes, PROT_READ | PROT_WRITE), 0);
    return f;
}

static void fenced_free(fenced f)
{
    munmap(f.base, f.bytes + 2 * f.page);
}

/* n floats: where 0 ends at the fence, 1 begins at it, others begin `where` floats after it. */
static float *fenced_place(fenced f, size_t n, size_t where)
{
    char *first = f.base + f.page;
    return (float *)(where == 0 ? first + f.bytes - n * sizeof(float) : first + (where - 1) * sizeof(float));
}

static void fill(float *values, size_t n, ffl_random *random)
{
    for (size_t i = 0; i < n; i++)
        values[i] = (float)ffl_random_normal(random);
}

Test(simd, dot_matches_double_and_stays_inside)
{
    ffl_random random = ffl_random_new(1, 0);
    const fenced fx = fenced_new(), fw = fenced_new();
    for (size_t s = 0; s < SETS; s++) {
        if (!ffl_machine_host()->isa[all[s]->isa])
            continue;
        cr_assert_eq(all[s]->dot(NULL, NULL, 0), 0.0f);
        for (size_t n = 1; n <= WIDTH_MAX; n = next_width(n))
            for (size_t where = 0; where <= SLACK; where++) {
                float *x = fenced_place(fx, n, where), *w = fenced_place(fw, n, (where * 5 + n) % SLACK);
                fill(x, n, &random), fill(w, n, &random);
                double sum = 0, magnitude = 0;
                for (size_t i = 0; i < n; i++) {
                    sum += (double)x[i] * (double)w[i];
                    magnitude += fabs((double)x[i] * (double)w[i]);
                }
                const double got = (double)all[s]->dot(x, w, n);
                cr_assert(fabs(got - sum) <= (double)n * 0x1p-24 * magnitude, "%s dot, n = %zu: %g, not %g",
                          all[s]->name, n, got, sum);
            }
    }
    fenced_free(fx), fenced_free(fw);
}

Test(simd, axpy_matches_double_and_stays_inside)
{
    ffl_random random = ffl_random_new(2, 0);
    const fenced fw = fenced_new(), fy = fenced_new();
    float before[WIDTH_MAX];
    for (size_t s = 0; s < SETS; s++) {
        if (!ffl_machine_host()->isa[all[s]->isa])
            continue;
        for (size_t n = 1; n <= WIDTH_MAX; n = next_width(n))
            for (size_t where = 0; where <= SLACK; where++) {
                float *w = fenced_place(fw, n, (where * 5 + n) % SLACK), *y = fenced_place(fy, n, where);
                fill(w, n, &random), fill(y, n, &random);
                memcpy(before, y, n * sizeof *y);
                const float beyond = where > 1 ? (y[-1] = y[n] = 77.0f) : 0.0f;
                all[s]->axpy(-1.5f, w, y, n);
                for (size_t i = 0; i < n; i++) {
                    const double want = (double)before[i] - 1.5 * (double)w[i];
                    cr_assert(fabs((double)y[i] - want) <=
                                  0x1p-22 * (fabs((double)before[i]) + 1.5 * fabs((double)w[i])),
                              "%s axpy, n = %zu, element %zu", all[s]->name, n, i);
                }
                if (where > 1)
                    cr_assert(y[-1] == beyond && y[n] == beyond, "%s axpy, n = %zu, wrote outside",
                              all[s]->name, n);
            }
    }
    fenced_free(fw), fenced_free(fy);
}

static void check_rows(const simd_functions *f, const float *g, const float *const *w, size_t count, float *y,
                       size_t n, bool add)
{
    for (size_t i = 0; i < n; i++)
        y[i] = add ? (float)i : NAN; /* not added to: not read */
    f->rows(g, w, count, y, n, add);
    for (size_t i = 0; i < n; i++) {
        double sum = add ? (double)i : 0, magnitude = sum;
        for (size_t k = 0; k < count; k++) {
            sum += (double)g[k] * (double)w[k][i];
            magnitude += fabs((double)g[k] * (double)w[k][i]);
        }
        cr_assert(fabs((double)y[i] - sum) <= (double)(count + 1) * 0x1p-24 * magnitude,
                  "%s rows, %zu of width %zu, element %zu: %g, not %g", f->name, count, n, i, (double)y[i],
                  sum);
    }
}

Test(simd, rows_match_double_and_stay_inside)
{
    static const size_t counts[] = {0, 1, 2, 12, 21, ROWS_MAX};
    ffl_random random = ffl_random_new(3, 0);
    fenced fw[ROWS_MAX], fy = fenced_new();
    for (size_t k = 0; k < ROWS_MAX; k++)
        fw[k] = fenced_new();
    for (size_t s = 0; s < SETS; s++) {
        if (!ffl_machine_host()->isa[all[s]->isa])
            continue;
        for (size_t n = 1; n <= WIDTH_MAX; n = next_width(n))
            for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
                float g[ROWS_MAX];
                const float *w[ROWS_MAX];
                fill(g, ROWS_MAX, &random);
                for (size_t k = 0; k < counts[c]; k++) {
                    float *row = fenced_place(fw[k], n, (k + n) % 3);
                    fill(row, n, &random);
                    w[k] = row;
                }
                check_rows(all[s], g, w, counts[c], fenced_place(fy, n, 0), n, c % 2);
                check_rows(all[s], g, w, counts[c], fenced_place(fy, n, 1 + n % SLACK), n, !(c % 2));
            }
    }
    for (size_t k = 0; k < ROWS_MAX; k++)
        fenced_free(fw[k]);
    fenced_free(fy);
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Half the smallest denormal is rounding that no format can avoid: gelu(z) ~ z/2, in both forms. */
static void check_act(ffl_activation activation, const char *name, float z, float got)
{
    const double want = ffl_activate_double(activation, (double)z);
    cr_assert(fabs((double)got - want) <= 4 * 0x1p-24 * fabs((double)z) + 0x1p-149, "%s: %s(%a) = %a, not %a",
              name, ffl_activation_names[activation], (double)z, (double)got, want);
    if (fabsf(z) >= 16)
        cr_assert(got == (z > 0 ? z : 0.0f), "%s: %s(%a) = %a", name, ffl_activation_names[activation],
                  (double)z, (double)got);
}

static void check_gelu(const char *name, float z, float got)
{
    check_act(FFL_GELU, name, z, got);
}

static void sweep(ffl_activation activation)
{
    enum { CHUNK = 4096, STRIDE = 1999 };
    static float z[CHUNK], got[CHUNK];
    uint32_t bits = 0;
    bool wrapped = false;
    while (!wrapped) {
        size_t n = 0;
        for (; n < CHUNK && !wrapped; n++) {
            do {
                wrapped |= bits > UINT32_MAX - STRIDE;
                bits += STRIDE;
            } while (!isfinite(float_of(bits)) && !wrapped);
            z[n] = isfinite(float_of(bits)) ? float_of(bits) : 1.0f;
        }
        for (size_t i = 0; i < n; i++)
            check_act(activation, "device", z[i], ffl_activate_device(activation, z[i]));
        for (size_t s = 0; s < SETS; s++) {
            if (!ffl_machine_host()->isa[all[s]->isa])
                continue;
            memcpy(got, z, n * sizeof *z);
            all[s]->activate(activation, got, n);
            for (size_t i = 0; i < n; i++)
                check_act(activation, all[s]->name, z[i], got[i]);
        }
    }
}

Test(simd, gelu_is_exact_over_all_floats)
{
    sweep(FFL_GELU);
}

Test(simd, gelu_tanh_is_its_own_function_over_all_floats)
{
    sweep(FFL_GELU_TANH);
}

Test(simd, activation_is_right_in_every_exponent_and_lane)
{
    const fenced fence = fenced_new();
    for (size_t s = 0; s < SETS; s++) {
        if (!ffl_machine_host()->isa[all[s]->isa])
            continue;
        /* 509 widths, each ends at the fence: every tail, every binade, both signs. */
        for (uint32_t top = 0; top < 512; top++) {
            const size_t n = 1 + top % 70;
            float z[70], *got = fenced_place(fence, n, 0);
            for (uint32_t i = 0; i < n; i++)
                z[i] = float_of(top << 23 | (i * 0x1d3f7u & 0x7fffff));
            memcpy(got, z, n * sizeof *z);
            const ffl_activation form = top % 2 ? FFL_GELU : FFL_GELU_TANH;
            all[s]->activate(form, got, n);
            for (size_t i = 0; i < n; i++)
                if (isfinite(z[i]))
                    check_act(form, all[s]->name, z[i], got[i]);
                else if (isnan(z[i]))
                    cr_assert(isnan(got[i]));
            memcpy(got, z, n * sizeof *z);
            all[s]->activate(FFL_RELU, got, n);
            for (size_t i = 0; i < n; i++)
                cr_assert(got[i] == ffl_relu(z[i]), "%s: relu(%g) = %g", all[s]->name, (double)z[i],
                          (double)got[i]);
        }
        for (int tanh = 0; tanh < 2; tanh++) {
            float special[] = {0.0f, -0.0f, NAN, INFINITY, -20.0f, 20.0f};
            all[s]->activate(tanh ? FFL_GELU_TANH : FFL_GELU, special, 6);
            cr_assert(special[0] == 0 && !signbit(special[0]));
            cr_assert(special[1] == 0 && signbit(special[1]));
            cr_assert(isnan(special[2]));
            cr_assert(special[3] == INFINITY && special[4] == 0.0f && special[5] == 20.0f);
        }
    }
    fenced_free(fence);
}

/* What GPU kernels evaluate, compiled for the host. */
Test(simd, device_gelu_keeps_zeros_and_nan)
{
    cr_assert(ffl_gelu_device(0.0f) == 0 && !signbit(ffl_gelu_device(0.0f)));
    cr_assert(ffl_gelu_device(-0.0f) == 0 && signbit(ffl_gelu_device(-0.0f)));
    cr_assert(isnan(ffl_gelu_device(NAN)));
    cr_assert(ffl_gelu_device(INFINITY) == INFINITY && ffl_gelu_device(-INFINITY) == 0);
    cr_assert(isnan(ffl_gelu_tanh_device(NAN)) && signbit(ffl_gelu_tanh_device(-0.0f)));
    cr_assert(ffl_activate_device(FFL_RELU, -1.0f) == 0 && ffl_activate_device(FFL_RELU, 2.0f) == 2);
}

Test(simd, activate_array_takes_any_length)
{
    float z[100], got[100];
    for (size_t n = 0; n <= 100; n++) {
        for (size_t i = 0; i < 100; i++)
            z[i] = got[i] = 0.11f * (float)i - 5.0f;
        ffl_activate_array(n % 2 ? FFL_GELU : FFL_RELU, got, n);
        for (size_t i = 0; i < 100; i++)
            if (i >= n)
                cr_assert_eq(got[i], z[i]);
            else if (n % 2)
                check_gelu("ffl_activate_array", z[i], got[i]);
            else
                cr_assert_eq(got[i], ffl_relu(z[i]));
    }
}
