/*
 * Seeded random numbers (xoshiro256**, seeded by splitmix64). The same seed and stream give the same
 * numbers on every machine; streams are independent, so rows can be drawn in any order.
 */
#ifndef FFL_HARNESS_RANDOM_H
#define FFL_HARNESS_RANDOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct ffl_random {
    uint64_t s[4];
} ffl_random;

ffl_random ffl_random_new(uint64_t seed, uint64_t stream);
uint64_t ffl_random_next(ffl_random *random);
double ffl_random_uniform(ffl_random *random);             /* [0, 1) */
size_t ffl_random_below(ffl_random *random, size_t bound); /* 0 … bound - 1, bound >= 1 */
double ffl_random_normal(ffl_random *random);              /* mean 0, variance 1 */

#endif
