/*
 * Device variants that check and bench must see through, and honest ones that keep rows in 16 bits: a plugin
 * for the emulated device (test_cuda_check.c, test_cuda_bench.c). One thread per token.
 */
#include "cuda/bf16.cuh"
#include "kernels/variant.h"

enum mischief {
    HONEST,
    WRITES_AFTER_Y,
    WRITES_BEFORE_Y,
    WRITES_PADDING,
    WRITES_X,
    WRITES_WEIGHTS,
    WRITES_AFTER_SCRATCH,
    TRUSTS_SCRATCH,
    LEAVES_ONE,
    READS_PADDING,
    WRONG_CHILD,
    LAUNCH_ERROR,
    SYNCHRONISES,
    WRITES_FAR_AWAY
};

/* Half to float and back, for the normal numbers that the fixtures mostly hold. */
__device__ static float from_half(uint16_t half)
{
    const unsigned exponent = half >> 10 & 31, fraction = half & 0x3FF;
    if (exponent == 0) {
        const float value = (float)fraction * 0x1p-24f;
        return half & 0x8000 ? -value : value;
    }
    return __uint_as_float((unsigned)(half & 0x8000) << 16 |
                           (exponent == 31 ? 0x7F800000u : (exponent + 112) << 23) | fraction << 13);
}

__device__ static uint16_t to_half(float value)
{
    const unsigned sign = __float_as_uint(value) >> 16 & 0x8000, bits = __float_as_uint(value) & 0x7FFFFFFF;
    if (bits > 0x7F800000)
        return (uint16_t)(sign | 0x7E00);
    if (bits >= 0x47800000)
        return (uint16_t)(sign | 0x7C00);
    if (bits < 0x38800000)
        return (uint16_t)(sign | (unsigned)rintf(__uint_as_float(bits) * 0x1p24f));
    return (uint16_t)(sign | ((bits + 0xFFF + (bits >> 13 & 1) - 0x38000000) >> 13));
}

template <ffl_type STORAGE>
__device__ static float load(const void *rows, size_t i)
{
    if (STORAGE == FFL_F32)
        return ((const float *)rows)[i];
    const uint16_t bits = ((const uint16_t *)rows)[i];
    return STORAGE == FFL_BF16 ? ffl_bf16_to_float(bits) : from_half(bits);
}

template <ffl_type STORAGE>
__device__ static void store(void *rows, ptrdiff_t i, float value)
{
    if (STORAGE == FFL_F32)
        ((float *)rows)[i] = value;
    else
        ((uint16_t *)rows)[i] = STORAGE == FFL_BF16 ? ffl_bf16_from_float(value) : to_half(value);
}

__device__ static float activate(ffl_activation activation, float z)
{
    if (activation == FFL_RELU)
        return z > 0 ? z : 0;
    if (activation == FFL_GELU_TANH)
        return z / (1 + expf(-1.5957691f * fmaf(0.044715f * z * z, z, z)));
    return 0.5f * z * (1 + erff(z * 0.70710678f));
}

template <ffl_type STORAGE>
__global__ static void walk(ffl_layer l, const void *x, size_t ldx, void *y, size_t ldy, size_t tokens,
                            float *scratch, mischief m, int32_t *nodes, float *logits)
{
    const size_t t = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (t >= tokens)
        return;
    for (size_t j = 0; y && j < l.width_out; j++) {
        float sum = 0;
        for (size_t tree = 0, node = 0; tree < l.trees; tree++, node = 0)
            for (size_t level = 0; level < l.levels; level++) {
                const size_t row = tree * l.nodes + node;
                float z = 0;
                for (size_t i = 0; i < l.width_in; i++)
                    z += load<STORAGE>(x, t * ldx + i) * l.w_in[row * l.width_in + i];
                z += l.b_in[row];
                if (m == READS_PADDING && t + 1 < tokens && ldx > l.width_in)
                    z += load<STORAGE>(x, t * ldx + l.width_in);
                sum += activate(l.activation, z) * l.w_out[row * l.width_out + j];
                node = 2 * node + 1 + (m == WRONG_CHILD ? z >= 0 : z > 0);
            }
        if (m == TRUSTS_SCRATCH)
            sum += scratch[0];
        if (m != LEAVES_ONE || t + 1 < tokens || j + 1 < l.width_out)
            store<STORAGE>(y, (ptrdiff_t)(t * ldy + j), sum);
    }
    for (size_t tree = 0, node = 0; nodes && tree < l.trees; tree++, node = 0)
        for (size_t level = 0; level < l.levels; level++) {
            const size_t row = tree * l.nodes + node, at = (t * l.trees + tree) * l.levels + level;
            float z = 0;
            for (size_t i = 0; i < l.width_in; i++)
                z += load<STORAGE>(x, t * ldx + i) * l.w_in[row * l.width_in + i];
            nodes[at] = (int32_t)node;
            logits[at] = z += l.b_in[row];
            node = 2 * node + 1 + (z > 0);
        }
    if (t + 1 < tokens)
        return;
    const ptrdiff_t end = (ptrdiff_t)((tokens - 1) * ldy + l.width_out);
    if (m == WRITES_AFTER_Y)
        store<STORAGE>(y, end + 1, 0);
    if (m == WRITES_BEFORE_Y)
        store<STORAGE>(y, -1, 0);
    if (m == WRITES_PADDING && tokens > 1 && ldy > l.width_out)
        store<STORAGE>(y, (ptrdiff_t)ldy - 1, 0);
    if (m == WRITES_X)
        store<STORAGE>((void *)x, (ptrdiff_t)((tokens - 1) * ldx), 0.125f);
    if (m == WRITES_WEIGHTS)
        ((float *)l.w_out)[l.neurons * l.width_out - 1] += 1;
    if (m == WRITES_FAR_AWAY)
        store<STORAGE>(y, (ptrdiff_t)1 << 44, 0);
    if (m == WRITES_AFTER_SCRATCH)
        scratch[4] = 0;
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)layer;
    (void)machine;
    plan->scratch_bytes = 4 * sizeof(float);
    return FFL_OK;
}

