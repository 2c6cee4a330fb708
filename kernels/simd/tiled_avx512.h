/*
 * The 8x48 tile of c that AVX-512 variants bring to kernels/tiled.h: 24 sums in registers; per k 24 FMAs, 3
 * loads of b and 8 broadcasts of a, the fewest loads and instructions per FMA of the shapes that fit. 12x32
 * reached 95 % of the FMA peak from L2 where this one reaches 97 %. What stands in a word of b, one k or two,
 * is a format's: the step that multiplies.
 */
#ifndef FFL_KERNELS_SIMD_TILED_AVX512_H
#define FFL_KERNELS_SIMD_TILED_AVX512_H

#include "kernels/simd/avx512.h"
#include "kernels/tiled.h"

enum { FFL_TILE = 8, FFL_TILE_VECTORS = 3, FFL_TILE_AHEAD = FFL_TILED_AHEAD * FFL_TILED_PANEL };

/* sum += the m rows of a, each FFL_TILED_STRIDE further, times one word's k (at most `left`) of each panel.
 * Where wide is not NULL, the widened words go there, those of panel j to wide + j * panel. */
typedef void ffl_tiled_step(size_t m, const float *a, size_t left, const float *b0, const float *b1,
                            const float *b2, float *wide, size_t panel,
                            __m512 sum[FFL_TILE][FFL_TILE_VECTORS]);

static inline __attribute__((always_inline)) void
ffl_tiled_step_f32(const size_t m, const float *a, size_t left, const float *b0, const float *b1,
                   const float *b2, float *wide, size_t panel, __m512 sum[FFL_TILE][FFL_TILE_VECTORS])
{
    (void)left, (void)wide, (void)panel;
    const __m512 v0 = _mm512_load_ps(b0), v1 = _mm512_load_ps(b1), v2 = _mm512_load_ps(b2);
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++) {
        const __m512 v = _mm512_set1_ps(a[i * FFL_TILED_STRIDE]);
        sum[i][0] = _mm512_fmadd_ps(v, v0, sum[i][0]);
        sum[i][1] = _mm512_fmadd_ps(v, v1, sum[i][1]);
        sum[i][2] = _mm512_fmadd_ps(v, v2, sum[i][2]);
    }
}

/*
 * An ffl_tile_function for m rows; each: k in a word of b. c is fetched while the sums grow from zero, and
 * added at the end. Unrolled to two k and no further: the loop must stay small in the cache of decoded
 * instructions, half of which belongs to the core's other hyperthread (16 k cost 25 %).
 */
static inline __attribute__((always_inline)) void
ffl_tiled_tile(const size_t m, ffl_tiled_step *const step, const size_t each, const float *a, const float *b0,
               size_t depth, float *c, size_t ldc, size_t columns, bool add, const char *next,
               size_t next_step, float *wide)
{
    enum { PANEL = FFL_TILED_PANEL, AHEAD = FFL_TILE_AHEAD };
    /* Where fewer panels are left, the first one takes the others' places, and their sums are dropped. */
    const size_t panel = (depth + each - 1) / each * PANEL;
    const float *b1 = columns > PANEL ? b0 + panel : b0;
    const float *b2 = columns > 2 * PANEL ? b1 + panel : b0;
    __m512 sum[FFL_TILE][FFL_TILE_VECTORS];
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++) {
        sum[i][0] = sum[i][1] = sum[i][2] = _mm512_setzero_ps();
        for (size_t j = 0; add && j < columns; j += 16)
            _mm_prefetch((const char *)(c + i * ldc + j), _MM_HINT_T0);
    }
    size_t k = 0, at = 0;
    if (next)
        for (; k + 2 <= depth; k += 2, a += 2, next += next_step) {
            _mm_prefetch(next, _MM_HINT_T1);
            step(m, a, 2, b0 + at, b1 + at, b2 + at, wide ? wide + each * at : NULL, depth * PANEL, sum);
            at += PANEL;
            if (each == 1) { /* two written out: as a loop, a build with sanitizers drops the annotation */
                step(m, a + 1, 2, b0 + at, b1 + at, b2 + at, wide ? wide + each * at : NULL, depth * PANEL,
                     sum);
                at += PANEL;
            }
        }
    for (; k < depth; k += each, a += each, at += PANEL) {
        _mm_prefetch((const char *)(b0 + at + AHEAD), _MM_HINT_T0);
        _mm_prefetch((const char *)(b1 + at + AHEAD), _MM_HINT_T0);
        _mm_prefetch((const char *)(b2 + at + AHEAD), _MM_HINT_T0);
        step(m, a, depth - k, b0 + at, b1 + at, b2 + at, wide ? wide + each * at : NULL, depth * PANEL, sum);
    }
    __mmask16 mask[FFL_TILE_VECTORS];
    for (size_t v = 0; v < FFL_TILE_VECTORS; v++)
        mask[v] = columns >= 16 * (v + 1) ? (__mmask16)0xffff
                  : columns > 16 * v      ? ffl_lanes_avx512(columns - 16 * v)
                                          : (__mmask16)0;
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++)
#pragma GCC unroll 3
        for (size_t v = 0; v < FFL_TILE_VECTORS; v++) {
            float *to = c + i * ldc + 16 * v;
            if (add)
                sum[i][v] = _mm512_add_ps(sum[i][v], _mm512_maskz_loadu_ps(mask[v], to));
            _mm512_mask_storeu_ps(to, mask[v], sum[i][v]);
        }
}

