#include "harness/workload/random.h"
#include <math.h>

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

ffl_random ffl_random_new(uint64_t seed, uint64_t stream)
{
    uint64_t mixed = seed, state = splitmix(&mixed) ^ (stream * 0xD1342543DE82EF95u);
    ffl_random random;
    for (int i = 0; i < 4; i++)
        random.s[i] = splitmix(&state);
    return random;
}

uint64_t ffl_random_next(ffl_random *random)
{
    uint64_t *s = random->s;
    const uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double ffl_random_uniform(ffl_random *random)
{
    return (double)(ffl_random_next(random) >> 11) * 0x1p-53;
}

size_t ffl_random_below(ffl_random *random, size_t bound)
{
    /* The multiply-shift map; its bias is below 2^-32 for every bound used here. */
    return (size_t)(((ffl_random_next(random) >> 32) * (uint64_t)bound) >> 32);
}

double ffl_random_normal(ffl_random *random)
{
    const double u = 1.0 - ffl_random_uniform(random), v = ffl_random_uniform(random);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}
