/* Partial sums in lanes; whether products are fused into them is up to the compiler's flags. */
#ifndef FFL_HARNESS_BLOCK_LANES_H
#define FFL_HARNESS_BLOCK_LANES_H

#include "harness/selftest/block_sums.h"
#include "kernels/cpu.h"
#include <string.h>

#define FFL_INLINE static inline __attribute__((always_inline))

/* The same body once per instruction set; the inlined copy takes over the target of its caller. */
#define FFL_TARGET_AVX2 __attribute__((target("avx2,fma")))
#define FFL_TARGET_AVX512 __attribute__((target("avx512f,avx512dq,avx512vl,avx2,fma")))

/* name_avx512, name_avx2 or name_base: the widest that this machine has. */
#if defined(__x86_64__)
#define FFL_BLOCK_CALL(name, ...)                                                                            \
    (ffl_machine_host()->isa[FFL_ISA_AVX512] ? name##_avx512(__VA_ARGS__)                                    \
     : ffl_machine_host()->isa[FFL_ISA_AVX2] ? name##_avx2(__VA_ARGS__)                                      \
                                             : name##_base(__VA_ARGS__))
#else
#define FFL_BLOCK_CALL(name, ...) name##_base(__VA_ARGS__)
#endif

/* One lane of all neurons of a block: a register, or as many as it takes. */
typedef float ffl_neurons __attribute__((vector_size(FFL_BLOCK_NEURONS * sizeof(float))));

enum { FFL_LANES_MAX = 64 };

/* `tokens` and `lanes` are constants of the caller: together as many sums as there are registers. */
FFL_INLINE void ffl_sum_in_lanes(size_t tokens, size_t lanes, const float *x, const float *w, size_t width,
                                 const float *start, float (*out)[FFL_BLOCK_NEURONS])
{
    ffl_neurons sum[FFL_LANES_MAX], row;
    for (size_t t = 0; t < tokens; t++)
        for (size_t l = 0; l < lanes; l++) {
            sum[t * lanes + l] = (ffl_neurons){0};
            if (l == 0 && start)
                memcpy(&sum[t * lanes], start, sizeof *sum);
        }
    size_t i = 0;
    for (; i + lanes <= width; i += lanes)
#pragma GCC unroll 64
        for (size_t l = 0; l < lanes; l++) {
            memcpy(&row, w + (i + l) * FFL_BLOCK_NEURONS, sizeof row);
#pragma GCC unroll 4
            for (size_t t = 0; t < tokens; t++)
                sum[t * lanes + l] += x[t * width + i + l] * row;
        }
    for (size_t l = 0; i + l < width; l++) {
        memcpy(&row, w + (i + l) * FFL_BLOCK_NEURONS, sizeof row);
        for (size_t t = 0; t < tokens; t++)
            sum[t * lanes + l] += x[t * width + i + l] * row;
    }
    for (size_t t = 0; t < tokens; t++) {
        for (size_t half = lanes / 2; half > 0; half /= 2)
            for (size_t l = 0; l < half; l++)
                sum[t * lanes + l] += sum[t * lanes + l + half];
        memcpy(out[t], &sum[t * lanes], sizeof *sum);
    }
}

#endif
