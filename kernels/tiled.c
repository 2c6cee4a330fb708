#include "kernels/tiled.h"
#include "kernels/memory.h"
#include "kernels/team.h"
#include <string.h>

enum { DEPTH = FFL_TILED_DEPTH, STRIDE = FFL_TILED_STRIDE, ROWS = FFL_TILED_ROWS, PANEL = FFL_TILED_PANEL };

/* Multiplications below which a further thread costs more than it saves; so few tokens count as this many,
 * for then it is the weights' way from memory that takes the time. */
enum { GRAIN = 4 << 20, GRAIN_TOKENS = 20 };

/* Tiles that share panels of bf16 from which on widening them once pays. */
enum { WIDEN = 4 };

typedef struct packed {
    const ffl_tiled *kernel;
    size_t neurons; /* the layer's; of trees with those that fill the last group of PANEL trees */
    size_t block;   /* neurons per step: DEPTH, or as many as whole groups of trees have */
    float *w_in;    /* [neurons / block][width_in / DEPTH][block / PANEL] panels of [words(k)][PANEL] */
    float *w_out;   /* [neurons / block][width_out / PANEL] panels of [words(k)][PANEL] */
    float *b_in;    /* [neurons] */
} packed;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Words that hold `depth` weights of one column. */
static size_t words(const ffl_tiled *kernel, size_t depth)
{
    return kernel->bf16 ? divide_up(depth, 2) : depth;
}

/* Room for the widened panels of one tile. */
static size_t wide_floats(const ffl_tiled *kernel)
{
    return kernel->wide ? kernel->panels * PANEL * DEPTH : 0;
}

/* ---- Products ---- */

/* c [rows][ldc] = or += a [rows][STRIDE] · `columns` columns of b, in tiles of equal height. */
static void multiply(const ffl_tiled *kernel, const float *a, size_t rows, const float *b, size_t depth,
                     float *c, size_t ldc, size_t columns, bool add, float *wide)
{
    const size_t count = divide_up(rows, kernel->rows), panel = words(kernel, depth) * PANEL;
    const size_t floats = divide_up(columns, PANEL) * panel;
    const bool widen = kernel->wide && count >= WIDEN;
    /* The tiles share the prefetching of what follows; a single one is all there is time for. */
    const size_t step = divide_up(floats * sizeof *b, count * divide_up(depth, 2));
    const char *next = count > 1 ? (const char *)(b + floats) : NULL;
    for (size_t t = 0, first = 0; t < count; t++) {
        const size_t end = rows * (t + 1) / count;
        const float *from = a + first * STRIDE;
        float *to = c + first * ldc;
        if (!widen)
            kernel->tiles[end - first](from, b, depth, to, ldc, columns, add, next, step);
        else if (t == 0)
            kernel->widening[end - first](from, b, depth, to, ldc, columns, add, next, step, wide);
        else
            kernel->wide[end - first](from, wide, depth, to, ldc, columns, add, next, step);
        next += count > 1 ? step * (depth / 2) : 0;
        first = end;
    }
}

/* Panels first … end of the block of neurons from `neuron` on: hidden [rows][STRIDE]. */
static void enter(const ffl_layer *l, const packed *p, size_t neuron, size_t first, size_t end,
                  const float *copy, size_t rows, float *hidden, float *wide)
{
    const size_t neurons = smaller(p->block, p->neurons - neuron), width = divide_up(neurons, PANEL) * PANEL;
    const size_t step = p->kernel->panels * PANEL, last = smaller(neurons, end * PANEL);
    for (size_t k = 0; k < l->width_in; k += DEPTH) {
        const size_t depth = smaller(DEPTH, l->width_in - k);
        /* Only the last block of neurons can have a padded panel. */
        const float *b = p->w_in + neuron * words(p->kernel, l->width_in) + words(p->kernel, k) * width;
        for (size_t j = first * PANEL; j < last; j += step) {
            const size_t columns = smaller(step, last - j);
            multiply(p->kernel, copy + k / DEPTH * rows * STRIDE, rows, b + j * words(p->kernel, depth),
                     depth, hidden + j, STRIDE, columns, k > 0, wide);
            if (k + depth == l->width_in && !l->trees)
                for (size_t r = 0; r < rows; r++)
                    p->kernel->activate(l->activation, p->b_in + neuron + j, hidden + r * STRIDE + j,
                                        columns);
        }
    }
}

