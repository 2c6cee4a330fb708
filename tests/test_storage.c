/* Narrowing to bf16 and f16 against the definition: the nearest of all values of the type, ties to even. */
#include "harness/device/storage.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static float widen(ffl_type type, uint16_t bits)
{
    float value;
    ffl_storage_widen(type, &bits, 1, &value);
    return value;
}

static uint16_t narrow(ffl_type type, float value)
{
    uint16_t bits;
    ffl_storage_narrow(type, &value, 1, &bits);
    return bits;
}

/* By the format's definition, in double. */
static double defined(ffl_type type, uint16_t bits)
{
    const int digits = type == FFL_BF16 ? 7 : 10, bias = type == FFL_BF16 ? 127 : 15;
    const int exponent = (bits & 0x7FFF) >> digits, fraction = bits & ((1 << digits) - 1);
    const double sign = bits & 0x8000 ? -1 : 1;
    if (exponent == 2 * bias + 1)
        return fraction ? NAN : sign * INFINITY;
    if (exponent == 0)
        return sign * ldexp(fraction, 1 - bias - digits);
    return sign * ldexp((1 << digits) + fraction, exponent - bias - digits);
}

Test(storage, every_value_widens_exactly_and_comes_back)
{
    static const ffl_type types[] = {FFL_BF16, FFL_F16};
    for (size_t t = 0; t < 2; t++)
        for (unsigned bits = 0; bits <= 0xFFFF; bits++) {
            const double exact = defined(types[t], (uint16_t)bits);
            const float got = widen(types[t], (uint16_t)bits);
            if (isnan(exact)) {
                cr_assert(isnan(got) && isnan(widen(types[t], narrow(types[t], got))), "%x", bits);
                continue;
            }
            cr_assert((double)got == exact && !signbit(got) == !(bits & 0x8000), "%s %x: %a", //
                      ffl_type_name(types[t]), bits, (double)got);
            cr_assert_eq(narrow(types[t], got), bits, "%s %x", ffl_type_name(types[t]), bits);
        }
}

Test(storage, between_two_values_the_nearer_wins_and_the_even_one_on_a_tie)
{
    static const ffl_type types[] = {FFL_BF16, FFL_F16};
    for (size_t t = 0; t < 2; t++)
        for (unsigned bits = 0; isfinite(defined(types[t], (uint16_t)bits)); bits++) {
            const bool last = !isfinite(defined(types[t], (uint16_t)(bits + 1)));
            const double low = defined(types[t], (uint16_t)bits);
            /* Beyond the largest value: as if the next one were there, and infinite from the middle on. */
            const double high = last ? 2 * low - defined(types[t], (uint16_t)(bits - 1))
                                     : defined(types[t], (uint16_t)(bits + 1));
            const float middle = (float)(low + (high - low) / 2);
            if ((double)middle != low + (high - low) / 2)
                continue; /* the middle of two bf16 denormals next to zero is a float, too: never */
            cr_assert_eq(narrow(types[t], middle), bits + (bits & 1), "%s, middle after %x",
                         ffl_type_name(types[t]), bits);
            cr_assert_eq(narrow(types[t], nextafterf(middle, 0)), bits, "%s, below the middle after %x",
                         ffl_type_name(types[t]), bits);
            cr_assert_eq(narrow(types[t], nextafterf(middle, INFINITY)), bits + 1,
                         "%s, above the middle after %x", ffl_type_name(types[t]), bits);
            cr_assert_eq(narrow(types[t], -middle), 0x8000 | (bits + (bits & 1)));
        }
}

Test(storage, ends_of_the_range)
{
    cr_assert_eq(narrow(FFL_F16, 1e30f), 0x7C00);
    cr_assert_eq(narrow(FFL_F16, -INFINITY), 0xFC00);
    cr_assert_eq(narrow(FFL_F16, 1e-30f), 0);
    cr_assert_eq(narrow(FFL_F16, -0.0f), 0x8000);
    cr_assert_eq(narrow(FFL_BF16, 0x1.fffffep127f), 0x7F80);
    const uint32_t thin = 0x7F800001; /* a NaN whose upper half alone would be an infinity */
    float nan;
    memcpy(&nan, &thin, sizeof nan);
    cr_assert(isnan(widen(FFL_BF16, narrow(FFL_BF16, nan))));
    cr_assert(isnan(widen(FFL_F16, narrow(FFL_F16, nan))));
}

Test(storage, odd_addresses_and_sizes)
{
    const float in[3] = {1.5f, -2, 0.25f};
    float out[3];
    unsigned char bytes[16];
    memset(bytes, 0xAB, sizeof bytes);
    ffl_storage_narrow(FFL_BF16, in, 3, bytes + 1);
    cr_assert(bytes[0] == 0xAB && bytes[7] == 0xAB);
    ffl_storage_widen(FFL_BF16, bytes + 1, 3, out);
    cr_assert_arr_eq(in, out, sizeof in);
    cr_assert_eq(ffl_storage_size(FFL_F32), 4);
    cr_assert_eq(ffl_storage_size(FFL_F16), 2);
    cr_assert_eq(ffl_storage_size(FFL_INT8), 0);
    const ffl_contract half = {.storage = FFL_BF16, .alignment = 4},
                       wide = {.storage = FFL_BF16, .alignment = 16};
    const ffl_contract plain = {.alignment = 4};
    cr_assert_eq(ffl_storage_alignment(&half), 2);
    cr_assert_eq(ffl_storage_alignment(&wide), 16);
    cr_assert_eq(ffl_storage_alignment(&plain), 4);
}
