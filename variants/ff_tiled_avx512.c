/*
 * FF as two register-tiled products with the activation between them, block by block: ROWS tokens stay in L2
 * while the packed weights stream past once. A tile of C is 12 tokens x 32 columns in 24 registers; per k it
 * costs 24 FMAs, 2 loads of B and 12 broadcasts of A. Weights are packed in exactly the order in which they
 * are used, so the next panel is always the next address and can be prefetched while this one is multiplied.
 *
 * Every output element is one sum in ascending k, whatever the tile: a row's bits do not depend on its batch.
 */
#include "kernels/memory.h"
#include "kernels/simd/avx512.h"
#include "kernels/variant.h"
#include <string.h>

enum {
    TILE = 12,           /* tokens in a tile */
    PANEL = 32,          /* columns in a tile: two vectors */
    DEPTH = 384,         /* k per step: 18 KB of A stay in L1 */
    STRIDE = DEPTH + 16, /* of A: an odd number of cache lines, so that 12 rows never share one cache set */
    ROWS = 96            /* tokens per pass over the weights: A, hidden, y and two panels fit 1 MB of L2 */
};

typedef struct packed {
    float *w_in;  /* [neurons / DEPTH][width_in / DEPTH][DEPTH / PANEL] panels of [k][PANEL] */
    float *w_out; /* [neurons / DEPTH][width_out / PANEL] panels of [k][PANEL] */
} packed;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* One tile: c [m][ldc] = or += a [m][STRIDE] · b [depth][PANEL]; `next` is what the following panel starts
 * with. */
static inline __attribute__((always_inline)) void tile(const size_t m, const float *a, const float *b,
                                                       size_t depth, float *c, size_t ldc, size_t columns,
                                                       bool add, const char *next, size_t next_step)
{
    const __mmask16 low = columns < 16 ? ffl_lanes_avx512(columns) : (__mmask16)0xffff;
    const __mmask16 high = columns < 16   ? 0
                           : columns < 32 ? ffl_lanes_avx512(columns - 16)
                                          : (__mmask16)0xffff;
    __m512 sum[TILE][2];
#pragma GCC unroll 12
    for (size_t i = 0; i < m; i++) {
        sum[i][0] = add ? _mm512_maskz_loadu_ps(low, c + i * ldc) : _mm512_setzero_ps();
        sum[i][1] = add ? _mm512_maskz_loadu_ps(high, c + i * ldc + 16) : _mm512_setzero_ps();
    }
    for (size_t k = 0; k < depth; k++, a++, b += PANEL, next += next_step) {
        const __m512 b0 = _mm512_load_ps(b), b1 = _mm512_load_ps(b + 16);
        _mm_prefetch(next, _MM_HINT_T1);
#pragma GCC unroll 12
        for (size_t i = 0; i < m; i++) {
            const __m512 v = _mm512_set1_ps(a[i * STRIDE]);
            sum[i][0] = _mm512_fmadd_ps(v, b0, sum[i][0]);
            sum[i][1] = _mm512_fmadd_ps(v, b1, sum[i][1]);
        }
    }
#pragma GCC unroll 12
    for (size_t i = 0; i < m; i++) {
        _mm512_mask_storeu_ps(c + i * ldc, low, sum[i][0]);
        _mm512_mask_storeu_ps(c + i * ldc + 16, high, sum[i][1]);
    }
}

typedef void tile_function(const float *a, const float *b, size_t depth, float *c, size_t ldc, size_t columns,
                           bool add, const char *next, size_t next_step);

#define DEFINE_TILE(m)                                                                                       \
    static void tile_##m(const float *a, const float *b, size_t depth, float *c, size_t ldc, size_t columns, \
                         bool add, const char *next, size_t next_step)                                       \
    {                                                                                                        \
        tile(m, a, b, depth, c, ldc, columns, add, next, next_step);                                         \
    }
DEFINE_TILE(1)
DEFINE_TILE(2)
DEFINE_TILE(3)
DEFINE_TILE(4)
DEFINE_TILE(5)
DEFINE_TILE(6)
DEFINE_TILE(7)
DEFINE_TILE(8)
DEFINE_TILE(9)
DEFINE_TILE(10)
DEFINE_TILE(11)
DEFINE_TILE(12)

static tile_function *const tiles[TILE + 1] = {NULL,   tile_1, tile_2, tile_3,  tile_4,  tile_5, tile_6,
                                               tile_7, tile_8, tile_9, tile_10, tile_11, tile_12};

/* c [rows][ldc] = or += a [rows][STRIDE] · one panel, in tiles of equal height. */
static void multiply(const float *a, size_t rows, const float *panel, size_t depth, float *c, size_t ldc,
                     size_t columns, bool add)
{
    const size_t count = divide_up(rows, TILE);
    const size_t next_step = PANEL * sizeof *panel / count; /* the tiles share the prefetching of a panel */
    const char *next = (const char *)(panel + depth * PANEL);
    for (size_t t = 0, first = 0; t < count; t++) {
        const size_t end = rows * (t + 1) / count;
        tiles[end - first](a + first * STRIDE, panel, depth, c + first * ldc, ldc, columns, add,
                           next + t * next_step * depth, next_step);
        first = end;
    }
}

