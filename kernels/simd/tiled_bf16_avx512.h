/*
 * Dense FF in bf16 as two register-tiled products with the activation between them, block by block:
 * BLOCK_ROWS tokens stay in L2 while the packed weights stream past once. Three kernels share the packed
 * weights and this code:
 *
 *   pairs     x and activations rounded to bf16, two k per word; vdpbf16ps where compiled for it, and
 * otherwise both halves widened by a shift and a mask, two FMAs. Same data, same layout. widened   weights
 * widened likewise, x and activations stay f32.
 *
 * vdpbf16ps reads and writes denormals as zero, whatever MXCSR says; both forms add two products one after
 * the other.
 */
#ifndef FFL_KERNELS_SIMD_TILED_BF16_AVX512_H
#define FFL_KERNELS_SIMD_TILED_BF16_AVX512_H

#include "kernels/memory.h"
#include "kernels/simd/bf16_avx512.h"
#include "kernels/simd/tile_avx512.h"
#include "kernels/team.h"

enum {
    FFL_TILED_DEPTH = 384, /* k per step, neurons per block */
    FFL_TILED_ROWS = 96,   /* tokens per pass over the weights: A, hidden, y and two panels fit 1 MB of L2 */
    /* An odd number of cache lines, so that 12 rows never share one cache set; in words. */
    FFL_TILED_STRIDE = FFL_TILED_DEPTH + 16,
    FFL_TILED_STRIDE_PAIRS = FFL_TILED_DEPTH / 2 + 16
};

/* One half of each word as a float: phase 0 the lower. */
static inline __attribute__((always_inline)) __m512i ffl_bf16_half(__m512i v, size_t phase)
{
    return phase == 0 ? _mm512_slli_epi32(v, 16) : _mm512_and_si512(v, _mm512_set1_epi32((int)0xffff0000));
}

static inline __attribute__((always_inline)) ffl_tile_sum
ffl_bf16_step_widened(ffl_tile_sum sum, const uint32_t *a, __m512i b, size_t phase)
{
    return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_set1_epi32((int)a[phase])), _mm512_castsi512_ps(b),
                           sum);
}

#define FFL_TILE_BF16_WIDENED                                                                                \
    ((ffl_tile_format){2, ffl_bf16_half, ffl_bf16_step_widened, 2, FFL_TILED_STRIDE})

#ifdef __AVX512BF16__
static inline __attribute__((always_inline)) __m512i ffl_bf16_keep(__m512i v, size_t phase)
{
    (void)phase;
    return v;
}

static inline __attribute__((always_inline)) ffl_tile_sum
ffl_bf16_step_pairs(ffl_tile_sum sum, const uint32_t *a, __m512i b, size_t phase)
{
    (void)phase;
    return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_epi32((int)*a), (__m512bh)b);
}

#define FFL_TILE_BF16_PAIRS                                                                                  \
    ((ffl_tile_format){1, ffl_bf16_keep, ffl_bf16_step_pairs, 1, FFL_TILED_STRIDE_PAIRS})
#else
static inline __attribute__((always_inline)) ffl_tile_sum
ffl_bf16_step_pairs(ffl_tile_sum sum, const uint32_t *a, __m512i b, size_t phase)
{
    return _mm512_fmadd_ps(_mm512_castsi512_ps(ffl_bf16_half(_mm512_set1_epi32((int)*a), phase)),
                           _mm512_castsi512_ps(b), sum);
}

#define FFL_TILE_BF16_PAIRS                                                                                  \
    ((ffl_tile_format){2, ffl_bf16_half, ffl_bf16_step_pairs, 1, FFL_TILED_STRIDE_PAIRS})
#endif

typedef struct ffl_tiled_bf16 {
    uint32_t *w_in;  /* [neurons / DEPTH][width_in / DEPTH][DEPTH / PANEL] panels of [k / 2][PANEL] */
    uint32_t *w_out; /* [neurons / DEPTH][width_out / PANEL] panels of [k / 2][PANEL] */
} ffl_tiled_bf16;

