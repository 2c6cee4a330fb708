/*
 * The experts that a mixture chooses for a token, and their shares; plain loops, compiled by each variant for
 * its instruction set.
 *
 * Gates become integers in the order of floats, NaN below all of them, and every block of 16 keeps its
 * largest: a choice then looks at one integer per block, one block, and no more.
 */
#ifndef FFL_KERNELS_SIMD_CHOOSE_H
#define FFL_KERNELS_SIMD_CHOOSE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { FFL_CHOICE_BLOCK = 16 };

/* Integers of scratch that a choice among so many experts needs. */
static inline size_t ffl_choice_keys(size_t experts)
{
    return (experts + FFL_CHOICE_BLOCK - 1) / FFL_CHOICE_BLOCK * (FFL_CHOICE_BLOCK + 1);
}

/* Equal for +0 and -0; above INT32_MIN, which marks what is taken. */
static inline int32_t ffl_choice_key(float z)
{
    const float zero_is_positive = z + 0.0f;
    int32_t bits;
    memcpy(&bits, &zero_is_positive, sizeof bits);
    const int32_t key = bits ^ (bits >> 31 & INT32_MAX);
    return z != z ? INT32_MIN + 1 : key;
}

static inline int32_t ffl_choice_largest(const int32_t *keys, size_t count)
{
    int32_t largest = INT32_MIN;
    for (size_t i = 0; i < count; i++)
        largest = keys[i] > largest ? keys[i] : largest;
    return largest;
}

static inline size_t ffl_choice_first(const int32_t *keys, int32_t value)
{
    size_t i = 0;
    while (keys[i] != value)
        i++;
    return i;
}

/* The largest key's index, which is marked as taken. */
static inline size_t ffl_choice_take(int32_t *keys, int32_t *largest, size_t blocks)
{
    const int32_t best = ffl_choice_largest(largest, blocks);
    const size_t block = ffl_choice_first(largest, best);
    int32_t *const own = keys + block * FFL_CHOICE_BLOCK;
    const size_t i = ffl_choice_first(own, best);
    own[i] = INT32_MIN;
    largest[block] = ffl_choice_largest(own, FFL_CHOICE_BLOCK);
    return block * FFL_CHOICE_BLOCK + i;
}

/*
 * expert [chosen], ascending: those of the `chosen` largest of gate [experts], the lower index of equal ones,
 * NaN last. share [chosen]: softmax over them, to 2u of each share.
 */
static inline void ffl_choose(const float *gate, size_t experts, size_t chosen, int32_t *keys,
                              uint32_t *expert, float *share)
{
    const size_t blocks = (experts + FFL_CHOICE_BLOCK - 1) / FFL_CHOICE_BLOCK;
    int32_t *const largest = keys + blocks * FFL_CHOICE_BLOCK;
    for (size_t e = 0; e < experts; e++)
        keys[e] = ffl_choice_key(gate[e]);
    for (size_t e = experts; e < blocks * FFL_CHOICE_BLOCK; e++)
        keys[e] = INT32_MIN;
    for (size_t b = 0; b < blocks; b++)
        largest[b] = ffl_choice_largest(keys + b * FFL_CHOICE_BLOCK, FFL_CHOICE_BLOCK);
    double top = 0, sum = 0;
    for (size_t c = 0; c < chosen; c++) {
        const uint32_t e = (uint32_t)ffl_choice_take(keys, largest, blocks);
        size_t at = c;
        for (; at > 0 && expert[at - 1] > e; at--)
            expert[at] = expert[at - 1];
        expert[at] = e;
        if (c == 0)
            top = (double)gate[e];
    }
    if (chosen == 1) {
        share[0] = 1.0f;
        return;
    }
    for (size_t c = 0; c < chosen; c++) {
        share[c] = (float)exp((double)gate[expert[c]] - top);
        sum += (double)share[c];
    }
    for (size_t c = 0; c < chosen; c++)
        share[c] = (float)((double)share[c] / sum);
}

#endif
