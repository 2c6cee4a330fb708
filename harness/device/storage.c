#include "harness/device/storage.h"
#include <math.h>
#include <string.h>

size_t ffl_storage_size(ffl_type storage)
{
    return storage == FFL_F32 ? 4 : storage == FFL_BF16 || storage == FFL_F16 ? 2 : 0;
}

size_t ffl_storage_alignment(const ffl_contract *contract)
{
    const size_t element = ffl_storage_size(contract->storage);
    /* 4 is what contracts say that ask for nothing. */
    return contract->alignment > sizeof(float) && contract->alignment > element ? contract->alignment
                                                                                : element;
}

size_t ffl_storage_stride(size_t width, size_t padding, const ffl_contract *contract)
{
    const size_t unit = ffl_storage_alignment(contract) / ffl_storage_size(contract->storage);
    return (width + padding + unit - 1) / unit * unit;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint16_t to_bf16(float value)
{
    const uint32_t bits = bits_of(value);
    if (isnan(value))
        return (uint16_t)(bits >> 16 | 0x40); /* the payload's upper bits may all be zero */
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static uint16_t to_f16(float value)
{
    const uint32_t sign = bits_of(value) >> 16 & 0x8000, bits = bits_of(value) & 0x7FFFFFFF;
    if (bits > 0x7F800000)
        return (uint16_t)(sign | 0x7E00);
    if (bits >= 0x47800000) /* 2^16 and infinity */
        return (uint16_t)(sign | 0x7C00);
    if (bits < 0x38800000) /* below 2^-14: a multiple of 2^-24; rint rounds as the processor does */
        return (uint16_t)(sign | (uint32_t)rintf(float_of(bits) * 0x1p24f));
    /* A carry out of the fraction is one step of the exponent, at the top the infinity: both as should be. */
    return (uint16_t)(sign | ((bits + 0xFFF + (bits >> 13 & 1) - 0x38000000) >> 13));
}

static float from_f16(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31,
                   fraction = half & 0x3FF;
    if (exponent == 0)
        return copysignf((float)fraction * 0x1p-24f, float_of(sign));
    return float_of(sign | (exponent == 31 ? 0x7F800000 : (exponent + 112) << 23) | fraction << 13);
}

void ffl_storage_narrow(ffl_type storage, const float *in, size_t count, void *out)
{
    if (storage == FFL_F32) {
        memcpy(out, in, count * sizeof *in);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const uint16_t value = storage == FFL_BF16 ? to_bf16(in[i]) : to_f16(in[i]);
        memcpy((char *)out + i * sizeof value, &value, sizeof value);
    }
}

void ffl_storage_widen(ffl_type storage, const void *in, size_t count, float *out)
{
    if (storage == FFL_F32) {
        memcpy(out, in, count * sizeof *out);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t value;
        memcpy(&value, (const char *)in + i * sizeof value, sizeof value);
        out[i] = storage == FFL_BF16 ? float_of((uint32_t)value << 16) : from_f16(value);
    }
}
