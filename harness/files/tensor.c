/* Tensor elements as float (safetensors.h). */
#include "harness/files/safetensors.h"
#include <stdint.h>
#include <string.h>

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE half: 1 sign, 5 exponent, 10 fraction bits. */
static float float_of_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half >> 15) << 31, exponent = (half >> 10) & 31, fraction = half & 1023;
    if (exponent == 31)
        return float_of_bits(sign | 0x7F800000u | fraction << 13);
    if (exponent == 0) /* denormal: fraction · 2^-24 */
        return (sign ? -1.0f : 1.0f) * (float)fraction * 0x1p-24f;
    return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

static uint16_t half_at(const unsigned char *data, size_t i)
{
    uint16_t half;
    memcpy(&half, data + 2 * i, sizeof half);
    return half;
}

ffl_status ffl_tensor_to_float(const ffl_tensor *tensor, float *out)
{
    switch (tensor->dtype) {
    case FFL_DTYPE_F32:
        if (tensor->bytes) /* an empty tensor may have no place to read from */
            memcpy(out, tensor->data, tensor->bytes);
        return FFL_OK;
    case FFL_DTYPE_F64:
        for (size_t i = 0; i < tensor->count; i++) {
            double value;
            memcpy(&value, tensor->data + 8 * i, sizeof value);
            out[i] = (float)value;
        }
        return FFL_OK;
    case FFL_DTYPE_F16:
        for (size_t i = 0; i < tensor->count; i++)
            out[i] = float_of_half(half_at(tensor->data, i));
        return FFL_OK;
    case FFL_DTYPE_BF16:
        for (size_t i = 0; i < tensor->count; i++)
            out[i] = float_of_bits((uint32_t)half_at(tensor->data, i) << 16);
        return FFL_OK;
    case FFL_DTYPE_OTHER:
        break;
    }
    return ffl_fail(FFL_BAD_INPUT, "%s: expected F32, F64, F16 or BF16 elements", tensor->name);
}
