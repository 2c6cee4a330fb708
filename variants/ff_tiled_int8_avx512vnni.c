/*
 * FF in int8, four times the rate of f32: two register-tiled integer products (vpdpbusd: 64 products per
 * instruction) with dequantisation, activation and quantisation between them. Tiles work on words of four
 * consecutive k (tile_avx512.h). Weights are int8 with a scale per neuron, stored with 128 added because the
 * instruction takes one side unsigned; 128 times the sum of the token's own codes takes that back, exactly.
 *
 * A neuron's scale in w_out lies inside the sum over neurons. It is multiplied into the activation before
 * that is quantised, with one step per token and block of neurons. Blocks are summed in f32.
 */
#define FFL_TILE_INTEGERS
#include "kernels/memory.h"
#include "kernels/simd/int8_avx512.h"
#include "kernels/simd/tile_avx512.h"
#include "kernels/team.h"
#include <string.h>

enum {
    DEPTH = 768,             /* k per step */
    BLOCK = 768,             /* neurons per step, and k of the second product */
    STRIDE = DEPTH / 4 + 16, /* of codes, in words: an odd number of cache lines keeps 12 rows apart */
    HIDDEN = BLOCK + 16,     /* stride of logits */
    ROWS = 96,               /* tokens per pass over the weights */
    WIDTH_MAX = 1 << 17      /* 127·127·width stays below 2^31 */
};

typedef struct packed {
    uint32_t *w_in;  /* [neurons / BLOCK][width_in / DEPTH][BLOCK / PANEL] panels of [k / 4][PANEL] */
    uint32_t *w_out; /* [neurons / BLOCK][width_out / PANEL] panels of [k / 4][PANEL] */
    float *scale_in, *scale_out; /* [neurons] */
} packed;

/* What a thread works in. */
typedef struct buffers {
    uint32_t *x;            /* [width_in / DEPTH][rows][STRIDE]: codes */
    uint32_t *hidden;       /* [rows][STRIDE]: codes */
    int32_t *logits;        /* [rows][HIDDEN]: integer sums, then floats */
    int32_t *c;             /* [rows][PANEL]: integer sums */
    float *x_step, *h_step; /* [rows] */
    int32_t *x_sum, *h_sum; /* [rows]: 128 times the sum of the codes */
} buffers;

static inline __attribute__((always_inline)) __m512i keep(__m512i words, size_t phase)
{
    (void)phase;
    return words;
}

static inline __attribute__((always_inline)) ffl_tile_sum step(ffl_tile_sum sum, const uint32_t *a, __m512i b,
                                                               size_t phase)
{
    (void)phase;
    return (ffl_tile_sum)_mm512_dpbusd_epi32((__m512i)sum, b, _mm512_set1_epi32((int)*a));
}

FFL_DEFINE_TILES(tiles, ((ffl_tile_format){1, keep, step, 1, STRIDE}))

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static __mmask16 lanes(size_t left)
{
    return left < 16 ? ffl_lanes_avx512(left) : (__mmask16)0xffff;
}

/* n codes of v / scale, zeros up to whole lines; returns 128 times their sum. Codes stay in a register until
 * there is a line of them: storing and loading again what a conversion stored costs more than the rest. */
static int32_t quantise(const float *v, size_t n, float scale, uint32_t *to)
{
    /* In two steps: 1 / scale alone may overflow. */
    const float up = scale < 0x1p-100f ? 0x1p100f : 1.0f;
    const __m512 first = _mm512_set1_ps(up), second = _mm512_set1_ps(scale > 0 ? 1.0f / (scale * up) : 0.0f);
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += 64, to += 16) {
        __m128i codes[4];
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            const size_t at = i + 16 * j;
            const __m512 part = _mm512_maskz_loadu_ps(at < n ? lanes(n - at) : (__mmask16)0, v + at);
            codes[j] =
                _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_mul_ps(part, first), second)));
        }
        const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(codes[0]), codes[1], 1);
        const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(codes[2]), codes[3], 1);
        const __m512i line = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), line);
        _mm512_storeu_si512(to, line);
    }
    return 128 * _mm512_reduce_add_epi32(sum);
}

