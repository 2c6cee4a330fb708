/* The encoder's products against the definition in double precision, for each instruction set. */
#include "harness/workload/random.h"
#include "kernels/cpu.h"
#include "kernels/memory.h"
#include "kernels/product.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const struct {
    const ffl_tiled *kernel;
    ffl_isa isa;
} sets[] = {
#if defined(FFL_BUILT_AVX2)
    {&ffl_product_avx2, FFL_ISA_AVX2},
#endif
#if defined(FFL_BUILT_AVX512)
    {&ffl_product_avx512, FFL_ISA_AVX512},
#endif
    {NULL, FFL_ISA_BASE},
};

static const struct {
    size_t rows, inputs, outputs;
} shapes[] = {
    {1, 1, 1},      {7, 5, 15},     {3, 383, 16},  {130, 384, 17}, {8, 385, 47},
    {129, 768, 48}, {300, 769, 49}, {1, 900, 300}, {9, 64, 1000},
};

enum { PAD = 3 };

static void fill(float *to, size_t count, uint64_t seed)
{
    ffl_random random = ffl_random_new(seed, 0);
    for (size_t i = 0; i < count; i++)
        to[i] = (float)ffl_random_normal(&random);
}

static void check(const ffl_tiled *kernel, size_t s, bool with_bias)
{
    const size_t rows = shapes[s].rows, n = shapes[s].inputs, m = shapes[s].outputs;
    const size_t ldx = n + PAD, ldy = m + PAD;
    float *x = ffl_alloc_array(rows * ldx, sizeof *x), *w = ffl_alloc_array(m * n, sizeof *w);
    float *bias = ffl_alloc_array(m, sizeof *bias), *y[2];
    fill(x, rows * ldx, 1), fill(w, m * n, 2), fill(bias, m, 3);
    ffl_product product;
    cr_assert_eq(ffl_product_new(kernel, w, m, n, &product), FFL_OK);
    for (int t = 0; t < 2; t++) {
        const int threads = t ? 3 : 1;
        void *scratch = ffl_alloc(ffl_product_scratch(rows, n, threads));
        y[t] = ffl_alloc_array(rows * ldy, sizeof **y);
        for (size_t i = 0; i < rows * ldy; i++)
            y[t][i] = NAN;
        ffl_product_run(&product, x, ldx, rows, with_bias ? bias : NULL, y[t], ldy, scratch, threads);
        ffl_free(scratch);
    }
    for (size_t r = 0; r < rows; r++) {
        for (size_t o = 0; o < m; o++) {
            double want = with_bias ? (double)bias[o] : 0, terms = fabs(want);
            for (size_t k = 0; k < n; k++) {
                want += (double)x[r * ldx + k] * (double)w[o * n + k];
                terms += fabs((double)x[r * ldx + k] * (double)w[o * n + k]);
            }
            const double error = fabs((double)y[0][r * ldy + o] - want);
            cr_assert(error <= (double)(n + 2) * 0x1p-24 * terms, "%zu: row %zu, column %zu: off by %g", s, r,
                      o, error);
        }
        cr_assert_arr_eq(y[0] + r * ldy, y[1] + r * ldy, m * sizeof **y); /* threads change nothing */
        for (size_t i = m; i < ldy; i++)
            cr_assert(isnan(y[0][r * ldy + i]) && isnan(y[1][r * ldy + i]));
    }
    /* Nor does a row's place: the last one alone. */
    void *scratch = ffl_alloc(ffl_product_scratch(1, n, 1));
    ffl_product_run(&product, x + (rows - 1) * ldx, ldx, 1, with_bias ? bias : NULL, y[1], ldy, scratch, 1);
    cr_assert_arr_eq(y[1], y[0] + (rows - 1) * ldy, m * sizeof **y);
    ffl_free(scratch), ffl_free(x), ffl_free(w), ffl_free(bias), ffl_free(y[0]), ffl_free(y[1]);
    ffl_product_free(&product);
}

Test(product, every_shape_on_every_instruction_set)
{
    size_t tried = 0;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if (!sets[i].kernel || !ffl_machine_host()->isa[sets[i].isa])
            continue;
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            check(sets[i].kernel, s, s % 2), tried++;
    }
    cr_assert_eq(tried > 0, ffl_product_kernel() != NULL);
    if (!tried)
        cr_skip("no AVX2 here");
}
