/*
 * What kernels of leaf FFF and mixtures of experts share: the order of tokens by expert, and their work in
 * numbers. A pair is a token and one of the experts that it chose; pair token·chosen + c. A token's experts
 * ascend, so that whoever goes through the experts in order finds a token's first pair (c = 0) first.
 */
#ifndef FFL_KERNELS_EXPERTS_H
#define FFL_KERNELS_EXPERTS_H

#include "kernels/variant.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * order [pairs]: the pairs by ascending expert [pairs], stable; spare [pairs]. Takes time by the number of
 * pairs, not of experts (depth 20 has a million leaves). At most UINT32_MAX pairs.
 */
void ffl_experts_sort(const uint32_t *expert, size_t pairs, size_t experts, uint32_t *order, uint32_t *spare);

/* Where the run of one expert that begins at order[first] ends; at most `end`. */
static inline size_t ffl_experts_run(const uint32_t *expert, const uint32_t *order, size_t first, size_t end)
{
    const uint32_t e = expert[order[first]];
    while (++first < end && expert[order[first]] == e)
        ;
    return first;
}

/* Tokens to take at once so that their pairs stay a few megabytes: experts are read once per block of them.
 */
size_t ffl_experts_block(const ffl_layer *layer, size_t tokens);

/* supports of kernels that number pairs by 32 bits. */
bool ffl_experts_supports(const ffl_layer *shape, size_t tokens, const char **why);

#ifdef __cplusplus
}
#endif
#endif