static void quantise_x(const ffl_layer *l, const float *x, size_t ldx, size_t rows, const buffers *w)
{
    for (size_t r = 0; r < rows; r++, x += ldx) {
        w->x_step[r] = ffl_peak_avx512(x, l->width_in) / FFL_INT8_MAX;
        w->x_sum[r] = 0;
        for (size_t k = 0; k < l->width_in; k += DEPTH)
            w->x_sum[r] += quantise(x + k, smaller(DEPTH, l->width_in - k), w->x_step[r],
                                    w->x + (k / DEPTH * rows + r) * STRIDE);
    }
}

/*
 * max(z, 0) - a·Q(a), a = min(|z|, 4.1), as GELU in simd/avx512.h; Q, the tail of the normal distribution, by
 * the polynomial that meets it in the ten Chebyshev points of 0 … 4.1: off by 2.3e-5 at most, also beyond,
 * where a step of int8 is 3.9e-3 of the largest value. The exact GELU took 3.1 of 30 µs per token.
 */
static inline __m512 act(ffl_activation activation, __m512 z)
{
    static const float terms[] = {-1.33325266e-05f, 0.000315561163f, -0.00307746185f, 0.0154968789f,
                                  -0.0396261886f,   0.0327552445f,   0.0460604914f,   0.00645702379f,
                                  -0.399737477f,    0.500016272f};
    if (activation != FFL_GELU)
        return ffl_act_avx512(activation, z);
    const __m512 a = _mm512_min_ps(_mm512_abs_ps(z), _mm512_set1_ps(4.1f));
    __m512 q = _mm512_set1_ps(terms[0]);
#pragma GCC unroll 16
    for (size_t i = 1; i < sizeof terms / sizeof *terms; i++)
        q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(terms[i]));
    /* The order of max's operands keeps NaN. */
    return _mm512_fnmadd_ps(a, q, _mm512_max_ps(_mm512_setzero_ps(), z));
}

/* Integer sums to activations times scale_out, and these to codes. */
static void activate(const ffl_layer *l, const packed *p, size_t first, size_t neurons, size_t rows,
                     const buffers *w)
{
    for (size_t r = 0; r < rows; r++) {
        int32_t *sums = w->logits + r * HIDDEN;
        float *h = (float *)sums;
        const __m512i sum = _mm512_set1_epi32(w->x_sum[r]);
        const __m512 x_step = _mm512_set1_ps(w->x_step[r]);
        for (size_t i = 0; i < neurons; i += 16) {
            const __mmask16 m = lanes(neurons - i);
            const size_t n = first + i;
            __m512 z = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_maskz_loadu_epi32(m, sums + i), sum));
            z = _mm512_mul_ps(z, _mm512_maskz_loadu_ps(m, p->scale_in + n));
            z = _mm512_fmadd_ps(z, x_step, _mm512_maskz_loadu_ps(m, l->b_in + n));
            z = _mm512_mul_ps(act(l->activation, z), _mm512_maskz_loadu_ps(m, p->scale_out + n));
            _mm512_mask_storeu_ps(h + i, m, z);
        }
        w->h_step[r] = ffl_peak_avx512(h, neurons) / FFL_INT8_MAX;
        w->h_sum[r] = quantise(h, neurons, w->h_step[r], w->hidden + r * STRIDE);
    }
}

/* y = or += one panel's integer sums. */
static void add_output(const buffers *w, size_t rows, size_t columns, float *y, size_t ldy, bool add)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < columns; i += 16) {
            const __mmask16 m = lanes(columns - i);
            float *to = y + r * ldy + i;
            const __m512i sum = _mm512_sub_epi32(_mm512_loadu_si512(w->c + r * FFL_TILE_PANEL + i),
                                                 _mm512_set1_epi32(w->h_sum[r]));
            const __m512 old = add ? _mm512_maskz_loadu_ps(m, to) : _mm512_setzero_ps();
            _mm512_mask_storeu_ps(
                to, m, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(w->h_step[r]), old));
        }
}

