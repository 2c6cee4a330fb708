#include "harness/check/bounds.h"
#include "harness/check/sums.h"
#include "harness/device/storage.h"
#include "harness/selftest/calibration.h"
#include "harness/workload/random.h"
#include "kernels/memory.h"
#include <math.h>
#include <string.h>

enum { N = FFL_BLOCK_NEURONS, TOKENS = FFL_UNIT_TOKENS, OUTLIER_EVERY = 97 };

#define HALF(type)                                                                                           \
    {                                                                                                        \
        .input = type, .weights = type, .hidden = type, .accumulator = FFL_F32, .output = type               \
    }
#define STORED(type)                                                                                         \
    {                                                                                                        \
        .input = type, .weights = type, .logit = type, .hidden = type, .accumulator = FFL_F32,               \
        .output = type                                                                                       \
    }
#define INT8(in, scale)                                                                                      \
    {                                                                                                        \
        .input = in, .weights = FFL_INT8, .accumulator = FFL_F32, .weight_scale = scale                      \
    }

const ffl_honest_kernel ffl_honest_kernels[] = {
    {"f32, by index", FFL_FORM_F32, FFL_FORM_F32, FFL_SUM_BY_INDEX, false, FFL_CONTRACT_F32},
    {"f32, from the bias", FFL_FORM_F32, FFL_FORM_F32, FFL_SUM_BY_INDEX, true, FFL_CONTRACT_F32},
    {"f32, 64 lanes", FFL_FORM_F32, FFL_FORM_F32, FFL_SUM_64_LANES, false, FFL_CONTRACT_F32},
    {"f32, fused", FFL_FORM_F32, FFL_FORM_F32, FFL_SUM_FUSED, false, FFL_CONTRACT_F32},
    {"f32, fused, 16 lanes", FFL_FORM_F32, FFL_FORM_F32, FFL_SUM_FUSED_16_LANES, true, FFL_CONTRACT_F32},
    {"tf32", FFL_FORM_TF32, FFL_FORM_TF32, FFL_SUM_FUSED_16_LANES, false, HALF(FFL_TF32)},
    {"bf16", FFL_FORM_BF16, FFL_FORM_BF16, FFL_SUM_FUSED_16_LANES, false, HALF(FFL_BF16)},
    {"bf16, logits too", FFL_FORM_BF16, FFL_FORM_BF16, FFL_SUM_16_LANES, false, STORED(FFL_BF16)},
    {"bf16, logits with bias", FFL_FORM_BF16, FFL_FORM_BF16, FFL_SUM_16_LANES, true, STORED(FFL_BF16)},
    {"bf16 weights",
     FFL_FORM_F32,
     FFL_FORM_BF16,
     FFL_SUM_FUSED_16_LANES,
     false,
     {.weights = FFL_BF16, .accumulator = FFL_F32}},
    {"f16", FFL_FORM_F16, FFL_FORM_F16, FFL_SUM_FUSED_16_LANES, false, HALF(FFL_F16)},
    {"f16, logits too", FFL_FORM_F16, FFL_FORM_F16, FFL_SUM_16_LANES, false, STORED(FFL_F16)},
    {"int8 weights", FFL_FORM_F32, FFL_FORM_INT8, FFL_SUM_FUSED_16_LANES, false,
     INT8(FFL_F32, FFL_SCALE_ROW)},
    {"int8 weights, one scale", FFL_FORM_F32, FFL_FORM_INT8_TENSOR, FFL_SUM_FUSED_16_LANES, false,
     INT8(FFL_F32, FFL_SCALE_TENSOR)},
    {"int8 weights and inputs", FFL_FORM_INT8, FFL_FORM_INT8, FFL_SUM_DOUBLE, false,
     INT8(FFL_INT8, FFL_SCALE_ROW)},
    {"int8 weights, int16 inputs", FFL_FORM_INT16, FFL_FORM_INT8, FFL_SUM_DOUBLE, false,
     INT8(FFL_INT16, FFL_SCALE_ROW)},
    {0},
};

const char *const ffl_calibration_data_names[FFL_CALIBRATE_KINDS] = {"zero mean", "same sign", "outliers",
                                                                     "cancelled", "both"};

const size_t ffl_calibration_widths[] = {1, 2, 13, 64, 256, 768, 3072, 0};

