#include "kernels/experts.h"
#include <math.h>
#include <string.h>

enum { FEW = 32, DIGIT = 10, VALUES = 1 << DIGIT, BLOCK_PAIRS = 1 << 17, BLOCK_TOKENS = 128 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void insert_each(const uint32_t *expert, size_t pairs, uint32_t *order)
{
    for (size_t i = 0; i < pairs; i++) {
        size_t at = i;
        for (; at > 0 && expert[order[at - 1]] > expert[i]; at--)
            order[at] = order[at - 1];
        order[at] = (uint32_t)i;
    }
}

/* One pass of a radix sort: stable counting by the digit at `shift`. */
static void count_digit(const uint32_t *expert, const uint32_t *from, size_t pairs, unsigned shift,
                        uint32_t *to)
{
    uint32_t place[VALUES + 1] = {0};
    for (size_t i = 0; i < pairs; i++)
        place[(expert[i] >> shift & (VALUES - 1)) + 1]++;
    for (size_t v = 0; v < VALUES; v++)
        place[v + 1] += place[v];
    for (size_t i = 0; i < pairs; i++)
        to[place[expert[from[i]] >> shift & (VALUES - 1)]++] = from[i];
}

void ffl_experts_sort(const uint32_t *expert, size_t pairs, size_t experts, uint32_t *order, uint32_t *spare)
{
    if (pairs <= FEW) {
        insert_each(expert, pairs, order);
        return;
    }
    /* The last pass must end in `order`. */
    unsigned passes = 1;
    while ((experts - 1) >> (passes * DIGIT))
        passes++;
    uint32_t *to = passes % 2 ? order : spare, *from = passes % 2 ? spare : order;
    for (size_t i = 0; i < pairs; i++)
        from[i] = (uint32_t)i;
    for (unsigned pass = 0; pass < passes; pass++) {
        count_digit(expert, from, pairs, pass * DIGIT, to);
        uint32_t *const done = to;
        to = from;
        from = done;
    }
}

size_t ffl_experts_block(const ffl_layer *layer, size_t tokens)
{
    const size_t block = BLOCK_PAIRS / layer->chosen;
    return smaller(tokens, block > BLOCK_TOKENS ? block : BLOCK_TOKENS);
}

bool ffl_experts_supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    *why = "more than 2^32 tokens";
    (void)shape; /* pairs are taken in blocks of tokens */
    return tokens <= UINT32_MAX;
}
