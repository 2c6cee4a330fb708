#include "kernels/product.h"
#include "kernels/memory.h"
#include "kernels/team.h"
#include <string.h>

enum { DEPTH = FFL_TILED_DEPTH, STRIDE = FFL_TILED_STRIDE, ROWS = FFL_TILED_ROWS, PANEL = FFL_TILED_PANEL };

/* Multiplications below which a further thread costs more than it saves; so few rows count as this many, for
 * then it is the weights' way from memory that takes the time. */
enum { GRAIN = 4 << 20, GRAIN_ROWS = 20 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

const ffl_tiled *ffl_product_kernel(void)
{
#if defined(FFL_BUILT_AVX512)
    if (ffl_machine_host()->isa[FFL_ISA_AVX512])
        return &ffl_product_avx512;
#endif
#if defined(FFL_BUILT_AVX2)
    if (ffl_machine_host()->isa[FFL_ISA_AVX2])
        return &ffl_product_avx2;
#endif
    return NULL;
}

/* ---- Packing: in the order of use ---- */

static void pack(const ffl_product *p, const float *w)
{
    const size_t step = p->kernel->panels * PANEL;
    float *to = p->panels;
    for (size_t group = 0; group < p->outputs; group += step)
        for (size_t k = 0; k < p->inputs; k += DEPTH) {
            const size_t depth = smaller(DEPTH, p->inputs - k), end = smaller(p->outputs, group + step);
            for (size_t j = group; j < end; j += PANEL, to += depth * PANEL) {
                const size_t columns = smaller(PANEL, end - j);
                for (size_t i = 0; i < columns; i++)
                    for (size_t d = 0; d < depth; d++)
                        to[d * PANEL + i] = w[(j + i) * p->inputs + k + d];
            }
        }
}

ffl_status ffl_product_new(const ffl_tiled *kernel, const float *w, size_t outputs, size_t inputs,
                           ffl_product *out)
{
    *out = (ffl_product){.kernel = kernel, .outputs = outputs, .inputs = inputs};
    out->panels = ffl_alloc_array(divide_up(outputs, PANEL) * PANEL, inputs * sizeof *out->panels);
    if (!out->panels)
        return FFL_NO_MEMORY;
    pack(out, w);
    return FFL_OK;
}

void ffl_product_free(ffl_product *product)
{
    ffl_free(product->panels);
    *product = (ffl_product){0};
}

/* ---- Running ---- */

/* Of one thread: a block of x. */
static size_t share(size_t rows, size_t inputs)
{
    return divide_up(inputs, DEPTH) * smaller(ROWS, rows) * STRIDE * sizeof(float);
}

size_t ffl_product_scratch(size_t rows, size_t inputs, int threads)
{
    return share(rows, inputs) * (size_t)(threads > 1 ? threads : 1);
}

/* x [rows] as [inputs / DEPTH][rows][STRIDE] */
static void copy_rows(const float *x, size_t ldx, size_t rows, size_t inputs, float *to)
{
    for (size_t k = 0; k < inputs; k += DEPTH)
        for (size_t r = 0; r < rows; r++, to += STRIDE)
            memcpy(to, x + r * ldx + k, smaller(DEPTH, inputs - k) * sizeof *x);
}

/* One step of k for `columns` columns, in tiles of equal height, which share the prefetching of what follows;
 * a single one is all there is time for. */
static void multiply(const ffl_tiled *kernel, const float *a, size_t rows, const float *b, size_t depth,
                     float *c, size_t ldc, size_t columns, bool add)
{
    const size_t count = divide_up(rows, kernel->rows), floats = divide_up(columns, PANEL) * depth * PANEL;
    const size_t step = divide_up(floats * sizeof *b, count * divide_up(depth, 2));
    const char *next = count > 1 ? (const char *)(b + floats) : NULL;
    for (size_t t = 0, first = 0; t < count; t++) {
        const size_t end = rows * (t + 1) / count;
        kernel->tiles[end - first](a + first * STRIDE, b, depth, c + first * ldc, ldc, columns, add, next,
                                   step);
        next += count > 1 ? step * (depth / 2) : 0;
        first = end;
    }
}

/* All rows of a block, copied to `a`, times one tile's width of columns. */
static void run_group(const ffl_product *p, const float *a, size_t rows, size_t group, const float *bias,
                      float *y, size_t ldy)
{
    const size_t step = p->kernel->panels * PANEL, first = group * step;
    const size_t columns = smaller(step, p->outputs - first), padded = divide_up(columns, PANEL) * PANEL;
    const float *b = p->panels + first * p->inputs;
    for (size_t k = 0; k < p->inputs; k += DEPTH) {
        const size_t depth = smaller(DEPTH, p->inputs - k);
        multiply(p->kernel, a + k / DEPTH * rows * STRIDE, rows, b + k * padded, depth, y + first, ldy,
                 columns, k > 0);
    }
    for (size_t r = 0; bias && r < rows; r++)
        p->kernel->add(1.0f, bias + first, y + r * ldy + first, columns);
}

typedef struct work {
    const ffl_product *product;
    const float *x, *bias;
    float *y;
    size_t ldx, ldy, rows;
    char *scratch;
} work;

/* Blocks of rows times groups of columns, numbered block by block: each member takes a stretch of them. */
static void run_part(void *data, int member, int members)
{
    const work *w = data;
    const ffl_product *p = w->product;
    const size_t blocks = divide_up(w->rows, ROWS), groups = divide_up(p->outputs, p->kernel->panels * PANEL);
    const size_t all = blocks * groups, end = all * ((size_t)member + 1) / (size_t)members;
    float *copy = (float *)(void *)(w->scratch + (size_t)member * share(w->rows, p->inputs));
    size_t copied = SIZE_MAX;
    for (size_t u = all * (size_t)member / (size_t)members; u < end; u++) {
        const size_t block = u / groups, first = w->rows * block / blocks;
        const size_t rows = w->rows * (block + 1) / blocks - first;
        if (block != copied)
            copy_rows(w->x + first * w->ldx, w->ldx, rows, p->inputs, copy);
        copied = block;
        run_group(p, copy, rows, u % groups, w->bias, w->y + first * w->ldy, w->ldy);
    }
}

void ffl_product_run(const ffl_product *product, const float *x, size_t ldx, size_t rows, const float *bias,
                     float *y, size_t ldy, void *scratch, int threads)
{
    work w = {.product = product,
              .x = x,
              .bias = bias,
              .y = y,
              .ldx = ldx,
              .ldy = ldy,
              .rows = rows,
              .scratch = scratch};
    const double worth = (double)product->outputs * (double)product->inputs *
                         (double)(rows < GRAIN_ROWS ? GRAIN_ROWS : rows) / GRAIN;
    const int members = worth < threads ? (int)worth : threads;
    ffl_team_run(members > 1 ? members : 1, run_part, &w);
}
