/*
 * bf16: the upper half of a float, 8 bits of significand. A packed row of weights is made of blocks of 32
 * columns in 16 words: word i holds column i in its lower half and column 16 + i in its upper half, so that
 * one shift and one mask turn 64 bytes into two vectors of floats, exactly.
 */
#ifndef FFL_KERNELS_SIMD_BF16_AVX512_H
#define FFL_KERNELS_SIMD_BF16_AVX512_H

#include "kernels/simd/packed_avx512.h"
#include <string.h>

enum { FFL_BF16_BLOCK_BYTES = 64 };

/* The 16 upper bits of v rounded to nearest even; finite v. */
static inline uint16_t ffl_bf16_round(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* Lane by lane the same, in the upper halves of the words, below them what was left; NaN stays NaN. */
static inline __m512i ffl_bf16_round_avx512(__m512 v)
{
    const __m512i u = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
    return _mm512_mask_mov_epi32(up, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fff0000));
}

/* Packs `n` columns into ffl_packed_blocks(n) blocks. Returns the scale: there is none. */
static inline float ffl_bf16_pack(const float *w, size_t n, char *out)
{
    for (; n > 0; out += FFL_BF16_BLOCK_BYTES) {
        const size_t count = n < FFL_PACKED_BLOCK ? n : FFL_PACKED_BLOCK;
        const __mmask16 m = count < 16 ? ffl_lanes_avx512(count) : (__mmask16)0xffff;
        const __mmask16 o = count < 16 ? 0 : count < 32 ? ffl_lanes_avx512(count - 16) : (__mmask16)0xffff;
        const __m512i low = ffl_bf16_round_avx512(_mm512_maskz_loadu_ps(m, w));
        const __m512i high = ffl_bf16_round_avx512(_mm512_maskz_loadu_ps(o, w + 16));
        _mm512_store_si512(out, _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(low, 16), high));
        w += count;
        n -= count;
    }
    return 1.0f;
}

static inline __attribute__((always_inline)) void ffl_bf16_unpack(const char *block, __m512 *low,
                                                                  __m512 *high)
{
    const __m512i v = _mm512_load_si512(block);
    *low = _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
    *high = _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32((int)0xffff0000)));
}

#define FFL_PACKING_BF16 ((ffl_packing){ffl_bf16_unpack, FFL_BF16_BLOCK_BYTES})

#endif
