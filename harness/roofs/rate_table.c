/* Which rate loops this build has, and the one loop that needs no vectors. */
#include "harness/roofs/rate_loops.h"

extern const ffl_rate_loops ffl_rate_loops_base;
extern const ffl_rate_loops ffl_rate_loops_avx2;
extern const ffl_rate_loops ffl_rate_loops_avx512;
extern const ffl_rate_loops ffl_rate_loops_avx512vnni;
extern const ffl_rate_loops ffl_rate_loops_avx512bf16;

const ffl_rate_loops *const ffl_rate_loops_built[] = {
    &ffl_rate_loops_base,
#ifdef RATE_BUILT_AVX2
    &ffl_rate_loops_avx2,
#endif
#ifdef RATE_BUILT_AVX512
    &ffl_rate_loops_avx512,
#endif
#ifdef RATE_BUILT_AVX512VNNI
    &ffl_rate_loops_avx512vnni,
#endif
#ifdef RATE_BUILT_AVX512BF16
    &ffl_rate_loops_avx512bf16,
#endif
    NULL,
};

void ffl_rate_chain(size_t rounds)
{
    size_t sum = rounds, step = 3;
    __asm__ volatile("" : "+r"(step)); /* from a register: additions of a constant may cost nothing */
    for (size_t r = 0; r < rounds; r++) {
#define ADD                                                                                                  \
    sum += step;                                                                                             \
    __asm__ volatile("" : "+r"(sum));
        ADD ADD ADD ADD ADD ADD ADD ADD
#undef ADD
    }
}
