/*
 * Logits of a few tokens and a block of neurons, summed as kernels of different kinds would; neurons lie side
 * by side, so that each order of summation is exact to the bit and still runs in vectors.
 *
 *   x  [FFL_BLOCK_TOKENS][width]     w  [width][FFL_BLOCK_NEURONS], 64-byte aligned
 *   outputs  [FFL_BLOCK_TOKENS][FFL_BLOCK_NEURONS]
 */
#ifndef FFL_HARNESS_BLOCK_SUMS_H
#define FFL_HARNESS_BLOCK_SUMS_H

#include <stddef.h>

enum { FFL_BLOCK_TOKENS = 4, FFL_BLOCK_NEURONS = 16 };

/* Σx·w, Σ|x·w|, Σ(x·w)² in double. */
typedef struct ffl_block_products {
    double sum[FFL_BLOCK_TOKENS][FFL_BLOCK_NEURONS], absolute[FFL_BLOCK_TOKENS][FFL_BLOCK_NEURONS],
        squares[FFL_BLOCK_TOKENS][FFL_BLOCK_NEURONS];
} ffl_block_products;

void ffl_block_measure(const float *x, const float *w, size_t width, ffl_block_products *out);

typedef enum ffl_sum_order {
    FFL_SUM_BY_INDEX = 0,
    FFL_SUM_16_LANES, /* partial sums of every 16th product, added in halves */
    FFL_SUM_64_LANES,
    FFL_SUM_FUSED, /* by index; product and addition round once, where the machine can */
    FFL_SUM_FUSED_16_LANES,
    FFL_SUM_DOUBLE /* rounded once, when it becomes a float: of codes, exact integers until then */
} ffl_sum_order;

typedef float ffl_block_floats[FFL_BLOCK_TOKENS][FFL_BLOCK_NEURONS];

/* In float; the sum of each neuron begins with `start`, or with 0 where it is NULL (in double: always). */
void ffl_block_sum(ffl_sum_order order, const float *x, const float *w, size_t width, const float *start,
                   ffl_block_floats sum);

/* The part of ffl_block_sum that is compiled for fused instructions. */
void ffl_block_sum_fused(ffl_sum_order order, const float *x, const float *w, size_t width,
                         const float *start, ffl_block_floats sum);

#endif