#define FFL_DEFINE_TILE(name, m, step, each)                                                                 \
    static void name##_##m(const float *a, const float *b, size_t depth, float *c, size_t ldc,               \
                           size_t columns, bool add, const char *next, size_t next_step)                     \
    {                                                                                                        \
        ffl_tiled_tile(m, step, each, a, b, depth, c, ldc, columns, add, next, next_step, NULL);             \
    }

/* The table `name` of tile functions by height. */
#define FFL_DEFINE_TILES(name, step, each)                                                                   \
    FFL_DEFINE_TILE(name, 1, step, each)                                                                     \
    FFL_DEFINE_TILE(name, 2, step, each)                                                                     \
    FFL_DEFINE_TILE(name, 3, step, each)                                                                     \
    FFL_DEFINE_TILE(name, 4, step, each)                                                                     \
    FFL_DEFINE_TILE(name, 5, step, each)                                                                     \
    FFL_DEFINE_TILE(name, 6, step, each)                                                                     \
    FFL_DEFINE_TILE(name, 7, step, each)                                                                     \
    FFL_DEFINE_TILE(name, 8, step, each)                                                                     \
    static ffl_tile_function *const name[FFL_TILE + 1] = {NULL,     name##_1, name##_2, name##_3, name##_4,  \
                                                          name##_5, name##_6, name##_7, name##_8};

#define FFL_DEFINE_WIDENING_TILE(name, m, step, each)                                                        \
    static void name##_##m(const float *a, const float *b, size_t depth, float *c, size_t ldc,               \
                           size_t columns, bool add, const char *next, size_t next_step, float *wide)        \
    {                                                                                                        \
        ffl_tiled_tile(m, step, each, a, b, depth, c, ldc, columns, add, next, next_step, wide);             \
    }

/* Likewise of tiles that leave their panels behind widened. */
#define FFL_DEFINE_WIDENING_TILES(name, step, each)                                                          \
    FFL_DEFINE_WIDENING_TILE(name, 1, step, each)                                                            \
    FFL_DEFINE_WIDENING_TILE(name, 2, step, each)                                                            \
    FFL_DEFINE_WIDENING_TILE(name, 3, step, each)                                                            \
    FFL_DEFINE_WIDENING_TILE(name, 4, step, each)                                                            \
    FFL_DEFINE_WIDENING_TILE(name, 5, step, each)                                                            \
    FFL_DEFINE_WIDENING_TILE(name, 6, step, each)                                                            \
    FFL_DEFINE_WIDENING_TILE(name, 7, step, each)                                                            \
    FFL_DEFINE_WIDENING_TILE(name, 8, step, each)                                                            \
    static ffl_widening_tile_function *const name[FFL_TILE + 1] = {                                          \
        NULL, name##_1, name##_2, name##_3, name##_4, name##_5, name##_6, name##_7, name##_8};

/* act(z + bias) of up to 16 columns. */
static inline __m512 ffl_tiled_activated(ffl_activation activation, const float *bias, const float *z,
                                         __mmask16 m)
{
    return ffl_act_avx512(activation,
                          _mm512_add_ps(_mm512_maskz_loadu_ps(m, z), _mm512_maskz_loadu_ps(m, bias)));
}

static inline void ffl_tiled_activate_avx512(ffl_activation activation, const float *bias, float *z, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = n - i < 16 ? ffl_lanes_avx512(n - i) : (__mmask16)0xffff;
        _mm512_mask_storeu_ps(z + i, m, ffl_tiled_activated(activation, bias + i, z + i, m));
    }
}

#endif
