/*
 * FFF with int8 weights in integers: the fused walk, one or four tokens at a time, 64 products per
 * instruction. x and the activations become 16-bit fixed point, two signed bytes each, so that next to
 * nothing is lost but what rounding the weights costs; vpdpbusd multiplies weights, 128 added, with either
 * byte. Widening to floats costs 72 cycles per row of 768, this 18; then a walk waits for its rows only, 1.5
 * KB per node.
 *
 * Output rows of four levels are interleaved byte by byte in registers. The order of bytes in a packed row
 * makes what packing x and interleaving rows do to columns cancel: byte 16a + 4b + c of a block of 64 is
 * column 16b + 4a + c.
 */
#include "kernels/memory.h"
#include "kernels/simd/int8_avx512.h"
#include "kernels/team.h"
#include <string.h>

enum {
    BLOCK = 64,
    TOGETHER = 4,
    CHUNK = 32,          /* rows collected before they are summed: at least FFL_LEVELS_MAX, a multiple of 4 */
    WIDTH_MAX = 1 << 17, /* 128·127·width stays below 2^31 */
    FIXED_BITS = 13      /* of a fixed-point value below the largest one's leading bit */
};

typedef struct packed {
    char *rows;                  /* [neurons]: w_in, w_out */
    size_t in_blocks, stride;    /* blocks; bytes */
    float *scale_in, *scale_out; /* [neurons] */
} packed;

/* One token: x as codes, and what its descents have collected. */
typedef struct token {
    char *high, *low; /* [in_blocks][BLOCK]: x = step·(256·high + low) */
    float step;
    int32_t high_sum, low_sum; /* 128 times the sums of the bytes */
    float g[CHUNK];
    size_t row[CHUNK];
} token;

static __mmask16 lanes(size_t n)
{
    return n < 16 ? ffl_lanes_avx512(n) : (__mmask16)0xffff;
}

/* A power of two: peak / step < 2^(FIXED_BITS + 1). At least 2^-126; 0 for 0; not finite as peak is not. */
static float step_of(float peak)
{
    uint32_t bits;
    memcpy(&bits, &peak, sizeof bits);
    const uint32_t exponent = bits >> 23;
    if (exponent == 255 || bits == 0)
        return peak;
    bits = (exponent > FIXED_BITS ? exponent - FIXED_BITS : 1) << 23;
    memcpy(&peak, &bits, sizeof bits);
    return peak;
}

/* 16 columns of v from i on as whole numbers of steps; n may end before. */
static __m512i fixed(const float *v, size_t i, size_t n, __m512 inverse)
{
    const __m512 x = i < n ? _mm512_maskz_loadu_ps(lanes(n - i), v + i) : _mm512_setzero_ps();
    return _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse));
}

static void quantise(const float *x, size_t n, token *t)
{
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i high_sum = _mm512_setzero_si512(), low_sum = high_sum;
    t->step = step_of(ffl_peak_avx512(x, n));
    const __m512 inverse = _mm512_set1_ps(t->step > 0 ? 1.0f / t->step : 0.0f);
    for (size_t i = 0; i < n; i += BLOCK) {
        const __m512i a = _mm512_packs_epi32(fixed(x, i, n, inverse), fixed(x, i + 16, n, inverse));
        const __m512i b = _mm512_packs_epi32(fixed(x, i + 32, n, inverse), fixed(x, i + 48, n, inverse));
        const __m512i round = _mm512_set1_epi16(128);
        const __m512i high = _mm512_packs_epi16(_mm512_srai_epi16(_mm512_adds_epi16(a, round), 8),
                                                _mm512_srai_epi16(_mm512_adds_epi16(b, round), 8));
        const __m512i low = _mm512_packs_epi16(_mm512_srai_epi16(_mm512_slli_epi16(a, 8), 8),
                                               _mm512_srai_epi16(_mm512_slli_epi16(b, 8), 8));
        _mm512_store_si512(t->high + i, high);
        _mm512_store_si512(t->low + i, low);
        high_sum = _mm512_dpbusd_epi32(high_sum, ones, high);
        low_sum = _mm512_dpbusd_epi32(low_sum, ones, low);
    }
    t->high_sum = 128 * _mm512_reduce_add_epi32(high_sum);
    t->low_sum = 128 * _mm512_reduce_add_epi32(low_sum);
}

