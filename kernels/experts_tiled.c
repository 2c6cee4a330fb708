#include "kernels/experts_tiled.h"
#include "kernels/memory.h"
#include <string.h>

/* Of tokens; the block's inputs, hidden values and outputs and the tiles' weights share L2. */
enum { BLOCK = FFL_TILED_ROWS };

struct ffl_experts_tiled {
    size_t experts, block, packed_bytes;
    size_t rows_bytes; /* of scratch for a block's outputs; the rest is the tiles' */
    ffl_layer *layers; /* [experts] */
    ffl_plan *plans;   /* [experts] */
};

static size_t stride_out(const ffl_layer *l)
{
    return (l->width_out + 15) / 16 * 16;
}

void ffl_experts_tiled_free(ffl_experts_tiled *s)
{
    for (size_t e = 0; s && s->plans && e < s->experts; e++)
        if (s->plans[e].state)
            ffl_tiled_release(&s->plans[e]);
    if (s) {
        ffl_free(s->layers);
        ffl_free(s->plans);
    }
    ffl_free(s);
}

ffl_status ffl_experts_tiled_new(const ffl_tiled *kernel, const ffl_layer *layer, size_t max_tokens,
                                 ffl_experts_tiled **out)
{
    ffl_experts_tiled *s = ffl_alloc(sizeof *s);
    if (!s)
        return FFL_NO_MEMORY;
    s->experts = layer->experts;
    s->block = max_tokens < BLOCK ? max_tokens : BLOCK;
    s->rows_bytes = s->block * stride_out(layer) * sizeof(float);
    s->layers = ffl_alloc_array(s->experts, sizeof *s->layers);
    s->plans = ffl_alloc_array(s->experts, sizeof *s->plans);
    ffl_status status = s->layers && s->plans ? FFL_OK : FFL_NO_MEMORY;
    for (size_t e = 0; status == FFL_OK && e < s->experts; e++) {
        s->layers[e] = ffl_layer_expert(layer, e);
        s->plans[e] = (ffl_plan){.layer = &s->layers[e], .max_tokens = s->block, .threads = 1};
        status = ffl_tiled_prepare(kernel, &s->layers[e], &s->plans[e]);
        if (status != FFL_OK)
            s->plans[e].state = NULL; /* it has freed it */
        s->packed_bytes += s->plans[e].packed_bytes;
    }
    if (status != FFL_OK) {
        ffl_experts_tiled_free(s);
        return status;
    }
    *out = s;
    return FFL_OK;
}

size_t ffl_experts_tiled_packed(const ffl_experts_tiled *s)
{
    return s->packed_bytes;
}

size_t ffl_experts_tiled_scratch(const ffl_experts_tiled *s)
{
    return s->rows_bytes + s->plans[0].scratch_bytes;
}

static void place(const ffl_experts_batch *b, uint32_t pair, const float *from)
{
    const size_t chosen = b->layer->chosen, width = b->layer->width_out;
    float *restrict y = b->y + pair / chosen * b->ldy;
    const float *restrict row = from;
    if (!b->share) {
        memcpy(y, row, width * sizeof *y);
        return;
    }
    const float share = b->share[pair];
    if (pair % chosen == 0)
        for (size_t j = 0; j < width; j++)
            y[j] = share * row[j];
    else
        for (size_t j = 0; j < width; j++)
            y[j] += share * row[j];
}

void ffl_experts_tiled_run(const ffl_experts_tiled *s, const ffl_experts_batch *b, const uint32_t *order,
                           size_t count, void *scratch)
{
    const ffl_layer *l = b->layer;
    float *out = scratch;
    const float *x[BLOCK];
    for (size_t first = 0, end; first < count; first = end) {
        end = ffl_experts_run(b->expert, order, first, count - first < s->block ? count : first + s->block);
        for (size_t i = first; i < end; i++)
            x[i - first] = b->x + order[i] / l->chosen * b->ldx;
        ffl_tiled_gathered(&s->plans[b->expert[order[first]]], (char *)scratch + s->rows_bytes, x,
                           end - first, out, stride_out(l));
        for (size_t i = first; i < end; i++)
            place(b, order[i], out + (i - first) * stride_out(l));
    }
}