/* ---- Rounding ---- */

static float to_tf32(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits = (bits + 0xFFF + (bits >> 13 & 1)) & ~0x1FFFu;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static float stored(ffl_type type, float v)
{
    uint16_t half;
    if (type != FFL_BF16 && type != FFL_F16)
        return v;
    ffl_storage_narrow(type, &v, 1, &half);
    ffl_storage_widen(type, &half, 1, &v);
    return v;
}

static float peak_of(const float *v, size_t count)
{
    float peak = 0;
    for (size_t i = 0; i < count; i++)
        peak = fmaxf(peak, fabsf(v[i]));
    return peak;
}

/* v in a form; returns what its codes are to be multiplied by. */
static float convert(ffl_form form, float peak, const float *v, size_t count, float *out)
{
    const ffl_type type = form == FFL_FORM_BF16 ? FFL_BF16 : FFL_F16;
    float step = 1, inverse = 1;
    if (form == FFL_FORM_INT16 && peak > 0)
        step = ldexpf(1, ilogbf(peak) - 13);
    else if ((form == FFL_FORM_INT8 || form == FFL_FORM_INT8_TENSOR) && peak > 0)
        step = peak / 127;
    inverse = 1 / step;
    for (size_t i = 0; i < count; i++)
        out[i] = form == FFL_FORM_F32    ? v[i]
                 : form == FFL_FORM_TF32 ? to_tf32(v[i])
                 : form <= FFL_FORM_F16  ? stored(type, v[i])
                                         : rintf(v[i] * inverse);
    return step;
}

/* ---- The data of a unit ---- */

typedef struct unit {
    ffl_calibration_data kind;
    ffl_layer layer; /* of one block: w_in, b_in, and weights of one output */
    float *x[FFL_FORM_COUNT], x_scale[FFL_FORM_COUNT][TOKENS]; /* [TOKENS][width] */
    float *w, b[N];                                            /* [N][width], as drawn */
    float *across[FFL_FORM_COUNT], w_scale[FFL_FORM_COUNT][N]; /* [width][N] */
    /* As drawn, but 0 where the code is 0: what fixed point does not lose altogether. */
    float *x_kept[FFL_FORM_COUNT], *across_kept[FFL_FORM_COUNT];
    float w_out[N];
    ffl_products norms[N]; /* of the weights; the sums of products are not set */
    ffl_input inputs[TOKENS];
    ffl_random random;
} unit;

static void unit_free(unit *u)
{
    for (int form = 0; form < FFL_FORM_COUNT; form++) {
        ffl_free(u->x[form]);
        ffl_free(u->across[form]);
        ffl_free(u->x_kept[form]);
        ffl_free(u->across_kept[form]);
    }
    ffl_free(u->w);
}

static ffl_status unit_new(ffl_calibration_data kind, size_t width, uint64_t seed, uint64_t index, unit *u)
{
    *u = (unit){.kind = kind, .random = ffl_random_new(seed, index)};
    FFL_TRY(ffl_layer_ff(width, 1, N, &u->layer));
    bool made = (u->w = ffl_alloc_array(N * width, sizeof *u->w)) != NULL;
    for (int form = 0; form < FFL_FORM_COUNT && made; form++)
        made = (u->x[form] = ffl_alloc_array(TOKENS * width, sizeof(float))) &&
               (u->across[form] = ffl_alloc_array(N * width, sizeof(float))) &&
               (u->x_kept[form] = ffl_alloc_array(TOKENS * width, sizeof(float))) &&
               (u->across_kept[form] = ffl_alloc_array(N * width, sizeof(float)));
    for (size_t k = 0; k < N; k++)
        u->w_out[k] = 1;
    u->layer.w_in = u->w;
    u->layer.b_in = u->b;
    u->layer.w_out = u->w_out;
    if (made)
        return FFL_OK;
    unit_free(u);
    return FFL_NO_MEMORY;
}

static bool positive(ffl_calibration_data kind)
{
    return kind == FFL_CALIBRATE_SAME_SIGN || kind == FFL_CALIBRATE_CANCELLED || kind == FFL_CALIBRATE_BOTH;
}

static void draw(unit *u, float *v, size_t count, float scale)
{
    for (size_t i = 0; i < count; i++) {
        v[i] = scale * (float)ffl_random_normal(&u->random);
        if (positive(u->kind))
            v[i] = fabsf(v[i]);
    }
}

static bool in_codes(ffl_form form)
{
    return form >= FFL_FORM_INT8;
}

static void keep(const float *v, const float *codes, size_t count, float *kept)
{
    for (size_t i = 0; i < count; i++)
        kept[i] = codes[i] == 0 ? 0 : v[i];
}

static void draw_tokens(unit *u)
{
    const size_t width = u->layer.width_in;
    const ffl_contract f32 = FFL_CONTRACT_F32;
    const ffl_arithmetic plain = ffl_arithmetic_new(&u->layer, &f32, FFL_DATA_GENERAL);
    draw(u, u->x[FFL_FORM_F32], TOKENS * width, 1);
    for (size_t t = 0; t < TOKENS; t++) {
        float *x = u->x[FFL_FORM_F32] + t * width;
        const size_t first = ffl_random_below(&u->random, width < OUTLIER_EVERY ? width : OUTLIER_EVERY);
        if (u->kind == FFL_CALIBRATE_OUTLIERS || u->kind == FFL_CALIBRATE_BOTH)
            for (size_t i = first; i < width; i += OUTLIER_EVERY)
                x[i] *= 300;
        u->inputs[t] = ffl_input_new(&plain, x);
        const float peak = peak_of(x, width);
        for (int form = FFL_FORM_F32 + 1; form < FFL_FORM_COUNT; form++)
            u->x_scale[form][t] = convert((ffl_form)form, peak, x, width, u->x[form] + t * width);
    }
    for (int form = FFL_FORM_F32; form < FFL_FORM_COUNT; form++)
        keep(u->x[FFL_FORM_F32], u->x[in_codes((ffl_form)form) ? form : FFL_FORM_F32], TOKENS * width,
             u->x_kept[form]);
}

static void lay_across(const float *row, size_t width, size_t k, float *across)
{
    for (size_t i = 0; i < width; i++)
        across[i * N + k] = row[i];
}

/* A row in every form, laid across; `converted` has room for a row. */
static void convert_row(unit *u, size_t k, float tensor_peak, float *converted)
{
    const size_t width = u->layer.width_in;
    const float *row = u->w + k * width, peak = peak_of(row, width);
    ffl_sum_norms(row, width, &u->norms[k].w_peak, &u->norms[k].w_absolute, &u->norms[k].w_squares);
    for (int form = 0; form < FFL_FORM_COUNT; form++) {
        u->w_scale[form][k] =
            convert((ffl_form)form, form == FFL_FORM_INT8_TENSOR ? tensor_peak : peak, row, width, converted);
        lay_across(converted, width, k, u->across[form]);
    }
}

/* Weights of the size that trained layers have. */
static ffl_status draw_block(unit *u)
{
    const size_t width = u->layer.width_in;
    float *converted = ffl_alloc_array(width, sizeof *converted);
    if (!converted)
        return FFL_NO_MEMORY;
    draw(u, u->w, N * width, 1 / sqrtf((float)width));
    draw(u, u->b, N, 0.1f);
    const float tensor_peak = peak_of(u->w, N * width);
    for (size_t k = 0; k < N; k++)
        convert_row(u, k, tensor_peak, converted);
    for (int form = FFL_FORM_F32; form < FFL_FORM_COUNT; form++)
        keep(u->across[FFL_FORM_F32], u->across[in_codes((ffl_form)form) ? form : FFL_FORM_F32], N * width,
             u->across_kept[form]);
    if (u->kind == FFL_CALIBRATE_CANCELLED) {
        ffl_block_products products;
        const size_t first = ffl_random_below(&u->random, TOKENS / FFL_BLOCK_TOKENS) * FFL_BLOCK_TOKENS;
        ffl_block_measure(u->x[FFL_FORM_F32] + first * width, u->across[FFL_FORM_F32], width, &products);
        for (size_t k = 0; k < N; k++)
            u->b[k] = (float)-products.sum[0][k];
    }
    ffl_free(converted);
    return FFL_OK;
}

/* ---- Comparing ---- */

/* Logits of the tokens from `first` on. */
static void compute(const unit *u, const ffl_honest_kernel *kernel, size_t first, ffl_block_floats z)
{
    const size_t width = u->layer.width_in;
    ffl_block_sum(kernel->order, u->x[kernel->x] + first * width, u->across[kernel->w], width,
                  kernel->bias_first ? u->b : NULL, z);
    for (size_t t = 0; t < FFL_BLOCK_TOKENS; t++) {
        const float x_scale = in_codes(kernel->x) ? u->x_scale[kernel->x][first + t] : 1;
        for (size_t k = 0; k < N; k++) {
            const float w_scale = in_codes(kernel->w) ? u->w_scale[kernel->w][k] : 1;
            const float s = stored(kernel->contract.logit, z[t][k] * (x_scale * w_scale));
            z[t][k] = kernel->bias_first ? s : s + u->b[k];
        }
    }
}

/* Where the statistical bound is the worst case (a few products), only the latter is a finding. */
static void compare(double error, const ffl_node *node, size_t width, ffl_calibrated *found)
{
    const double statistical = error / node->statistical, worst = error / node->worst;
    found->logits++;
    found->beyond += !(statistical <= 1);
    found->beyond_worst += !(worst <= 1);
    if (!(worst <= found->worst))
        found->worst = worst;
    if (node->statistical < node->worst && !(statistical <= found->statistical)) {
        found->statistical = statistical;
        found->width = width;
    }
}

/* Without the products that this kernel's fixed point loses. */
static void sum_kept(const unit *u, const ffl_honest_kernel *kernel, size_t first, ffl_block_floats kept)
{
    const size_t width = u->layer.width_in;
    ffl_block_sum(FFL_SUM_DOUBLE, u->x_kept[kernel->x] + first * width, u->across_kept[kernel->w], width,
                  NULL, kept);
}

static void compare_kernel(const unit *u, size_t h, const ffl_arithmetic *arithmetic, size_t first,
                           const ffl_block_products *products, ffl_calibrated *found)
{
    const ffl_honest_kernel *kernel = &ffl_honest_kernels[h];
    const bool loses = in_codes(kernel->x) || in_codes(kernel->w);
    ffl_block_floats z, kept;
    compute(u, kernel, first, z);
    if (loses)
        sum_kept(u, kernel, first, kept);
    for (size_t t = 0; t < FFL_BLOCK_TOKENS; t++)
        for (size_t k = 0; k < N; k++) {
            const double sum = products->sum[t][k], bias = u->b[k];
            ffl_products p = u->norms[k];
            p.absolute = products->absolute[t][k];
            p.squares = products->squares[t][k];
            p.lost = loses ? sum - (double)kept[t][k] : 0;
            ffl_node node = {.neuron = k, .z = sum + bias};
            ffl_node_bound(arithmetic, &u->inputs[first + t], &p, bias, &node);
            compare(fabs((double)z[t][k] - node.z), &node, u->layer.width_in, found);
        }
}

static void compare_block(unit *u, ffl_calibration *into)
{
    const size_t width = u->layer.width_in;
    ffl_arithmetic arithmetic[FFL_HONEST_KERNELS_MAX];
    ffl_block_products products;
    for (size_t h = 0; ffl_honest_kernels[h].name; h++)
        arithmetic[h] = ffl_arithmetic_new(&u->layer, &ffl_honest_kernels[h].contract, FFL_DATA_GENERAL);
    for (size_t first = 0; first < TOKENS; first += FFL_BLOCK_TOKENS) {
        ffl_block_measure(u->x[FFL_FORM_F32] + first * width, u->across[FFL_FORM_F32], width, &products);
        for (size_t h = 0; ffl_honest_kernels[h].name; h++)
            compare_kernel(u, h, &arithmetic[h], first, &products, &into->found[h][u->kind]);
    }
}

ffl_status ffl_calibration_unit(ffl_calibration_data kind, size_t width, size_t blocks, uint64_t seed,
                                uint64_t index, ffl_calibration *into)
{
    unit u;
    ffl_status status = FFL_OK;
    FFL_TRY(unit_new(kind, width, seed, index, &u));
    draw_tokens(&u);
    for (size_t b = 0; b < blocks && status == FFL_OK; b++) {
        status = draw_block(&u);
        if (status == FFL_OK)
            compare_block(&u, into);
    }
    unit_free(&u);
    return status;
}