static __m128i quarter(__m512i v)
{
    const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti32x8_epi32(v, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* Lane i: the sum of v[i]. */
static __m128i reduce4(const __m512i *v)
{
    const __m128i a = quarter(v[0]), b = quarter(v[1]), c = quarter(v[2]), d = quarter(v[3]);
    const __m128i ab = _mm_add_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
    const __m128i cd = _mm_add_epi32(_mm_unpacklo_epi32(c, d), _mm_unpackhi_epi32(c, d));
    return _mm_add_epi32(_mm_unpacklo_epi64(ab, cd), _mm_unpackhi_epi64(ab, cd));
}

/* The logits of one row each for `count` tokens side by side, biases not yet added. */
static inline __attribute__((always_inline)) void dots(const packed *p, const size_t count, const token *t,
                                                       const size_t *row, float *z)
{
    __m512i high[TOGETHER], low[TOGETHER];
#pragma GCC unroll 4
    for (size_t i = 0; i < TOGETHER; i++)
        high[i] = low[i] = _mm512_setzero_si512();
    for (size_t b = 0; b < p->in_blocks * BLOCK; b += BLOCK)
#pragma GCC unroll 4
        for (size_t i = 0; i < count; i++) {
            const __m512i w = _mm512_load_si512(p->rows + row[i] * p->stride + b);
            high[i] = _mm512_dpbusd_epi32(high[i], w, _mm512_load_si512(t[i].high + b));
            low[i] = _mm512_dpbusd_epi32(low[i], w, _mm512_load_si512(t[i].low + b));
        }
    uint32_t highs[TOGETHER], lows[TOGETHER];
    _mm_storeu_si128((__m128i *)highs, reduce4(high));
    _mm_storeu_si128((__m128i *)lows, reduce4(low));
    for (size_t i = 0; i < count; i++) {
        /* Differences modulo 2^32: the sums without the 128 are small. */
        const int32_t h = (int32_t)(highs[i] - (uint32_t)t[i].high_sum);
        const int32_t l = (int32_t)(lows[i] - (uint32_t)t[i].low_sum);
        z[i] = (float)(256 * (int64_t)h + l) * p->scale_in[row[i]] * t[i].step;
    }
}

/* One tree for `count` tokens, side by side; t[i] collects from `at` on. */
static inline __attribute__((always_inline)) void descend(const ffl_layer *l, const packed *p, size_t tree,
                                                          const size_t count, token *t, size_t at)
{
    size_t row[TOGETHER];
    for (size_t i = 0; i < count; i++)
        row[i] = tree * l->nodes;
    for (size_t level = 0; level < l->levels; level++) {
        float z[TOGETHER];
        dots(p, count, t, row, z);
        for (size_t i = 0; i < count; i++) {
            z[i] += l->b_in[row[i]];
            t[i].g[at + level] = z[i];
            t[i].row[at + level] = row[i];
            row[i] += row[i] - tree * l->nodes + 1 + (z[i] > 0.0f);
        }
    }
}

/* y = or += the `count` rows that t has collected. */
static void write_output(const ffl_layer *l, const packed *p, token *t, size_t count, float *y, bool add)
{
    int8_t high[CHUNK] = {0}, low[CHUNK] = {0};
    const char *w[CHUNK];
    int32_t sum = 0;
    ffl_activate_avx512(l->activation, t->g, count);
    for (size_t k = 0; k < count; k++)
        t->g[k] *= p->scale_out[t->row[k]];
    const float step = step_of(ffl_peak_avx512(t->g, count));
    const float inverse = step > 0 ? 1.0f / step : 0.0f;
    for (size_t k = 0; k < (count + 3) / 4 * 4; k++) {
        /* Rows of zeros fill the last group. */
        w[k] = p->rows + t->row[k < count ? k : 0] * p->stride + p->in_blocks * BLOCK;
        if (k >= count)
            continue;
        const int32_t code = _mm_cvtss_si32(_mm_set_ss(t->g[k] * inverse));
        high[k] = (int8_t)((code + 128) >> 8);
        low[k] = (int8_t)code;
        sum += 256 * high[k] + low[k];
    }
    const __m512i total = _mm512_set1_epi32(128 * sum);
    for (size_t j = 0; j < l->width_out; j += BLOCK) {
        __m512i h[4], m[4];
#pragma GCC unroll 4
        for (size_t q = 0; q < 4; q++)
            h[q] = m[q] = _mm512_setzero_si512();
        for (size_t k = 0; k < count; k += 4) {
            const __m512i a = _mm512_load_si512(w[k] + j), b = _mm512_load_si512(w[k + 1] + j);
            const __m512i c = _mm512_load_si512(w[k + 2] + j), d = _mm512_load_si512(w[k + 3] + j);
            const __m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
            const __m512i AB = _mm512_unpackhi_epi8(a, b), CD = _mm512_unpackhi_epi8(c, d);
            const __m512i v[4] = {_mm512_unpacklo_epi16(ab, cd), _mm512_unpackhi_epi16(ab, cd),
                                  _mm512_unpacklo_epi16(AB, CD), _mm512_unpackhi_epi16(AB, CD)};
            int32_t four;
            memcpy(&four, high + k, sizeof four);
            const __m512i g = _mm512_set1_epi32(four);
            memcpy(&four, low + k, sizeof four);
            const __m512i e = _mm512_set1_epi32(four);
#pragma GCC unroll 4
            for (size_t q = 0; q < 4; q++) {
                h[q] = _mm512_dpbusd_epi32(h[q], v[q], g);
                m[q] = _mm512_dpbusd_epi32(m[q], v[q], e);
            }
        }
#pragma GCC unroll 4
        for (size_t q = 0; q < 4; q++) {
            if (j + 16 * q >= l->width_out)
                break;
            const __mmask16 k = lanes(l->width_out - j - 16 * q);
            float *to = y + j + 16 * q;
            const __m512i whole = _mm512_sub_epi32(_mm512_add_epi32(_mm512_slli_epi32(h[q], 8), m[q]), total);
            const __m512 old = add ? _mm512_maskz_loadu_ps(k, to) : _mm512_setzero_ps();
            _mm512_mask_storeu_ps(to, k,
                                  _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole), _mm512_set1_ps(step), old));
        }
    }
}