/* Trees: between the two, the whole block's paths. */
static void visit(const ffl_layer *l, const packed *p, size_t neuron, float *hidden, size_t rows)
{
    const size_t first = neuron / l->nodes;
    p->kernel->visit(l, p->b_in + neuron, smaller(p->block / l->nodes, l->trees - first), hidden, rows);
}

/* The same block's part of the columns of panels first … end of y. */
static void leave(const ffl_layer *l, const packed *p, size_t neuron, size_t first, size_t end,
                  const float *hidden, size_t rows, float *y, size_t ldy, float *wide)
{
    const size_t neurons = smaller(p->block, p->neurons - neuron);
    const size_t step = p->kernel->panels * PANEL, last = smaller(l->width_out, end * PANEL);
    const float *b = p->w_out + words(p->kernel, neuron) * divide_up(l->width_out, PANEL) * PANEL;
    for (size_t j = first * PANEL; j < last; j += step)
        multiply(p->kernel, hidden, rows, b + j * words(p->kernel, neurons), neurons, y + j, ldy,
                 smaller(step, last - j), neuron > 0, wide);
}

static void add_bias(const ffl_layer *l, const packed *p, float *y, size_t ldy, size_t rows, size_t first,
                     size_t end)
{
    for (size_t r = 0; l->b_out && first < end && r < rows; r++)
        p->kernel->add(1.0f, l->b_out + first, y + r * ldy + first, end - first);
}

/* One of `rows` rows of x, which become [width_in / DEPTH][rows][STRIDE]. */
static void copy_row(const ffl_tiled *kernel, const ffl_layer *l, const float *x, size_t r, size_t rows,
                     float *copy)
{
    for (size_t k = 0; k < l->width_in; k += DEPTH) {
        float *to = copy + (k / DEPTH * rows + r) * STRIDE;
        const size_t n = smaller(DEPTH, l->width_in - k);
        if (kernel->copy)
            kernel->copy(x + k, to, n);
        else
            memcpy(to, x + k, n * sizeof *x);
    }
}

/* ---- Many tokens: each thread takes its own through all neurons ---- */

static size_t copy_floats(const ffl_layer *l, size_t rows)
{
    return rows * STRIDE * divide_up(l->width_in, DEPTH);
}

/* A block whose copy lies at the beginning of the scratch. */
static void pass(const ffl_plan *plan, float *copy, size_t rows, float *y, size_t ldy)
{
    const ffl_layer *l = plan->layer;
    const packed *p = plan->state;
    const size_t panels = divide_up(l->width_out, PANEL);
    float *hidden = copy + copy_floats(l, smaller(ROWS, plan->max_tokens));
    float *wide = hidden + smaller(ROWS, plan->max_tokens) * STRIDE;
    for (size_t n = 0; n < p->neurons; n += p->block) {
        enter(l, p, n, 0, p->block / PANEL, copy, rows, hidden, wide);
        if (l->trees)
            visit(l, p, n, hidden, rows);
        leave(l, p, n, 0, panels, hidden, rows, y, ldy, wide);
    }
    add_bias(l, p, y, ldy, rows, 0, l->width_out);
}

void ffl_tiled_gathered(const ffl_plan *plan, void *scratch, const float *const *x, size_t rows, float *y,
                        size_t ldy)
{
    const packed *p = plan->state;
    for (size_t r = 0; r < rows; r++)
        copy_row(p->kernel, plan->layer, x[r], r, rows, scratch);
    pass(plan, scratch, rows, y, ldy);
}

static void part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                 size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const packed *p = plan->state;
    const size_t blocks = divide_up(tokens, ROWS);
    for (size_t b = 0, first = 0; b < blocks; b++) {
        const size_t end = tokens * (b + 1) / blocks, rows = end - first;
        for (size_t r = 0; r < rows; r++)
            copy_row(p->kernel, l, x + (first + r) * ldx, r, rows, scratch);
        pass(plan, scratch, rows, y + first * ldy, ldy);
        first = end;
    }
}

/* ---- Few tokens: the threads share the weights. First each takes some neurons, then some columns of y, so
 * every sum is still one thread's, in the same order. ---- */

typedef struct shared {
    const ffl_plan *plan;
    const ffl_exec *exec;
    const float *x;
    float *y;
    size_t ldx, ldy, rows;
    float *copy, *hidden; /* hidden [neurons / block][rows][STRIDE] */
    float *wide;          /* [members][wide_floats] */
} shared;

