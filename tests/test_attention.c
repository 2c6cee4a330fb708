/* The fixed parts of the encoder against their definitions in double precision, for each instruction set. */
#include "harness/workload/random.h"
#include "kernels/attention.h"
#include "kernels/cpu.h"
#include "kernels/memory.h"
#include "kernels/simd/attention_head.h"
#include "kernels/simd/layernorm_row.h"
#include <criterion/criterion.h>
#include <stdint.h>

enum { SETS = 3 };

static ffl_attention_head_function *const heads[SETS] = {
    ffl_attention_head,
#if defined(FFL_BUILT_AVX2)
    ffl_attention_head_avx2,
#endif
#if defined(FFL_BUILT_AVX512)
    ffl_attention_head_avx512,
#endif
};

static ffl_layernorm_row_function *const norms[SETS] = {
    ffl_layernorm_row,
#if defined(FFL_BUILT_AVX2)
    ffl_layernorm_row_avx2,
#endif
#if defined(FFL_BUILT_AVX512)
    ffl_layernorm_row_avx512,
#endif
};

static const ffl_isa set_isa[SETS] = {FFL_ISA_BASE, FFL_ISA_AVX2, FFL_ISA_AVX512};

static void fill(float *to, size_t count, double scale, uint64_t seed)
{
    ffl_random random = ffl_random_new(seed, 0);
    for (size_t i = 0; i < count; i++)
        to[i] = (float)(scale * ffl_random_normal(&random));
}

/* One output row by the definition; scores [sequence]. */
static void defined(const ffl_attention *a, const float *qkv, size_t ld, const float *mask, size_t head,
                    size_t query, double *scores, double *out)
{
    const size_t d = a->head_width, width = a->heads * d;
    double top = -INFINITY, sum = 0;
    for (size_t j = 0; j < a->sequence; j++) {
        scores[j] = 0;
        for (size_t c = 0; c < d; c++) {
            const size_t q = head * d + c, k = width + q;
            scores[j] += ((double)qkv[query * ld + q] + (a->bias ? (double)a->bias[q] : 0)) *
                         ((double)qkv[j * ld + k] + (a->bias ? (double)a->bias[k] : 0));
        }
        scores[j] = scores[j] * (double)a->scale + (mask ? (double)mask[j] : 0);
        top = fmax(top, scores[j]);
    }
    for (size_t c = 0; c < d; c++)
        out[c] = 0;
    for (size_t j = 0; j < a->sequence; j++) {
        const double p = exp(scores[j] - top);
        const size_t v = 2 * width + head * d;
        sum += p;
        for (size_t c = 0; c < d; c++)
            out[c] += p * ((double)qkv[j * ld + v + c] + (a->bias ? (double)a->bias[v + c] : 0));
    }
    for (size_t c = 0; c < d; c++)
        out[c] /= sum;
}

static const struct {
    size_t batch, sequence, heads, width;
    bool bias, mask;
    double scale; /* of the inputs: 4 gives scores of hundreds */
} shapes[] = {
    {1, 1, 1, 1, false, false, 1},   {2, 32, 4, 16, false, true, 1}, {1, 7, 3, 5, true, true, 1},
    {1, 128, 2, 64, true, false, 1}, {2, 300, 1, 64, true, true, 1}, {1, 513, 1, 72, false, true, 4},
    {1, 257, 1, 33, true, false, 4}, {3, 49, 2, 8, false, true, 1},
};

static void check_shape(size_t s, size_t set)
{
    const ffl_attention base = {.batch = shapes[s].batch,
                                .sequence = shapes[s].sequence,
                                .heads = shapes[s].heads,
                                .head_width = shapes[s].width,
                                .scale = 1 / sqrtf((float)shapes[s].width)};
    const size_t width = base.heads * base.head_width, ld = 3 * width + 3, ldo = width + 1;
    const size_t rows = base.batch * base.sequence;
    float *qkv = ffl_alloc_array(rows * ld, sizeof *qkv), *out = ffl_alloc_array(rows * ldo, sizeof *out);
    float *mask = ffl_alloc_array(rows, sizeof *mask), *bias = ffl_alloc_array(3 * width, sizeof *bias);
    double *scores = ffl_alloc_array(base.sequence, sizeof *scores), want[128];
    ffl_attention a = base;
    fill(qkv, rows * ld, shapes[s].scale, s);
    fill(bias, 3 * width, 0.5, 100 + s);
    a.bias = shapes[s].bias ? bias : NULL;
    for (size_t i = 0; i < rows; i++) /* the first key of a sequence always counts */
        mask[i] = i % base.sequence % 3 == 2 ? -10000.0f : 0.0f;
    for (size_t i = 0; i < rows * ldo; i++)
        out[i] = NAN;
    void *scratch = ffl_alloc(ffl_attention_scratch(&a, 2));
    const float *masks = shapes[s].mask ? mask : NULL;
    if (set == SETS)
        ffl_attention_run(&a, qkv, ld, masks, out, ldo, scratch, 2);
    for (size_t i = 0; set < SETS && i < base.batch * base.heads; i++) {
        const size_t row = i / base.heads * base.sequence;
        heads[set](&a, qkv + row * ld, ld, masks ? masks + row : NULL, i % base.heads, out + row * ldo, ldo,
                   scratch);
    }
    for (size_t i = 0; i < rows; i++) {
        for (size_t h = 0; h < base.heads; h++) {
            const size_t first = i / base.sequence * base.sequence;
            defined(&a, qkv + first * ld, ld, masks ? masks + first : NULL, h, i - first, scores, want);
            for (size_t c = 0; c < base.head_width; c++) {
                const double error = fabs((double)out[i * ldo + h * base.head_width + c] - want[c]);
                /* A score of hundreds has an error of 1e-5, its exponential that relative one. */
                cr_assert(error <= 4e-6 * shapes[s].scale * shapes[s].scale * shapes[s].scale,
                          "shape %zu, set %zu, row %zu, head %zu, column %zu: off by %g", s, set, i, h, c,
                          error);
            }
        }
        cr_assert(isnan(out[i * ldo + width]), "padding was written");
    }
    ffl_free(qkv), ffl_free(out), ffl_free(mask), ffl_free(bias), ffl_free(scores), ffl_free(scratch);
}