/* Tokens with room for their codes in scratch. */
static void open_tokens(const packed *p, void *scratch, token *t)
{
    for (size_t i = 0; i < TOGETHER; i++) {
        t[i].high = (char *)scratch + 2 * i * p->in_blocks * BLOCK;
        t[i].low = t[i].high + p->in_blocks * BLOCK;
    }
}

static inline __attribute__((always_inline)) void run_group(const ffl_plan *plan, const size_t count,
                                                            token *t, const float *x, size_t ldx, float *y,
                                                            size_t ldy)
{
    const ffl_layer *l = plan->layer;
    for (size_t i = 0; i < count; i++)
        quantise(x + i * ldx, l->width_in, &t[i]);
    size_t tree = 0;
    for (bool add = false; tree < l->trees; add = true) {
        size_t collected = 0;
        for (; tree < l->trees && collected + l->levels <= CHUNK; collected += l->levels)
            descend(l, plan->state, tree++, count, t, collected);
        for (size_t i = 0; i < count; i++)
            write_output(l, plan->state, &t[i], collected, y + i * ldy, add);
    }
}

static inline __attribute__((always_inline)) void walk(const ffl_plan *plan, const size_t together,
                                                       void *scratch, const float *x, size_t ldx, float *y,
                                                       size_t ldy, size_t tokens)
{
    token t[TOGETHER];
    open_tokens(plan->state, scratch, t);
    size_t i = 0;
    for (; i + together <= tokens; i += together)
        run_group(plan, together, t, x + i * ldx, ldx, y + i * ldy, ldy);
    for (; i < tokens; i++)
        run_group(plan, 1, t, x + i * ldx, ldx, y + i * ldy, ldy);
}

static void part_1(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                   size_t tokens)
{
    walk(plan, 1, scratch, x, ldx, y, ldy, tokens);
}

static void part_4(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                   size_t tokens)
{
    walk(plan, TOGETHER, scratch, x, ldx, y, ldy, tokens);
}

static ffl_status run_1(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                        size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, 32, part_1, x, ldx, y, ldy, tokens);
}

