#include "kernels/activate.h"
#include "kernels/simd/avx512.h"

void ffl_activate_array_avx512(ffl_activation activation, float *z, size_t count)
{
    ffl_activate_avx512(activation, z, count);
}