Test(attention, is_its_definition)
{
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t set = 0; set <= SETS; set++)
            if (set == SETS || (heads[set] && ffl_machine_host()->isa[set_isa[set]]))
                check_shape(s, set);
}

/* A row that is not finite stays within its sequence. */
Test(attention, sequences_do_not_touch_each_other)
{
    const ffl_attention a = {.batch = 2, .sequence = 9, .heads = 2, .head_width = 4, .scale = 0.5f};
    float qkv[18 * 24], out[18 * 8], again[18 * 8];
    void *scratch = ffl_alloc(ffl_attention_scratch(&a, 1));
    fill(qkv, 18 * 24, 1, 5);
    ffl_attention_run(&a, qkv, 24, NULL, out, 8, scratch, 1);
    qkv[3 * 24 + 9] = NAN;
    qkv[4 * 24] = INFINITY;
    ffl_attention_run(&a, qkv, 24, NULL, again, 8, scratch, 1);
    cr_assert_arr_eq(out + 9 * 8, again + 9 * 8, 9 * 8 * sizeof *out);
    cr_assert(isnan(again[0]));
    ffl_free(scratch);
}

Test(attention, exponential_is_accurate)
{
    for (double x = 0; x > -87; x -= 0.0371) {
        const ffl_vector e = ffl_vector_exp(FFL_VECTOR_SPLAT((float)x));
        const double want = exp((double)(float)x);
        cr_assert(fabs((double)e[0] - want) <= 0x1p-22 * want, "exp(%g) = %g", x, (double)e[0]);
    }
    cr_assert_eq(ffl_vector_exp(FFL_VECTOR_SPLAT(-88.0f))[0], 0);
    cr_assert_eq(ffl_vector_exp(FFL_VECTOR_SPLAT(-INFINITY))[0], 0);
    cr_assert(isnan(ffl_vector_exp(FFL_VECTOR_SPLAT(NAN))[1]));
}

static void check_norm(size_t set, size_t width, bool with_add)
{
    float *v = ffl_alloc_array(7 * width + 1, sizeof *v);
    float *x = v, *add = v + width, *y = v + 2 * width, *sum = v + 6 * width;
    fill(v, 7 * width, 2, width);
    const ffl_layernorm n = {.width = width,
                             .weight = v + 3 * width,
                             .bias = v + 4 * width,
                             .eps = 1e-12,
                             .add_bias = v + 5 * width};
    double mean = 0, variance = 0;
    for (size_t i = 0; i < width; i++) {
        x[i] += 3; /* a mean larger than the deviation */
        sum[i] = with_add ? x[i] + add[i] + n.add_bias[i] : x[i];
        mean += (double)sum[i] / (double)width;
    }
    for (size_t i = 0; i < width; i++)
        variance += pow((double)sum[i] - mean, 2) / (double)width;
    y[width] = 0;
    norms[set](&n, x, with_add ? add : NULL, y);
    for (size_t pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < width && width > 1; i++) {
            const double want =
                ((double)sum[i] - mean) / sqrt(variance) * (double)n.weight[i] + (double)n.bias[i];
            cr_assert(fabs((double)y[i] - want) <= 1e-5, "set %zu width %zu: %g, not %g", set, width,
                      (double)y[i], want);
            cr_assert(pass || fabsf(x[i] - sum[i]) <= 2e-6f);
        }
        norms[set](&n, x, NULL, x); /* in place */
        y = x;
    }
    ffl_free(v);
}

Test(layernorm, is_its_definition)
{
    static const size_t widths[] = {1, 5, 16, 63, 64, 100, 767, 768, 1024};
    for (size_t set = 0; set < SETS; set++)
        for (size_t w = 0;
             norms[set] && ffl_machine_host()->isa[set_isa[set]] && w < sizeof widths / sizeof *widths; w++)
            for (int with_add = 0; with_add < 2; with_add++)
                check_norm(set, widths[w], with_add);
}

Test(layernorm, rows_and_threads_do_not_matter)
{
    enum { WIDTH = 96, TOKENS = 2000 };
    float *v = ffl_alloc_array(WIDTH * (3 * TOKENS + 2), sizeof *v);
    fill(v, WIDTH * (3 * TOKENS + 2), 1, 1);
    float *one = v + TOKENS * WIDTH, *two = one + TOKENS * WIDTH;
    const ffl_layernorm n = {
        .width = WIDTH, .weight = two + TOKENS * WIDTH, .bias = two + (TOKENS + 1) * WIDTH, .eps = 1e-5};
    ffl_layernorm_run(&n, v, WIDTH, NULL, 0, one, WIDTH, TOKENS, 1);
    ffl_layernorm_run(&n, v, WIDTH, NULL, 0, two, WIDTH, TOKENS, 2);
    cr_assert_arr_eq(one, two, TOKENS * WIDTH * sizeof *one);
    ffl_free(v);
}