/* At most ROWS tokens. */
static void run_block(const ffl_plan *plan, const buffers *w, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t rows)
{
    const ffl_layer *l = plan->layer;
    const packed *p = plan->state;
    const uint32_t *b_in = p->w_in, *b_out = p->w_out;
    quantise_x(l, x, ldx, rows, w);
    for (size_t n = 0; n < l->neurons; n += BLOCK) {
        const size_t neurons = smaller(BLOCK, l->neurons - n);
        for (size_t k = 0; k < l->width_in; k += DEPTH) {
            const size_t words = divide_up(smaller(DEPTH, l->width_in - k), 4);
            for (size_t j = 0; j < neurons; j += FFL_TILE_PANEL, b_in += words * FFL_TILE_PANEL) {
                const ffl_tile_work tile = {.a = w->x + k / DEPTH * rows * STRIDE,
                                            .panel = b_in,
                                            .words = words,
                                            .c = (uint32_t *)w->logits + j,
                                            .ldc = HIDDEN,
                                            .columns = smaller(FFL_TILE_PANEL, neurons - j),
                                            .add = k > 0};
                ffl_tile_multiply(tiles, &tile, rows);
            }
        }
        activate(l, p, n, neurons, rows, w);
        const size_t words = divide_up(neurons, 4);
        for (size_t j = 0; j < l->width_out; j += FFL_TILE_PANEL, b_out += words * FFL_TILE_PANEL) {
            const ffl_tile_work tile = {.a = w->hidden,
                                        .panel = b_out,
                                        .words = words,
                                        .c = (uint32_t *)w->c,
                                        .ldc = FFL_TILE_PANEL,
                                        .columns = FFL_TILE_PANEL};
            ffl_tile_multiply(tiles, &tile, rows);
            add_output(w, rows, smaller(FFL_TILE_PANEL, l->width_out - j), y + j, ldy, n > 0);
        }
    }
    for (size_t r = 0; l->b_out && r < rows; r++)
        ffl_axpy_avx512(1.0f, l->b_out, y + r * ldy, l->width_out);
}

static size_t scratch_words(const ffl_layer *l)
{
    return ROWS * (STRIDE * (divide_up(l->width_in, DEPTH) + 1) + HIDDEN + FFL_TILE_PANEL + 4);
}

static void part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                 size_t tokens)
{
    const size_t blocks = divide_up(tokens, ROWS);
    buffers w = {.x = scratch};
    w.hidden = w.x + ROWS * STRIDE * divide_up(plan->layer->width_in, DEPTH);
    w.logits = (int32_t *)(w.hidden + ROWS * STRIDE);
    w.c = w.logits + ROWS * HIDDEN;
    w.x_step = (float *)(w.c + ROWS * FFL_TILE_PANEL);
    w.h_step = w.x_step + ROWS;
    w.x_sum = (int32_t *)(w.h_step + ROWS);
    w.h_sum = w.x_sum + ROWS;
    for (size_t b = 0, first = 0; b < blocks; b++) {
        const size_t end = tokens * (b + 1) / blocks;
        run_block(plan, &w, x + first * ldx, ldx, y + first * ldy, ldy, end - first);
        first = end;
    }
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, 16, part, x, ldx, y, ldy, tokens);
}

static void release(ffl_plan *plan)
{
    packed *p = plan->state;
    ffl_free(p->w_in);
    ffl_free(p->w_out);
    ffl_free(p->scale_in);
    ffl_free(p);
}

/* codes [neurons][4 · words of width_in] */
static void pack_in(const ffl_layer *l, const int8_t *codes, uint32_t *in)
{
    const size_t stride = divide_up(l->width_in, 4) * 4;
    for (size_t n = 0; n < l->neurons; n += BLOCK)
        for (size_t k = 0; k < l->width_in; k += DEPTH) {
            const size_t words = divide_up(smaller(DEPTH, l->width_in - k), 4);
            for (size_t j = n; j < smaller(n + BLOCK, l->neurons);
                 j += FFL_TILE_PANEL, in += words * FFL_TILE_PANEL)
                for (size_t i = 0; i < smaller(FFL_TILE_PANEL, l->neurons - j); i++)
                    for (size_t d = 0; d < words; d++) {
                        uint32_t word;
                        memcpy(&word, codes + (j + i) * stride + k + 4 * d, sizeof word);
                        in[d * FFL_TILE_PANEL + i] = word ^ 0x80808080u; /* 128 more */
                    }
        }
}

