/*
 * A register tile over 32-bit words, for products of int8: 12 tokens x 32 columns in 24 registers.
 * A word of a panel holds 4 consecutive k of one column; a format is the function that
 * multiplies one vector of them with one token's numbers and adds. Panels are [word][32 columns], in the
 * order of use, so the next panel is always the next address and is prefetched while this one is multiplied.
 *
 * Every output element is one sum in ascending k, whatever the tile: a row's bits do not depend on its batch.
 */
#ifndef FFL_KERNELS_SIMD_TILE_AVX512_H
#define FFL_KERNELS_SIMD_TILE_AVX512_H

#include "kernels/simd/avx512.h"
#include <stdint.h>

/* Sums are floats, or integers where FFL_TILE_INTEGERS is defined before inclusion: gcc 12 keeps an
 * accumulator twice when it is cast between the two. */
#ifdef FFL_TILE_INTEGERS
typedef int32_t ffl_tile_sum __attribute__((vector_size(64)));
#define FFL_TILE_LOAD(mask, from) (ffl_tile_sum) _mm512_maskz_loadu_epi32(mask, from)
#define FFL_TILE_STORE(to, mask, v) _mm512_mask_storeu_epi32(to, mask, (__m512i)(v))
#define FFL_TILE_ZERO (ffl_tile_sum) _mm512_setzero_si512()
#else
typedef __m512 ffl_tile_sum;
#define FFL_TILE_LOAD(mask, from) _mm512_maskz_loadu_ps(mask, from)
#define FFL_TILE_STORE(to, mask, v) _mm512_mask_storeu_ps(to, mask, v)
#define FFL_TILE_ZERO _mm512_setzero_ps()
#endif

enum {
    FFL_TILE = 12,      /* tokens in a tile */
    FFL_TILE_PANEL = 32 /* columns in a tile: two vectors */
};

/*
 * A format, all constant: in each of `phases` the words of a panel are widened, for all tokens together, and
 * then step gives sum + words · (one token's numbers of as many k, at a); floats or integers.
 */
typedef __m512i ffl_tile_widen(__m512i words, size_t phase);
typedef ffl_tile_sum ffl_tile_step(ffl_tile_sum sum, const uint32_t *a, __m512i words, size_t phase);

typedef struct ffl_tile_format {
    size_t phases;
    ffl_tile_widen *widen;
    ffl_tile_step *step;
    size_t a_step; /* words of a per word of a panel */
    size_t stride; /* of a, in words */
} ffl_tile_format;

typedef struct ffl_tile_work {
    const uint32_t *a;     /* [tokens][stride] */
    const uint32_t *panel; /* [words][FFL_TILE_PANEL] */
    size_t words;
    uint32_t *c; /* [tokens][ldc] floats or integers */
    size_t ldc, columns;
    bool add;
} ffl_tile_work;

/* c = or += a · panel for m tokens; `next` is prefetched, in steps.
 */
static inline __attribute__((always_inline)) void ffl_tile(const size_t m, const ffl_tile_format f,
                                                           const ffl_tile_work *w, size_t first,
                                                           const char *next, size_t next_step)
{
    const __mmask16 low = w->columns < 16 ? ffl_lanes_avx512(w->columns) : (__mmask16)0xffff;
    const __mmask16 high = w->columns < 16   ? 0
                           : w->columns < 32 ? ffl_lanes_avx512(w->columns - 16)
                                             : (__mmask16)0xffff;
    const uint32_t *a = w->a + first * f.stride, *b = w->panel;
    uint32_t *c = w->c + first * w->ldc;
    const size_t words = w->words, ldc = w->ldc;
    const bool add = w->add;
    ffl_tile_sum sum[FFL_TILE][2];
#pragma GCC unroll 12
    for (size_t i = 0; i < m; i++) {
        sum[i][0] = add ? FFL_TILE_LOAD(low, c + i * ldc) : FFL_TILE_ZERO;
        sum[i][1] = add ? FFL_TILE_LOAD(high, c + i * ldc + 16) : FFL_TILE_ZERO;
    }
    for (size_t k = 0; k < words; k++, a += f.a_step, b += FFL_TILE_PANEL, next += next_step) {
        const __m512i b0 = _mm512_load_si512(b), b1 = _mm512_load_si512(b + 16);
        _mm_prefetch(next, _MM_HINT_T1);
#pragma GCC unroll 2
        for (size_t phase = 0; phase < f.phases; phase++) {
            const __m512i w0 = f.widen(b0, phase), w1 = f.widen(b1, phase);
            /* Without this, gcc 12 starts the next phase in between, and runs out of registers. */
            __asm__ volatile("" : : : "memory");
#pragma GCC unroll 12
            for (size_t i = 0; i < m; i++) {
                sum[i][0] = f.step(sum[i][0], a + i * f.stride, w0, phase);
                sum[i][1] = f.step(sum[i][1], a + i * f.stride, w1, phase);
            }
        }
    }
#pragma GCC unroll 12
    for (size_t i = 0; i < m; i++) {
        FFL_TILE_STORE(c + i * ldc, low, sum[i][0]);
        FFL_TILE_STORE(c + i * ldc + 16, high, sum[i][1]);
    }
}

typedef void ffl_tile_function(const ffl_tile_work *work, size_t first, const char *next, size_t next_step);

/* Rows 0 … rows - 1 in tiles of equal height, which share the prefetching of the next panel. */
static inline void ffl_tile_multiply(ffl_tile_function *const *tiles, const ffl_tile_work *work, size_t rows)
{
    const size_t count = (rows + FFL_TILE - 1) / FFL_TILE;
    const size_t next_step = FFL_TILE_PANEL * sizeof *work->panel / count;
    const char *next = (const char *)(work->panel + work->words * FFL_TILE_PANEL);
    for (size_t t = 0, first = 0; t < count; t++) {
        const size_t end = rows * (t + 1) / count;
        tiles[end - first](work, first, next + t * next_step * work->words, next_step);
        first = end;
    }
}

#define FFL_DEFINE_TILE(name, m, format)                                                                     \
    static void name##_##m(const ffl_tile_work *work, size_t first, const char *next, size_t next_step)      \
    {                                                                                                        \
        ffl_tile(m, format, work, first, next, next_step);                                                   \
    }

/* The table `name` of tile functions by height. */
#define FFL_DEFINE_TILES(name, format)                                                                       \
    FFL_DEFINE_TILE(name, 1, format)                                                                         \
    FFL_DEFINE_TILE(name, 2, format)                                                                         \
    FFL_DEFINE_TILE(name, 3, format)                                                                         \
    FFL_DEFINE_TILE(name, 4, format)                                                                         \
    FFL_DEFINE_TILE(name, 5, format)                                                                         \
    FFL_DEFINE_TILE(name, 6, format)                                                                         \
    FFL_DEFINE_TILE(name, 7, format)                                                                         \
    FFL_DEFINE_TILE(name, 8, format)                                                                         \
    FFL_DEFINE_TILE(name, 9, format)                                                                         \
    FFL_DEFINE_TILE(name, 10, format)                                                                        \
    FFL_DEFINE_TILE(name, 11, format)                                                                        \
    FFL_DEFINE_TILE(name, 12, format)                                                                        \
    static ffl_tile_function *const name[FFL_TILE + 1] = {                                                   \
        NULL,     name##_1, name##_2, name##_3,  name##_4,  name##_5, name##_6,                              \
        name##_7, name##_8, name##_9, name##_10, name##_11, name##_12};

#endif
