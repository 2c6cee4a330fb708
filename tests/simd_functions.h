/* The kernels of kernels/simd/<isa>.h behind function pointers: simd_functions.c is compiled once per isa. */
#ifndef FFL_TESTS_SIMD_FUNCTIONS_H
#define FFL_TESTS_SIMD_FUNCTIONS_H

#include "kernels/cpu.h"
#include "kernels/layer.h"

typedef struct simd_functions {
    const char *name;
    ffl_isa isa;
    float (*dot)(const float *x, const float *w, size_t n);
    void (*axpy)(float g, const float *w, float *y, size_t n);
    void (*rows)(const float *g, const float *const *w, size_t count, float *y, size_t n, bool add);
    void (*activate)(ffl_activation activation, float *z, size_t n);
} simd_functions;

extern const simd_functions simd_functions_scalar, simd_functions_avx2, simd_functions_avx512;

#endif
