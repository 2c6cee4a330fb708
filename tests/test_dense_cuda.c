/* Host-side parts of the dense layers on the device: padding, scratch, chunks, and the quick GELU. */
#include "cuda/dense_plan.h"
#include "kernels/gelu.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* The GPU's instructions err by up to 2^-22 and an ulp: both ends of that, in every combination. */
static float exponential_off, inverse_off;
#define FFL_QUICK_EXP2(x) (exp2f(x) * (1.0f + exponential_off))
#define FFL_QUICK_INVERSE(x) (1.0f / (x) * (1.0f + inverse_off))
#include "cuda/gelu_quick.h"

static const ffl_dense_types f32 = {FFL_F32, FFL_F32, FFL_F32, false};
static const ffl_dense_types bf16 = {FFL_BF16, FFL_F32, FFL_BF16, false};
static const ffl_dense_types bf16_z16 = {FFL_BF16, FFL_BF16, FFL_BF16, false};
static const ffl_dense_types fused = {FFL_BF16, FFL_BF16, FFL_BF16, true};

static ffl_layer layer_of(size_t width_in, size_t width_out, size_t neurons)
{
    ffl_layer l;
    cr_assert_eq(ffl_layer_ff(width_in, width_out, neurons, &l), FFL_OK);
    return l;
}

Test(dense_cuda, rows_start_at_sixteen_bytes)
{
    static const float some_bias[1];
    ffl_layer l = layer_of(767, 769, 4095);
    ffl_dense_sizes s = ffl_dense_sizes_of(&l, &f32);
    cr_expect_eq(s.width_in, 768);
    cr_expect_eq(s.width_out, 772);
    cr_expect_eq(s.neurons, 4096);
    s = ffl_dense_sizes_of(&l, &bf16);
    cr_expect_eq(s.width_in, 768);
    cr_expect_eq(s.width_out, 776);
    cr_expect_eq(s.bias_neurons, 0);
    l.b_out = some_bias;
    s = ffl_dense_sizes_of(&l, &bf16);
    cr_expect_eq(s.bias_neurons, 3, "b_out is not rounded to 16 bits");
    cr_expect_eq(s.neurons, 4104);
    cr_expect_eq(ffl_dense_sizes_of(&l, &f32).bias_neurons, 0, "the epilogue adds it in f32");
}

Test(dense_cuda, only_whole_aligned_rows_are_used_in_place)
{
    static _Alignas(16) const float x[64];
    cr_expect(ffl_dense_in_place(x, 8, 8, 8));
    cr_expect(!ffl_dense_in_place(x + 1, 8, 8, 8));
    cr_expect(!ffl_dense_in_place(x, 12, 8, 8), "rows further apart than the product was planned for");
    cr_expect(!ffl_dense_in_place(x, 8, 7, 8), "padding belongs to the caller");
}

static size_t chunks_of(const ffl_dense_types *types, size_t tokens, size_t l2, ffl_dense_chunk *out)
{
    const ffl_layer l = layer_of(768, 768, 4095);
    const ffl_dense_sizes s = ffl_dense_sizes_of(&l, types);
    return ffl_dense_chunks(&s, types, tokens, l2, 132, out);
}

Test(dense_cuda, chunks_fit_into_the_cache)
{
    const size_t l2 = (size_t)60 << 20;
    const ffl_dense_types *all[] = {&f32, &bf16, &bf16_z16, &fused};
    for (size_t t = 0; t < 4; t++) {
        ffl_dense_chunk c[FFL_CHUNKS_MOST];
        const size_t count = chunks_of(all[t], 16384, l2, c);
        cr_expect(count >= 3);
        cr_expect_eq(c[0].tokens, 16384);
        for (size_t i = 1; i < count; i++) {
            const size_t element = all[t]->product == FFL_F32 ? 4 : 2;
            cr_expect(c[i].tokens < 16384 && c[i].tokens % 128 == 0);
            cr_expect(c[i].tokens * 4096 * element <= l2);
            cr_expect(!(c[i].whole && all[t]->fused));
            for (size_t k = 0; k < i; k++)
                cr_expect(c[i].tokens != c[k].tokens || c[i].whole != c[k].whole, "twice the same");
        }
    }
    ffl_dense_chunk c[FFL_CHUNKS_MOST];
    const size_t count = chunks_of(&bf16_z16, 16384, l2, c);
    bool wave = false;
    for (size_t i = 0; i < count; i++)
        wave |= c[i].tokens == 2816; /* 22 tiles of rows, 6 of columns: 132 */
    cr_expect(wave);
    cr_expect_eq(chunks_of(&bf16, 128, l2, c), 1, "few tokens stay together");
    cr_expect_eq(chunks_of(&bf16, 16384, 1 << 10, c), 1, "a cache too small for any chunk");
    cr_expect_eq(chunks_of(&bf16, 1, l2, c), 1);
    cr_expect_eq(c[0].tokens, 1);
}

/* No two parts overlap, each holds its rows, all are aligned. */
Test(dense_cuda, scratch_has_a_place_for_everything)
{
    const ffl_dense_types *all[] = {&f32, &bf16, &bf16_z16, &fused};
    const ffl_layer l = layer_of(767, 100, 1000);
    for (size_t i = 0; i < 8; i++) {
        const ffl_dense_types *t = all[i / 2];
        const ffl_dense_chunk chunk = {128, i & 1};
        const ffl_dense_sizes s = ffl_dense_sizes_of(&l, t);
        const ffl_dense_scratch at = ffl_dense_scratch_of(&s, t, &chunk, 1000, 777);
        const size_t element = t->product == FFL_F32 ? 4 : 2, rows = chunk.whole ? 1000 : 128;
        cr_expect(at.logits >= at.x + 128 * s.width_in * element);
        if (t == &bf16)
            cr_expect(at.hidden >= at.logits + 128 * s.neurons * 4);
        else
            cr_expect_eq(at.hidden, at.logits);
        cr_expect(at.y >= at.hidden + rows * s.neurons * element);
        cr_expect(at.workspace >= at.y + rows * s.width_out * element);
        cr_expect(at.total >= at.workspace + 777);
        cr_expect_eq((at.x | at.logits | at.hidden | at.y | at.workspace) % 256, 0);
    }
}

Test(dense_cuda, quick_gelu_keeps_its_promise)
{
    static const float offs[] = {0, 0x1p-22f, -0x1p-22f};
    for (int i = 0; i < 9; i++) {
        exponential_off = offs[i % 3], inverse_off = offs[i / 3];
        for (uint32_t bits = 0; bits < 0x7f800000u; bits += 40009) {
            float z;
            memcpy(&z, &bits, sizeof z);
            for (int side = 0; side < 4; side++, z = -z) {
                const ffl_activation form = side < 2 ? FFL_GELU : FFL_GELU_TANH;
                const double exact = ffl_activate_double(form, (double)z);
                const double got = (double)ffl_activate_quick(form, z);
                const double bound = FFL_QUICK_ACTIVATION_ERROR * fabs((double)z) + 0x1p-149;
                cr_assert(fabs(got - exact) <= bound, "form %d of %a is %a, not %a", (int)form, (double)z,
                          got, exact);
                if (fabsf(z) >= 16)
                    cr_assert_eq(got, z > 0 ? (double)z : 0.0);
            }
        }
    }
    cr_expect(isnan(ffl_gelu_quick(NAN)));
    cr_expect_eq(ffl_gelu_quick(INFINITY), INFINITY);
    cr_expect_eq(ffl_gelu_quick(-INFINITY), 0);
    cr_expect_eq(ffl_gelu_quick(0), 0);
}
