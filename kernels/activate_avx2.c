#include "kernels/activate.h"
#include "kernels/simd/avx2.h"

void ffl_activate_array_avx2(ffl_activation activation, float *z, size_t count)
{
    ffl_activate_avx2(activation, z, count);
}