template <ffl_type STORAGE, mischief M>
static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const unsigned blocks = M == LAUNCH_ERROR ? 0 : (unsigned)((tokens + 31) / 32);
    FFL_LAUNCH((walk<STORAGE>), blocks, 32, 0, ffl_cuda_stream(exec->stream), *plan->layer, x, ldx, y, ldy,
               tokens, (float *)exec->scratch, M, (int32_t *)nullptr, (float *)nullptr);
    FFL_CUDA_TRY(cudaGetLastError());
    if (M == SYNCHRONISES)
        FFL_CUDA_TRY(cudaStreamSynchronize(ffl_cuda_stream(exec->stream)));
    return FFL_OK;
}

template <ffl_type STORAGE>
static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    FFL_LAUNCH((walk<STORAGE>), (unsigned)((tokens + 31) / 32), 32, 0, ffl_cuda_stream(exec->stream),
               *plan->layer, x, ldx, (void *)nullptr, 0, tokens, (float *)exec->scratch, HONEST, nodes,
               logits);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

/* erff and the products around it cost a few roundings. */
#define VARIANT(NAME, STORAGE, M)                                                                            \
    {                                                                                                        \
        .name = "fff_cuda_" NAME, .summary = "for the tests", .source = "the tests", .operation = FFL_FFF,   \
        .place = FFL_CUDA,                                                                                   \
        .contract = {.input = STORAGE,                                                                       \
                     .weights = FFL_F32,                                                                     \
                     .hidden = FFL_F32,                                                                      \
                     .accumulator = FFL_F32,                                                                 \
                     .output = STORAGE,                                                                      \
                     .storage = STORAGE,                                                                     \
                     .reassociates = true,                                                                   \
                     .activation_error = 16 * FFL_UNIT_F32,                                                  \
                     .alignment = 4,                                                                         \
                     .invariances = FFL_SAME_RUN_TO_RUN},                                                    \
        .prepare = prepare, .run = run<STORAGE, M>, .trace = trace<STORAGE>                                  \
    }

FFL_VARIANTS(cuda_plugin) = {
    VARIANT("plain", FFL_F32, HONEST),
    VARIANT("plain_bf16", FFL_BF16, HONEST),
    VARIANT("plain_f16", FFL_F16, HONEST),
    VARIANT("after", FFL_F32, WRITES_AFTER_Y),
    VARIANT("after_bf16", FFL_BF16, WRITES_AFTER_Y),
    VARIANT("before", FFL_F32, WRITES_BEFORE_Y),
    VARIANT("before_bf16", FFL_BF16, WRITES_BEFORE_Y),
    VARIANT("padding", FFL_F32, WRITES_PADDING),
    VARIANT("padding_bf16", FFL_BF16, WRITES_PADDING),
    VARIANT("input", FFL_BF16, WRITES_X),
    VARIANT("weights", FFL_F32, WRITES_WEIGHTS),
    VARIANT("scratch", FFL_F32, WRITES_AFTER_SCRATCH),
    VARIANT("trusts", FFL_F32, TRUSTS_SCRATCH),
    VARIANT("leaves", FFL_F32, LEAVES_ONE),
    VARIANT("leaves_bf16", FFL_BF16, LEAVES_ONE),
    VARIANT("reads_padding", FFL_F32, READS_PADDING),
    VARIANT("wrong_child", FFL_F32, WRONG_CHILD),
    VARIANT("launch", FFL_F32, LAUNCH_ERROR),
    VARIANT("waits", FFL_F32, SYNCHRONISES),
    VARIANT("far", FFL_F32, WRITES_FAR_AWAY),
    {},
};
FFL_PLUGIN(cuda_plugin);
