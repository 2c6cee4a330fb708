#define FFL_VECTOR_LANES 16
#include "kernels/attention.h"
#include "kernels/simd/attention_head.h"

void ffl_attention_head_avx512(const ffl_attention *attention, const float *qkv, size_t ldq,
                               const float *mask, size_t head, float *out, size_t ldo, float *scratch)
{
    ffl_attention_head(attention, qkv, ldq, mask, head, out, ldo, scratch);
}
