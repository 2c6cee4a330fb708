/*
 * The experts of a batch whose choice is known, for AVX-512 F: what leaf FFF and mixtures share.
 *
 * Narrow experts are taken as they lie, in register tiles of up to 3 tokens x 8 neurons: a row of w_in meets
 * all tokens of the tile in a register, and a token all rows, 11 loads for 24 FMAs; then 3 tokens x 128
 * columns of y, the same ratio. Nothing is packed, and a token alone streams its expert's rows once. Wide
 * ones are dense layers of their own (kernels/experts_tiled.h).
 *
 * Every sum runs in one order, whatever the tile: a token's bits do not depend on its neighbours.
 */
#ifndef FFL_KERNELS_SIMD_EXPERTS_AVX512_H
#define FFL_KERNELS_SIMD_EXPERTS_AVX512_H

#include "kernels/experts_tiled.h"
#include "kernels/product.h"
#include "kernels/simd/token_tile_avx512.h"

/* Where packing and gathering pay: by measurement, kernels/NOTES.md. */
enum { FFL_EXPERTS_WIDE = 48 };

enum { FFL_NARROW_TOKENS = 3, FFL_NARROW_ROWS = 8, FFL_NARROW_VECTORS = 8, FFL_NARROW_BLOCK = 48 };

/* z[t][r] = x[t]·w[r] for constant numbers of tokens and rows, w's rows one after the other. */
static inline __attribute__((always_inline)) void ffl_narrow_in(const float *const *x, size_t tokens,
                                                                const float *w, size_t rows, size_t n,
                                                                float *z, size_t ldz)
{
    __m512 sum[FFL_NARROW_TOKENS][FFL_TILE_TOKENS];
    for (size_t t = 0; t < FFL_NARROW_TOKENS; t++)
        for (size_t r = 0; r < FFL_NARROW_ROWS; r++)
            sum[t][r] = _mm512_setzero_ps();
    size_t k = 0;
    for (; k + 16 <= n; k += 16) {
        __m512 v[FFL_NARROW_TOKENS];
        for (size_t t = 0; t < tokens; t++)
            v[t] = _mm512_loadu_ps(x[t] + k);
        for (size_t r = 0; r < rows; r++) {
            __m512 row = _mm512_loadu_ps(w + r * n + k);
            __asm__("" : "+v"(row)); /* gcc 12 would load it again for every token */
            for (size_t t = 0; t < tokens; t++)
                sum[t][r] = _mm512_fmadd_ps(v[t], row, sum[t][r]);
        }
    }
    if (k < n) {
        const __mmask16 m = ffl_lanes_avx512(n - k);
        for (size_t r = 0; r < rows; r++) {
            const __m512 row = _mm512_maskz_loadu_ps(m, w + r * n + k);
            for (size_t t = 0; t < tokens; t++)
                sum[t][r] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, x[t] + k), row, sum[t][r]);
        }
    }
    for (size_t t = 0; t < tokens; t++)
        _mm256_mask_storeu_ps(z + t * ldz, (__mmask8)((1u << rows) - 1), ffl_sums_avx512(sum[t]));
}

/* The rows of an expert for a constant number of tokens, the last rows in eights, fours, twos, ones. */
static inline __attribute__((always_inline)) void ffl_narrow_in_rows(const float *const *x, size_t tokens,
                                                                     const float *w, size_t rows, size_t n,
                                                                     float *z, size_t ldz)
{
    size_t r = 0;
    for (; r + 8 <= rows; r += 8)
        ffl_narrow_in(x, tokens, w + r * n, 8, n, z + r, ldz);
    if (rows - r >= 4) {
        ffl_narrow_in(x, tokens, w + r * n, 4, n, z + r, ldz);
        r += 4;
    }
    if (rows - r >= 2) {
        ffl_narrow_in(x, tokens, w + r * n, 2, n, z + r, ldz);
        r += 2;
    }
    if (rows - r)
        ffl_narrow_in(x, tokens, w + r * n, 1, n, z + r, ldz);
}

/* What becomes of the sums of one pair. */
typedef struct ffl_narrow_target {
    float *y, *next; /* next: a row that will be written soon */
    float share;
    bool add;
} ffl_narrow_target;

static inline void ffl_narrow_store(const ffl_narrow_target *to, size_t at, __mmask16 m, __m512 sum,
                                    bool whole)
{
    if (!whole) {
        const __m512 share = _mm512_set1_ps(to->share);
        sum = to->add ? _mm512_fmadd_ps(share, sum, _mm512_maskz_loadu_ps(m, to->y + at))
                      : _mm512_mul_ps(share, sum);
    }
    _mm512_mask_storeu_ps(to->y + at, m, sum);
}

