/* SIMD_ISA (scalar, avx2, avx512) and SIMD_ENUM come from the command line. */
#include "tests/simd_functions.h"

#define STRING_(a) #a
#define STRING(a) STRING_(a)
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define SIMD_HEADER_(isa) <kernels/simd/isa.h>
#define SIMD_HEADER(isa) SIMD_HEADER_(isa)
#include SIMD_HEADER(SIMD_ISA)

static float dot(const float *x, const float *w, size_t n)
{
    return JOIN(ffl_dot_, SIMD_ISA)(x, w, n);
}

static void axpy(float g, const float *w, float *y, size_t n)
{
    JOIN(ffl_axpy_, SIMD_ISA)(g, w, y, n);
}

static void rows(const float *g, const float *const *w, size_t count, float *y, size_t n, bool add)
{
    JOIN(ffl_rows_, SIMD_ISA)(g, w, count, y, n, add);
}

static void activate(ffl_activation activation, float *z, size_t n)
{
    JOIN(ffl_activate_, SIMD_ISA)(activation, z, n);
}

const simd_functions JOIN(simd_functions_, SIMD_ISA) = {STRING(SIMD_ISA), SIMD_ENUM, dot, axpy, rows,
                                                        activate};