static inline size_t ffl_tiled_smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t ffl_tiled_ceil(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Words of `n` numbers in a row of A; an odd last one has a zero beside it. */
static inline __attribute__((always_inline)) void ffl_tiled_bf16_copy(const bool pairs, const float *from,
                                                                      size_t n, uint32_t *to)
{
    size_t i = 0;
    for (; i < n; i += 16) {
        const __mmask16 m = n - i < 16 ? ffl_lanes_avx512(n - i) : (__mmask16)0xffff;
        const __m512 v = _mm512_maskz_loadu_ps(m, from + i);
        if (pairs) /* in place too: what is written was read */
            _mm256_storeu_si256((__m256i *)(to + i / 2),
                                _mm512_cvtepi32_epi16(_mm512_srli_epi32(ffl_bf16_round_avx512(v), 16)));
        else
            _mm512_storeu_ps((float *)(to + i), v);
    }
}

/* At most ROWS tokens. copy [width_in / DEPTH][rows][stride], hidden [rows][STRIDE]. */
static inline __attribute__((always_inline)) void
ffl_tiled_bf16_block(const bool pairs, ffl_tile_function *const *tiles, const ffl_plan *plan, const float *x,
                     size_t ldx, float *y, size_t ldy, size_t rows, uint32_t *hidden)
{
    const ffl_layer *l = plan->layer;
    const ffl_tiled_bf16 *p = plan->state;
    const size_t stride = pairs ? FFL_TILED_STRIDE_PAIRS : FFL_TILED_STRIDE;
    uint32_t *second = hidden + FFL_TILED_ROWS * FFL_TILED_STRIDE, *copy = second;
    if (pairs)
        copy += FFL_TILED_ROWS * FFL_TILED_STRIDE_PAIRS;
    else
        second = hidden;
    for (size_t k = 0; k < l->width_in; k += FFL_TILED_DEPTH)
        for (size_t r = 0; r < rows; r++)
            ffl_tiled_bf16_copy(pairs, x + r * ldx + k, ffl_tiled_smaller(FFL_TILED_DEPTH, l->width_in - k),
                                copy + (k / FFL_TILED_DEPTH * rows + r) * stride);
    const uint32_t *b_in = p->w_in, *b_out = p->w_out;
    for (size_t n = 0; n < l->neurons; n += FFL_TILED_DEPTH) {
        const size_t neurons = ffl_tiled_smaller(FFL_TILED_DEPTH, l->neurons - n);
        for (size_t k = 0; k < l->width_in; k += FFL_TILED_DEPTH) {
            const size_t words = ffl_tiled_ceil(ffl_tiled_smaller(FFL_TILED_DEPTH, l->width_in - k), 2);
            for (size_t j = 0; j < neurons; j += FFL_TILE_PANEL, b_in += words * FFL_TILE_PANEL) {
                const ffl_tile_work work = {.a = copy + k / FFL_TILED_DEPTH * rows * stride,
                                            .panel = b_in,
                                            .words = words,
                                            .c = hidden + j,
                                            .ldc = FFL_TILED_STRIDE,
                                            .columns = ffl_tiled_smaller(FFL_TILE_PANEL, neurons - j),
                                            .add = k > 0};
                ffl_tile_multiply(tiles, &work, rows);
            }
        }
        for (size_t r = 0; r < rows; r++) {
            float *h = (float *)(hidden + r * FFL_TILED_STRIDE);
            ffl_axpy_avx512(1.0f, l->b_in + n, h, neurons);
            ffl_activate_avx512(l->activation, h, neurons);
            ffl_tiled_bf16_copy(pairs, h, neurons, second + r * stride); /* widened: zeros after an odd end */
        }
        const size_t words = ffl_tiled_ceil(neurons, 2);
        for (size_t j = 0; j < l->width_out; j += FFL_TILE_PANEL, b_out += words * FFL_TILE_PANEL) {
            const ffl_tile_work work = {.a = second,
                                        .panel = b_out,
                                        .words = words,
                                        .c = (uint32_t *)(y + j),
                                        .ldc = ldy,
                                        .columns = ffl_tiled_smaller(FFL_TILE_PANEL, l->width_out - j),
                                        .add = n > 0};
            ffl_tile_multiply(tiles, &work, rows);
        }
    }
    for (size_t r = 0; l->b_out && r < rows; r++)
        ffl_axpy_avx512(1.0f, l->b_out, y + r * ldy, l->width_out);
}

/* A part of ffl_team_rows: blocks of equal height. */
static inline __attribute__((always_inline)) void
ffl_tiled_bf16_part(const bool pairs, ffl_tile_function *const *tiles, const ffl_plan *plan, void *scratch,
                    const float *x, size_t ldx, float *y, size_t ldy, size_t tokens)
{
    const size_t blocks = ffl_tiled_ceil(tokens, FFL_TILED_ROWS);
    for (size_t b = 0, first = 0; b < blocks; b++) {
        const size_t end = tokens * (b + 1) / blocks;
        ffl_tiled_bf16_block(pairs, tiles, plan, x + first * ldx, ldx, y + first * ldy, ldy, end - first,
                             scratch);
        first = end;
    }
}

static inline void ffl_tiled_bf16_release(ffl_plan *plan)
{
    ffl_tiled_bf16 *p = plan->state;
    ffl_free(p->w_in);
    ffl_free(p->w_out);
    ffl_free(p);
}

/* Two rows of k, `even` and `odd` (or zeros), of `columns` columns `step` floats apart: one row of words. */
static inline void ffl_tiled_bf16_words(const float *even, const float *odd, size_t columns, size_t step,
                                        uint32_t *out)
{
    for (size_t i = 0; i < columns; i++)
        out[i] = ffl_bf16_round(even[i * step]) | (odd ? (uint32_t)ffl_bf16_round(odd[i * step]) << 16 : 0);
}

/* Columns beyond the matrix stay zero, as ffl_alloc made them. */
static inline void ffl_tiled_bf16_pack(const ffl_layer *l, ffl_tiled_bf16 *p)
{
    uint32_t *in = p->w_in, *out = p->w_out;
    for (size_t n = 0; n < l->neurons; n += FFL_TILED_DEPTH) {
        const size_t neurons = ffl_tiled_smaller(FFL_TILED_DEPTH, l->neurons - n);
        for (size_t k = 0; k < l->width_in; k += FFL_TILED_DEPTH) {
            const size_t depth = ffl_tiled_smaller(FFL_TILED_DEPTH, l->width_in - k);
            for (size_t j = 0; j < neurons; j += FFL_TILE_PANEL)
                for (size_t d = 0; d < depth; d += 2, in += FFL_TILE_PANEL) {
                    const float *w = l->w_in + (n + j) * l->width_in + k + d;
                    ffl_tiled_bf16_words(w, d + 1 < depth ? w + 1 : NULL,
                                         ffl_tiled_smaller(FFL_TILE_PANEL, neurons - j), l->width_in, in);
                }
        }
        for (size_t j = 0; j < l->width_out; j += FFL_TILE_PANEL)
            for (size_t d = 0; d < neurons; d += 2, out += FFL_TILE_PANEL) {
                const float *w = l->w_out + (n + d) * l->width_out + j;
                ffl_tiled_bf16_words(w, d + 1 < neurons ? w + l->width_out : NULL,
                                     ffl_tiled_smaller(FFL_TILE_PANEL, l->width_out - j), 1, out);
            }
    }
}

static inline ffl_status ffl_tiled_bf16_prepare(const ffl_layer *l, const ffl_machine *machine,
                                                ffl_plan *plan)
{
    /* DEPTH is a multiple of PANEL and even: only the last blocks have a padded panel, or a padded pair. */
    const size_t in =
        ffl_tiled_ceil(l->neurons, FFL_TILE_PANEL) * FFL_TILE_PANEL * ffl_tiled_ceil(l->width_in, 2);
    const size_t out =
        ffl_tiled_ceil(l->width_out, FFL_TILE_PANEL) * FFL_TILE_PANEL * ffl_tiled_ceil(l->neurons, 2);
    (void)machine;
    ffl_tiled_bf16 *p = plan->state = ffl_alloc(sizeof *p);
    if (!p)
        return FFL_NO_MEMORY;
    p->w_in = ffl_alloc_array(in, sizeof *p->w_in);
    p->w_out = ffl_alloc_array(out, sizeof *p->w_out);
    if (!p->w_in || !p->w_out) {
        ffl_tiled_bf16_release(plan);
        return FFL_NO_MEMORY;
    }
    ffl_tiled_bf16_pack(l, p);
    plan->packed_bytes = (in + out) * sizeof(uint32_t);
    ffl_team_scratch(plan, FFL_TILED_ROWS * sizeof(uint32_t) *
                               (FFL_TILED_STRIDE + FFL_TILED_STRIDE_PAIRS +
                                FFL_TILED_STRIDE * ffl_tiled_ceil(l->width_in, FFL_TILED_DEPTH)));
    return FFL_OK;
}

#endif
