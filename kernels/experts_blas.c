#include "kernels/experts_blas.h"
#include "kernels/gelu.h"
#include <string.h>

/* A chunk's gathered inputs and outputs, 393 KB each at width 768, stay near. */
enum { CHUNK = 128 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}


size_t ffl_experts_blas_floats(const ffl_layer *l, size_t max_tokens)
{
    /* A row to spare behind each: BLIS 0.9 may load one beyond its operands. */
    return (smaller(CHUNK, max_tokens) + 1) * (l->width_in + l->width_out + l->expert_width);
}

void ffl_experts_blas_gates(const ffl_blas *blas, const float *x, size_t ldx, size_t tokens, const float *w,
                            size_t width, size_t rows, float *out)
{
    const size_t block = ffl_blas_row_block(blas, tokens, width, 1);
    for (size_t r = 0; r < rows; r += smaller(block, rows))
        ffl_blas_multiply_in(blas, x, ldx, tokens, w + r * width, width, smaller(block, rows - r), out + r,
                             rows);
}

static void add_neurons(const ffl_layer *e, const ffl_blas *blas, const float *x, size_t ldx, float *hidden,
                        float *y, size_t ldy, size_t tokens)
{
    const size_t width = e->width_in > e->width_out ? e->width_in : e->width_out;
    const size_t block = smaller(ffl_blas_row_block(blas, tokens, width, 1), e->neurons);
    for (size_t first = 0; first < e->neurons; first += block) {
        const size_t count = smaller(block, e->neurons - first);
        ffl_blas_multiply_in(blas, x, ldx, tokens, e->w_in + first * e->width_in, e->width_in, count, hidden,
                             count);
        for (size_t t = 0; t < tokens; t++)
            for (size_t i = 0; i < count; i++)
                hidden[t * count + i] += e->b_in[first + i];
        ffl_activate_array(e->activation, hidden, tokens * count);
        ffl_blas_multiply_out(blas, hidden, count, tokens, e->w_out + first * e->width_out, e->width_out,
                              count, y, ldy);
    }
}

/* A token's first expert writes, the others add. */
static void place(float share, const float *from, size_t width, bool first, float *y)
{
    if (first)
        for (size_t j = 0; j < width; j++)
            y[j] = share * from[j];
    else
        for (size_t j = 0; j < width; j++)
            y[j] += share * from[j];
}

/* At most CHUNK pairs of one expert. */
static void run_chunk(const ffl_experts_blas *w, const uint32_t *order, size_t count)
{
    const ffl_layer *l = w->layer, e = ffl_layer_expert(l, w->expert[order[0]]);
    float *in = w->scratch, *out = in + (count + 1) * l->width_in, *hidden = out + (count + 1) * l->width_out;
    const bool alone = count == 1, direct = alone && l->chosen == 1;
    const float *x = alone ? w->x + order[0] / l->chosen * w->ldx : in;
    float *y = direct ? w->y + order[0] * w->ldy : out;
    for (size_t i = 0; i < count && !alone; i++)
        memcpy(in + i * l->width_in, w->x + order[i] / l->chosen * w->ldx, l->width_in * sizeof *in);
    for (size_t i = 0; i < count; i++) {
        if (e.b_out)
            memcpy(y + i * l->width_out, e.b_out, l->width_out * sizeof *y);
        else
            memset(y + i * l->width_out, 0, l->width_out * sizeof *y);
    }
    add_neurons(&e, w->blas, x, l->width_in, hidden, y, l->width_out, count);
    for (size_t i = 0; i < count && !direct; i++) {
        float *to = w->y + order[i] / l->chosen * w->ldy;
        if (w->share)
            place(w->share[order[i]], out + i * l->width_out, l->width_out, order[i] % l->chosen == 0, to);
        else
            memcpy(to, out + i * l->width_out, l->width_out * sizeof *to);
    }
}

void ffl_experts_blas_run(const ffl_experts_blas *w, const uint32_t *order, size_t pairs)
{
    for (size_t a = 0, b; a < pairs; a = b) {
        b = ffl_experts_run(w->expert, order, a, smaller(pairs, a + CHUNK));
        run_chunk(w, order + a, b - a);
    }
}
