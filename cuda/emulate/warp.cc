/* emulate.h: what a warp does together. Fragments: cuda/mma.cuh. */
#include "cuda/emulate/cuda_runtime.h"

unsigned __ballot_sync(unsigned mask, int predicate)
{
    ffl_emulated_word own = {};
    own.bytes[0] = predicate != 0;
    const ffl_emulated_word *all = ffl_emulated_exchange(mask, own);
    unsigned votes = 0;
    for (unsigned lane = 0; lane < 32; lane++)
        if (mask >> lane & 1 && all[lane].bytes[0])
            votes |= 1u << lane;
    return votes;
}

static unsigned word(const ffl_emulated_word *from, unsigned i)
{
    unsigned value;
    memcpy(&value, from->bytes + 4 * i, 4);
    return value;
}

static const ffl_emulated_word *exchange_word(unsigned mask, unsigned value)
{
    ffl_emulated_word own = {};
    memcpy(own.bytes, &value, 4);
    return ffl_emulated_exchange(mask, own);
}

unsigned __match_any_sync(unsigned mask, unsigned value)
{
    const ffl_emulated_word *all = exchange_word(mask, value);
    unsigned same = 0;
    for (unsigned lane = 0; lane < 32; lane++)
        if (mask >> lane & 1 && word(&all[lane], 0) == value)
            same |= 1u << lane;
    return same;
}

unsigned __reduce_add_sync(unsigned mask, unsigned value)
{
    const ffl_emulated_word *all = exchange_word(mask, value);
    unsigned sum = 0;
    for (unsigned lane = 0; lane < 32; lane++)
        if (mask >> lane & 1)
            sum += word(&all[lane], 0);
    return sum;
}

unsigned __reduce_max_sync(unsigned mask, unsigned value)
{
    const ffl_emulated_word *all = exchange_word(mask, value);
    unsigned most = 0;
    for (unsigned lane = 0; lane < 32; lane++)
        if (mask >> lane & 1)
            most = max(most, word(&all[lane], 0));
    return most;
}

uint16_t ffl_emulated_bf16(float value)
{
    const uint32_t bits = __float_as_uint(value);
    if (value != value)
        return 0x7fff;
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float ffl_emulated_f16_to_float(uint16_t bits)
{
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const float value = exponent == 31  ? (fraction ? NAN : INFINITY)
                        : exponent == 0 ? ldexpf((float)fraction, -24)
                                        : ldexpf((float)(1024 + fraction), exponent - 25);
    return bits & 0x8000 ? -value : value;
}

/* To nearest, ties to even: below 2^-14 the steps are all of 2^-24; rintf does the rounding. */
uint16_t ffl_emulated_f16(float value)
{
    const uint16_t sign = (uint16_t)(__float_as_uint(value) >> 16 & 0x8000);
    const float a = fabsf(value);
    if (value != value)
        return 0x7fff;
    if (a >= 65520.0f)
        return sign | 0x7c00;
    if (a == 0)
        return sign;
    int exponent;
    (void)frexpf(a, &exponent);
    const int step = max(exponent - 11, -24); /* of the last place */
    const int units = (int)rintf(ldexpf(a, -step));
    /* units = 2^10 … 2^11: 2^11 carries into the exponent by itself. */
    return sign | (uint16_t)(units + (step + 24) * 1024);
}

static float bf16(uint32_t pair, unsigned high)
{
    return __uint_as_float(high ? pair & 0xffff0000u : pair << 16);
}

/* Products are exact in double; the sum's order is the hardware's own, so it is one rounding here. */
void ffl_emulated_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    ffl_emulated_word own;
    memcpy(own.bytes, a, 16);
    memcpy(own.bytes + 16, b, 8);
    const ffl_emulated_word *all = ffl_emulated_exchange(0xffffffffu, own);
    const unsigned lane = ffl_emulated_lane(), g = lane / 4, q = lane % 4;
    for (unsigned i = 0; i < 4; i++) {
        const unsigned lower = i / 2, column = 2 * q + i % 2;
        double sum = d[i];
        for (unsigned k = 0; k < 16; k++) {
            const unsigned upper_k = k / 8, pair = k % 8 / 2;
            sum += (double)bf16(word(&all[g * 4 + pair], lower + 2 * upper_k), k % 2) *
                   (double)bf16(word(&all[column * 4 + pair], 4 + upper_k), k % 2);
        }
        d[i] = (float)sum;
    }
}

static double tf32(uint32_t bits)
{
    return __uint_as_float(bits & 0xffffe000u);
}

void ffl_emulated_mma_tf32(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    ffl_emulated_word own;
    memcpy(own.bytes, a, 16);
    memcpy(own.bytes + 16, b, 8);
    const ffl_emulated_word *all = ffl_emulated_exchange(0xffffffffu, own);
    const unsigned lane = ffl_emulated_lane(), g = lane / 4, q = lane % 4;
    for (unsigned i = 0; i < 4; i++) {
        const unsigned lower = i / 2, column = 2 * q + i % 2;
        double sum = d[i];
        for (unsigned k = 0; k < 8; k++)
            sum += tf32(word(&all[g * 4 + k % 4], lower + 2 * (k / 4))) *
                   tf32(word(&all[column * 4 + k % 4], 4 + k / 4));
        d[i] = (float)sum;
    }
}

void ffl_emulated_load_matrices(uint32_t out[4], const void *row, bool transposed)
{
    ffl_emulated_word own;
    memcpy(own.bytes, row, 16);
    const ffl_emulated_word *all = ffl_emulated_exchange(0xffffffffu, own);
    const unsigned lane = ffl_emulated_lane(), g = lane / 4, q = lane % 4;
    for (unsigned m = 0; m < 4; m++) {
        uint16_t pair[2];
        for (unsigned i = 0; i < 2; i++)
            memcpy(&pair[i],
                   transposed ? all[8 * m + 2 * q + i].bytes + 2 * g : all[8 * m + g].bytes + 4 * q + 2 * i,
                   2);
        out[m] = pair[0] | (uint32_t)pair[1] << 16;
    }
}