static void enter_part(void *work, int member, int members)
{
    const shared *s = work;
    const ffl_layer *l = s->plan->layer;
    const packed *p = s->plan->state;
    const size_t per_block = p->block / PANEL, panels = divide_up(p->neurons, PANEL);
    const size_t end = panels * ((size_t)member + 1) / (size_t)members;
    for (size_t i = panels * (size_t)member / (size_t)members; i < end;) {
        const size_t block = i / per_block, stop = smaller(end, (block + 1) * per_block);
        enter(l, p, block * p->block, i - block * per_block, stop - block * per_block, s->copy, s->rows,
              s->hidden + block * s->rows * STRIDE, s->wide + (size_t)member * wide_floats(p->kernel));
        i = stop;
    }
}

static void visit_part(void *work, int member, int members)
{
    const shared *s = work;
    const packed *p = s->plan->state;
    const size_t blocks = divide_up(p->neurons, p->block);
    const size_t end = blocks * ((size_t)member + 1) / (size_t)members;
    for (size_t i = blocks * (size_t)member / (size_t)members; i < end; i++)
        visit(s->plan->layer, p, i * p->block, s->hidden + i * s->rows * STRIDE, s->rows);
}

static void leave_part(void *work, int member, int members)
{
    const shared *s = work;
    const ffl_layer *l = s->plan->layer;
    const packed *p = s->plan->state;
    const size_t panels = divide_up(l->width_out, PANEL);
    const size_t first = panels * (size_t)member / (size_t)members;
    const size_t end = panels * ((size_t)member + 1) / (size_t)members;
    for (size_t n = 0; n < p->neurons; n += p->block)
        leave(l, p, n, first, end, s->hidden + n / p->block * s->rows * STRIDE, s->rows, s->y, s->ldy,
              s->wide + (size_t)member * wide_floats(p->kernel));
    add_bias(l, p, s->y, s->ldy, s->rows, first * PANEL, smaller(end * PANEL, l->width_out));
}

static size_t hidden_floats(const packed *p, size_t rows)
{
    return rows * STRIDE * divide_up(p->neurons, p->block);
}

static void run_shared(const ffl_plan *plan, const ffl_exec *exec, int members, const float *x, size_t ldx,
                       float *y, size_t ldy, size_t tokens)
{
    shared s = {.plan = plan, .exec = exec, .ldx = ldx, .ldy = ldy, .copy = exec->scratch};
    s.hidden = s.copy + copy_floats(plan->layer, smaller(ROWS, plan->max_tokens));
    const size_t blocks = divide_up(tokens, ROWS);
    const packed *p = plan->state;
    s.wide = s.hidden + hidden_floats(p, smaller(ROWS, plan->max_tokens));
    for (size_t b = 0, first = 0; b < blocks; b++) {
        const size_t end = tokens * (b + 1) / blocks;
        s.x = x + first * ldx, s.y = y + first * ldy, s.rows = end - first;
        for (size_t r = 0; r < s.rows; r++)
            copy_row(p->kernel, plan->layer, s.x + r * ldx, r, s.rows, s.copy);
        ffl_team_run(members, enter_part, &s);
        if (plan->layer->trees)
            ffl_team_run(members, visit_part, &s);
        ffl_team_run(members, leave_part, &s);
        first = end;
    }
}

ffl_status ffl_tiled_run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                         size_t ldy, size_t tokens)
{
    const ffl_layer *l = plan->layer;
    const packed *p = plan->state;
    const double each = (double)p->neurons * (double)(l->width_in + l->width_out);
    const double worth = each * (double)(tokens < GRAIN_TOKENS ? GRAIN_TOKENS : tokens) / GRAIN;
    const int members = worth < exec->threads ? (int)worth : exec->threads;
    if (members > 1 && tokens < (size_t)members * (ROWS / 2)) {
        run_shared(plan, exec, members, x, ldx, y, ldy, tokens);
        return FFL_OK;
    }
    const double grain = GRAIN / each + 1;
    return ffl_team_rows(plan, exec, grain < (double)tokens ? (size_t)grain : tokens, part, x, ldx, y, ldy,
                         tokens);
}

/* ---- Packing ---- */

void ffl_tiled_release(ffl_plan *plan)
{
    packed *p = plan->state;
    ffl_free(p->w_in);
    ffl_free(p->w_out);
    ffl_free(p->b_in);
    ffl_free(p);
}

/* w rounded to nearest even: the upper half of its float. NaN keeps its upper bits; weights are finite. */
static uint32_t bf16(float w)
{
    uint32_t u;
    memcpy(&u, &w, sizeof u);
    return (u + 0x7fff + (u >> 16 & 1)) >> 16;
}