/* y = or += share·(b + Σ_r g[r]·w[r]) for a constant number of tokens. b may be NULL. */
static inline __attribute__((always_inline)) void ffl_narrow_out(const float *g, size_t ldg, size_t tokens,
                                                                 const float *w, const float *b, size_t rows,
                                                                 size_t n, const ffl_narrow_target *to,
                                                                 bool whole)
{
    size_t i = 0;
    for (; i + 16 * FFL_NARROW_VECTORS <= n; i += 16 * FFL_NARROW_VECTORS) {
        __m512 sum[FFL_NARROW_TOKENS][FFL_NARROW_VECTORS];
        for (size_t j = 0; j < FFL_NARROW_VECTORS; j++) {
            const __m512 bias = b ? _mm512_loadu_ps(b + i + 16 * j) : _mm512_setzero_ps();
            for (size_t t = 0; t < tokens; t++) {
                sum[t][j] = bias;
                _mm_prefetch((const char *)(to[t].next + i + 16 * j), _MM_HINT_T0);
            }
        }
        for (size_t r = 0; r < rows; r++) {
            __m512 v[FFL_NARROW_TOKENS];
            for (size_t t = 0; t < tokens; t++)
                v[t] = _mm512_set1_ps(g[t * ldg + r]);
            for (size_t j = 0; j < FFL_NARROW_VECTORS; j++) {
                __m512 row = _mm512_loadu_ps(w + r * n + i + 16 * j);
                __asm__("" : "+v"(row));
                for (size_t t = 0; t < tokens; t++)
                    sum[t][j] = _mm512_fmadd_ps(v[t], row, sum[t][j]);
            }
        }
        for (size_t t = 0; t < tokens; t++)
            for (size_t j = 0; j < FFL_NARROW_VECTORS; j++)
                ffl_narrow_store(&to[t], i + 16 * j, (__mmask16)0xffff, sum[t][j], whole);
    }
    for (; i < n; i += 16) {
        const __mmask16 m = n - i < 16 ? ffl_lanes_avx512(n - i) : (__mmask16)0xffff;
        for (size_t t = 0; t < tokens; t++) {
            __m512 sum = b ? _mm512_maskz_loadu_ps(m, b + i) : _mm512_setzero_ps();
            for (size_t r = 0; r < rows; r++)
                sum = _mm512_fmadd_ps(_mm512_set1_ps(g[t * ldg + r]), _mm512_maskz_loadu_ps(m, w + r * n + i),
                                      sum);
            ffl_narrow_store(&to[t], i, m, sum, whole);
        }
    }
}

/* At most FFL_NARROW_BLOCK pairs of one expert; next: the first pair after them, or one of them. */
static inline void ffl_narrow_block(const ffl_experts_batch *b, const uint32_t *order, size_t count,
                                    uint32_t next)
{
    const ffl_layer *l = b->layer;
    const size_t width = l->expert_width, chosen = l->chosen;
    const ffl_layer e = ffl_layer_expert(l, b->expert[order[0]]);
    const float *x[FFL_NARROW_BLOCK + FFL_NARROW_TOKENS];
    float g[FFL_NARROW_BLOCK * FFL_EXPERTS_WIDE];
    for (size_t i = 0; i < count; i++)
        x[i] = b->x + order[i] / chosen * b->ldx;
    size_t i = 0;
    for (; i + 3 <= count; i += 3)
        ffl_narrow_in_rows(x + i, 3, e.w_in, width, l->width_in, g + i * width, width);
    if (count - i == 2)
        ffl_narrow_in_rows(x + i, 2, e.w_in, width, l->width_in, g + i * width, width);
    else if (count - i == 1)
        ffl_narrow_in_rows(x + i, 1, e.w_in, width, l->width_in, g + i * width, width);
    for (i = 0; i < count; i++)
        for (size_t r = 0; r < width; r++)
            g[i * width + r] += e.b_in[r];
    ffl_activate_avx512(l->activation, g, count * width);
    for (i = 0; i < count;) {
        const size_t some = count - i < FFL_NARROW_TOKENS ? count - i : FFL_NARROW_TOKENS;
        ffl_narrow_target to[FFL_NARROW_TOKENS];
        for (size_t t = 0; t < some; t++) {
            const uint32_t pair = order[i + t], later = i + t + some < count ? order[i + t + some] : next;
            to[t] = (ffl_narrow_target){.y = b->y + pair / chosen * b->ldy,
                                        .next = b->y + later / chosen * b->ldy,
                                        .share = b->share ? b->share[pair] : 1.0f,
                                        .add = pair % chosen != 0};
        }
        const bool whole = !b->share;
        if (some == 3)
            ffl_narrow_out(g + i * width, width, 3, e.w_out, e.b_out, width, l->width_out, to, whole);
        else if (some == 2)
            ffl_narrow_out(g + i * width, width, 2, e.w_out, e.b_out, width, l->width_out, to, whole);
        else
            ffl_narrow_out(g + i * width, width, 1, e.w_out, e.b_out, width, l->width_out, to, whole);
        i += some;
    }
}

/* Pairs order [count] as in ffl_experts_tiled_run. */
static inline void ffl_experts_avx512_run(const ffl_experts_tiled *wide, const ffl_experts_batch *b,
                                          const uint32_t *order, size_t count, void *scratch)
{
    if (wide) {
        ffl_experts_tiled_run(wide, b, order, count, scratch);
        return;
    }
    for (size_t first = 0, end; first < count; first = end) {
        end = ffl_experts_run(b->expert, order, first,
                              count - first < FFL_NARROW_BLOCK ? count : first + FFL_NARROW_BLOCK);
        ffl_narrow_block(b, order + first, end - first, order[end < count ? end : first]);
    }
}

/* *wide: NULL for narrow experts. */
static inline ffl_status ffl_experts_avx512_new(const ffl_layer *layer, size_t max_tokens,
                                                ffl_experts_tiled **wide)
{
    *wide = NULL;
    return layer->expert_width < FFL_EXPERTS_WIDE
               ? FFL_OK
               : ffl_experts_tiled_new(&ffl_product_avx512, layer, max_tokens, wide);
}

/* Tokens that are worth a thread: about ten times what waking one costs. */
static inline size_t ffl_experts_grain(const ffl_layer *l)
{
    enum { WORK = 4 << 20, MOST = 64 };
    const double gates = (double)(l->operation == FFL_MOE ? l->gates : l->levels) * (double)l->width_in;
    const double experts = (double)(l->chosen * l->expert_width) * (double)(l->width_in + l->width_out);
    const double grain = WORK / (gates + experts) + 1;
    return grain < MOST ? (size_t)grain : MOST;
}

#endif