/* codes [neurons][width_out] */
static void pack_out(const ffl_layer *l, const int8_t *codes, uint32_t *out)
{
    for (size_t n = 0; n < l->neurons; n += BLOCK) {
        const size_t neurons = smaller(BLOCK, l->neurons - n), words = divide_up(neurons, 4);
        for (size_t j = 0; j < l->width_out; j += FFL_TILE_PANEL, out += words * FFL_TILE_PANEL)
            for (size_t d = 0; d < neurons; d++) {
                uint8_t *to = (uint8_t *)(out + d / 4 * FFL_TILE_PANEL) + d % 4;
                const int8_t *from = codes + (n + d) * l->width_out + j;
                for (size_t i = 0; i < smaller(FFL_TILE_PANEL, l->width_out - j); i++)
                    to[4 * i] = (uint8_t)(from[i] + 128);
            }
    }
}

static void quantise_rows(const float *w, size_t rows, size_t width, size_t stride, int8_t *codes,
                          float *scale)
{
    for (size_t r = 0; r < rows; r++)
        scale[r] = ffl_int8_pack(w + r * width, width, (char *)codes + r * stride);
}

static ffl_status prepare(const ffl_layer *l, const ffl_machine *machine, ffl_plan *plan)
{
    const size_t in = divide_up(l->neurons, FFL_TILE_PANEL) * FFL_TILE_PANEL * divide_up(l->width_in, 4);
    const size_t out = divide_up(l->width_out, FFL_TILE_PANEL) * FFL_TILE_PANEL * divide_up(l->neurons, 4);
    const size_t stride = divide_up(l->width_in, 4) * 4;
    (void)machine;
    packed *p = plan->state = ffl_alloc(sizeof *p);
    if (!p)
        return FFL_NO_MEMORY;
    int8_t *codes = ffl_alloc_array(l->neurons, stride > l->width_out ? stride : l->width_out);
    p->w_in = ffl_alloc_array(in, sizeof *p->w_in);
    p->w_out = ffl_alloc_array(out, sizeof *p->w_out);
    p->scale_in = ffl_alloc_array(l->neurons, 2 * sizeof *p->scale_in);
    if (!codes || !p->w_in || !p->w_out || !p->scale_in) {
        ffl_free(codes);
        release(plan);
        return FFL_NO_MEMORY;
    }
    p->scale_out = p->scale_in + l->neurons;
    quantise_rows(l->w_in, l->neurons, l->width_in, stride, codes, p->scale_in);
    pack_in(l, codes, p->w_in);
    quantise_rows(l->w_out, l->neurons, l->width_out, l->width_out, codes, p->scale_out);
    pack_out(l, codes, p->w_out);
    ffl_free(codes);
    plan->packed_bytes = (in + out) * sizeof(uint32_t) + l->neurons * 2 * sizeof(float);
    ffl_team_scratch(plan, scratch_words(l) * sizeof(uint32_t));
    return FFL_OK;
}

static bool supports(const ffl_layer *shape, size_t tokens, const char **why)
{
    (void)tokens;
    *why = "sums of more than 131072 products of codes need more than 32 bits";
    return shape->width_in <= WIDTH_MAX;
}

FFL_VARIANTS(ff_tiled_int8_avx512vnni) = {
    {.name = "ff_tiled_int8_avx512vnni",
     .source = "this lab; blocking after Goto and van de Geijn, ACM TOMS 34(3), 2008",
     .summary = "two packed 12x32 register-tiled integer products, vpdpbusd",
     .operation = FFL_FF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512_VNNI,
     .threaded = true,
     .contract = {.input = FFL_INT8,
                  .weights = FFL_INT8,
                  .hidden = FFL_INT8,
                  .accumulator = FFL_F32,
                  .output = FFL_F32,
                  .weight_scale = FFL_SCALE_ROW,
                  .reassociates = true,
                  .flushes_denormals = true,
                  .activation_error = 0x1p-15,
                  .alignment = 4,
                  .invariances = FFL_SAME_ALL},
     .supports = supports,
     .prepare = prepare,
     .run = run,
     .release = release},
    {0},
};