/* One panel of `depth` k of w, whose k and columns are so many floats apart. */
static float *pack_panel(const ffl_tiled *kernel, const float *w, size_t depth, size_t k_step, size_t columns,
                         size_t column_step, float *out)
{
    const size_t each = kernel->bf16 ? 2 : 1;
    for (size_t d = 0; d < depth; d += each, w += each * k_step, out += PANEL)
        for (size_t i = 0; i < columns; i++) {
            if (kernel->bf16) {
                const uint32_t odd = d + 1 < depth ? bf16(w[i * column_step + k_step]) : 0;
                const uint32_t word = bf16(w[i * column_step]) | odd << 16;
                memcpy(out + i, &word, sizeof word);
            } else {
                out[i] = w[i * column_step];
            }
        }
    return out;
}

/* PANEL neurons from place n on: the first one's row, how many rows to the next, and how many there are. */
typedef struct source {
    size_t row, step, count;
} source;

static source source_of(const ffl_layer *l, size_t n)
{
    if (!l->trees)
        return (source){n, 1, smaller(PANEL, l->neurons - n)};
    const size_t tree = n / (PANEL * l->nodes) * PANEL, node = n / PANEL % l->nodes;
    return (source){tree * l->nodes + node, l->nodes, smaller(PANEL, l->trees - tree)};
}

/* What is not written stays zero, as ffl_alloc made it. */
static void pack(const ffl_layer *l, packed *p)
{
    float *in = p->w_in, *out = p->w_out;
    for (size_t n = 0; n < p->neurons; n += PANEL) {
        const source from = source_of(l, n);
        for (size_t i = 0; i < from.count; i++)
            p->b_in[n + i] = l->b_in[from.row + i * from.step];
    }
    for (size_t n = 0; n < p->neurons; n += p->block) {
        const size_t neurons = smaller(p->block, p->neurons - n);
        for (size_t k = 0; k < l->width_in; k += DEPTH) {
            const size_t depth = smaller(DEPTH, l->width_in - k);
            for (size_t j = 0; j < neurons; j += PANEL) {
                const source from = source_of(l, n + j);
                in = pack_panel(p->kernel, l->w_in + from.row * l->width_in + k, depth, 1, from.count,
                                from.step * l->width_in, in);
            }
        }
        for (size_t j = 0; j < l->width_out; j += PANEL)
            for (size_t d = 0; d < neurons; d += PANEL) {
                const source from = source_of(l, n + d);
                pack_panel(p->kernel, l->w_out + from.row * l->width_out + j, from.count,
                           from.step * l->width_out, smaller(PANEL, l->width_out - j), 1, out);
                out += words(p->kernel, smaller(PANEL, neurons - d)) * PANEL;
            }
    }
}

ffl_status ffl_tiled_prepare(const ffl_tiled *kernel, const ffl_layer *layer, ffl_plan *plan)
{
    packed *p = plan->state = ffl_alloc(sizeof *p);
    if (!p)
        return FFL_NO_MEMORY;
    p->kernel = kernel;
    const size_t group = PANEL * layer->nodes;
    p->neurons = layer->trees ? divide_up(layer->trees, PANEL) * group : layer->neurons;
    p->block = layer->trees ? DEPTH / group * group : DEPTH;
    /* A block is a multiple of PANEL: only the last one can have a padded panel. */
    const size_t in = divide_up(p->neurons, PANEL) * PANEL * words(kernel, layer->width_in);
    const size_t out = divide_up(layer->width_out, PANEL) * PANEL * words(kernel, p->neurons);
    p->b_in = ffl_alloc_array(p->neurons, sizeof *p->b_in);
    p->w_in = ffl_alloc_array(in, sizeof *p->w_in);
    p->w_out = ffl_alloc_array(out, sizeof *p->w_out);
    if (!p->w_in || !p->w_out || !p->b_in) {
        ffl_tiled_release(plan);
        return FFL_NO_MEMORY;
    }
    pack(layer, p);
    plan->packed_bytes = (in + out + p->neurons) * sizeof(float);
    /* One share per thread for many tokens; all of them together for few. */
    const size_t rows = smaller(ROWS, plan->max_tokens),
                 threads = (size_t)(plan->threads > 1 ? plan->threads : 1);
    const size_t alone = copy_floats(layer, rows) + rows * STRIDE + wide_floats(kernel);
    const size_t together = copy_floats(layer, rows) + hidden_floats(p, rows) + threads * wide_floats(kernel);
    const size_t share = threads > 1 ? divide_up(together, threads) : alone;
    ffl_team_scratch(plan, (share > alone ? share : alone) * sizeof(float));
    return FFL_OK;
}