static void activate(const ffl_layer *l, float *hidden, size_t rows, size_t first, size_t neurons)
{
    for (size_t r = 0; r < rows; r++, hidden += STRIDE) {
        ffl_axpy_avx512(1.0f, l->b_in + first, hidden, neurons);
        ffl_activate_avx512(l->activation, hidden, neurons);
    }
}

/* At most ROWS tokens. copy [width_in / DEPTH][rows][STRIDE], hidden [rows][STRIDE]. */
static void run_block(const ffl_layer *l, const packed *p, const float *x, size_t ldx, float *y, size_t ldy,
                      size_t rows, float *copy, float *hidden)
{
    const float *b_in = p->w_in, *b_out = p->w_out;
    for (size_t k = 0; k < l->width_in; k += DEPTH)
        for (size_t r = 0; r < rows; r++)
            memcpy(copy + (k / DEPTH * rows + r) * STRIDE, x + r * ldx + k,
                   smaller(DEPTH, l->width_in - k) * sizeof *x);
    for (size_t n = 0; n < l->neurons; n += DEPTH) {
        const size_t neurons = smaller(DEPTH, l->neurons - n);
        for (size_t k = 0; k < l->width_in; k += DEPTH) {
            const size_t depth = smaller(DEPTH, l->width_in - k);
            for (size_t j = 0; j < neurons; j += PANEL, b_in += depth * PANEL)
                multiply(copy + k / DEPTH * rows * STRIDE, rows, b_in, depth, hidden + j, STRIDE,
                         smaller(PANEL, neurons - j), k > 0);
        }
        activate(l, hidden, rows, n, neurons);
        for (size_t j = 0; j < l->width_out; j += PANEL, b_out += neurons * PANEL)
            multiply(hidden, rows, b_out, neurons, y + j, ldy, smaller(PANEL, l->width_out - j), n > 0);
    }
    for (size_t r = 0; l->b_out && r < rows; r++)
        ffl_axpy_avx512(1.0f, l->b_out, y + r * ldy, l->width_out);
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const size_t blocks = divide_up(tokens, ROWS);
    float *hidden = exec->scratch, *copy = hidden + ROWS * STRIDE;
    for (size_t b = 0, first = 0; b < blocks; b++) {
        const size_t end = tokens * (b + 1) / blocks;
        run_block(l, plan->state, x + first * ldx, ldx, y + first * ldy, ldy, end - first, copy, hidden);
        first = end;
    }
    return FFL_OK;
}

static void release(ffl_plan *plan)
{
    packed *p = plan->state;
    ffl_free(p->w_in);
    ffl_free(p->w_out);
    ffl_free(p);
}

/* Columns beyond the matrix stay zero, as ffl_alloc made them. */
static void pack(const ffl_layer *l, packed *p)
{
    float *in = p->w_in, *out = p->w_out;
    for (size_t n = 0; n < l->neurons; n += DEPTH) {
        const size_t neurons = smaller(DEPTH, l->neurons - n);
        for (size_t k = 0; k < l->width_in; k += DEPTH) {
            const size_t depth = smaller(DEPTH, l->width_in - k);
            for (size_t j = 0; j < neurons; j += PANEL, in += depth * PANEL)
                for (size_t i = 0; i < smaller(PANEL, neurons - j); i++)
                    for (size_t d = 0; d < depth; d++)
                        in[d * PANEL + i] = l->w_in[(n + j + i) * l->width_in + k + d];
        }
        for (size_t j = 0; j < l->width_out; j += PANEL, out += neurons * PANEL)
            for (size_t d = 0; d < neurons; d++)
                memcpy(out + d * PANEL, l->w_out + (n + d) * l->width_out + j,
                       smaller(PANEL, l->width_out - j) * sizeof *out);
    }
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    /* DEPTH is a multiple of PANEL: only the last block of neurons has a padded panel. */
    const size_t in = divide_up(layer->neurons, PANEL) * PANEL * layer->width_in;
    const size_t out = divide_up(layer->width_out, PANEL) * PANEL * layer->neurons;
    (void)machine;
    packed *p = plan->state = ffl_alloc(sizeof *p);
    if (!p)
        return FFL_NO_MEMORY;
    p->w_in = ffl_alloc_array(in, sizeof *p->w_in);
    p->w_out = ffl_alloc_array(out, sizeof *p->w_out);
    if (!p->w_in || !p->w_out) {
        release(plan);
        return FFL_NO_MEMORY;
    }
    pack(layer, p);
    plan->packed_bytes = (in + out) * sizeof(float);
    plan->scratch_bytes = ROWS * STRIDE * (1 + divide_up(layer->width_in, DEPTH)) * sizeof(float);
    return FFL_OK;
}

FFL_VARIANTS(ff_tiled_avx512) = {
    {.name = "ff_tiled_avx512",
     .source = "this lab; blocking after Goto and van de Geijn, ACM TOMS 34(3), 2008",
     .summary = "two packed 12x32 register-tiled products, GELU between them in L2",
     .operation = FFL_FF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = prepare,
     .run = run,
     .release = release},
    {0},
};
