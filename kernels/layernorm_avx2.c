#define FFL_VECTOR_LANES 8
#include "kernels/layernorm.h"
#include "kernels/simd/layernorm_row.h"

void ffl_layernorm_row_avx2(const ffl_layernorm *norm, float *x, const float *add, float *y)
{
    ffl_layernorm_row(norm, x, add, y);
}