static ffl_status run_4(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                        size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, 32, part_4, x, ldx, y, ldy, tokens);
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    const ffl_layer *l = plan->layer;
    token t[TOGETHER];
    open_tokens(plan->state, exec->scratch, t);
    for (size_t i = 0; i < tokens; i++, x += ldx) {
        quantise(x, l->width_in, t);
        for (size_t tree = 0; tree < l->trees; tree++) {
            descend(l, plan->state, tree, 1, t, 0);
            for (size_t level = 0; level < l->levels; level++) {
                *nodes++ = (int32_t)(t->row[level] - tree * l->nodes);
                *logits++ = t->g[level];
            }
        }
    }
    return FFL_OK;
}

static void release(ffl_plan *plan)
{
    packed *p = plan->state;
    ffl_free(p->rows);
    ffl_free(p->scale_in);
    ffl_free(p);
}

/* n columns as codes plus 128, reordered within blocks; `codes` has room for whole blocks. */
static float pack_row(const float *w, size_t n, int8_t *codes, char *out)
{
    const size_t padded = (n + BLOCK - 1) / BLOCK * BLOCK;
    const float scale = ffl_peak_avx512(w, n) / FFL_INT8_MAX;
    memset(codes, 0, padded);
    ffl_int8_quantise(w, n, scale, codes);
    for (size_t i = 0; i < padded; i++) {
        const size_t a = i / 16 % 4, b = i / 4 % 4, c = i % 4;
        out[i] = (char)(codes[i / BLOCK * BLOCK + 16 * b + 4 * a + c] + 128);
    }
    return scale;
}

static ffl_status prepare(const ffl_layer *l, const ffl_machine *machine, ffl_plan *plan)
{
    const size_t out_blocks = (l->width_out + BLOCK - 1) / BLOCK;
    (void)machine;
    packed *p = plan->state = ffl_alloc(sizeof *p);
    if (!p)
        return FFL_NO_MEMORY;
    p->in_blocks = (l->width_in + BLOCK - 1) / BLOCK;
    p->stride = (p->in_blocks + out_blocks) * BLOCK;
    p->rows = ffl_alloc_array(l->neurons, p->stride);
    p->scale_in = ffl_alloc_array(l->neurons, 2 * sizeof *p->scale_in);
    int8_t *codes = ffl_alloc(p->stride);
    if (!codes || !p->rows || !p->scale_in) {
        ffl_free(codes);
        release(plan);
        return FFL_NO_MEMORY;
    }
    p->scale_out = p->scale_in + l->neurons;
    for (size_t i = 0; i < l->neurons; i++) {
        char *row = p->rows + i * p->stride;
        p->scale_in[i] = pack_row(l->w_in + i * l->width_in, l->width_in, codes, row);
        p->scale_out[i] =
            pack_row(l->w_out + i * l->width_out, l->width_out, codes, row + p->in_blocks * BLOCK);
    }
    ffl_free(codes);
    plan->packed_bytes = l->neurons * (p->stride + 2 * sizeof *p->scale_in);
    ffl_team_scratch(plan, 2 * TOGETHER * p->in_blocks * BLOCK);
    return FFL_OK;
}

static bool supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    (void)tokens;
    *why = "sums of more than 131072 products of codes need more than 32 bits";
    return shape->width_in <= WIDTH_MAX;
}

#define CONTRACT                                                                                             \
    {                                                                                                        \
        .input = FFL_INT16, .weights = FFL_INT8, .hidden = FFL_INT16, .accumulator = FFL_F32,                \
        .output = FFL_F32, .weight_scale = FFL_SCALE_ROW, .reassociates = true, .flushes_denormals = true,   \
        .activation_error = 4 * FFL_UNIT_F32, .alignment = 4, .invariances = FFL_SAME_ALL                    \
    }

FFL_VARIANTS(fff_walk_int8_avx512vnni) = {
    {.name = "fff_walk_int8_avx512vnni",
     .source = "this lab",
     .summary = "tree walk per token in integers, 16-bit inputs and activations, vpdpbusd",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512_VNNI,
     .threaded = true,
     .contract = CONTRACT,
     .supports = supports,
     .prepare = prepare,
     .run = run_1,
     .release = release,
     .trace = trace},
    {.name = "fff_walk_interleaved4_int8_avx512vnni",
     .source = "this lab",
     .summary = "the same, the products of 4 tokens column by column side by side",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512_VNNI,
     .threaded = true,
     .contract = CONTRACT,
     .supports = supports,
     .prepare = prepare,
     .run = run_4,
     .release = release,
     .trace = trace},
    {0},
};
