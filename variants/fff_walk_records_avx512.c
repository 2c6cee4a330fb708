/*
 * FFF, interleaved walks over packed weights: a node's row of w_in and its row of w_out side by side, since
 * whoever reads the one reads the other. What the hardware prefetcher fetches past the end of the w_in row, a
 * kilobyte and more within the page, is then the start of a row that is needed rather than of a row that is
 * not. One pass over the weights to pack; the same arithmetic as fff_walk_interleaved_avx512.
 */
#include "kernels/memory.h"
#include "kernels/simd/avx512.h"
#include "kernels/simd/together.h"
#include "kernels/team.h"
#include "kernels/variant.h"
#include <string.h>

enum { LINE = 16 /* floats in a cache line */ };

typedef struct packed {
    ffl_tree_rows rows;
    float *records; /* [neurons][in_stride] */
    size_t together;
} packed;

static size_t round_up(size_t value)
{
    return (value + LINE - 1) / LINE * LINE;
}

static void part(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                 size_t tokens)
{
    const packed *p = plan->state;
    (void)scratch;
    ffl_walk_together(plan->layer, p->rows, ffl_dot_avx512, ffl_activate_avx512, ffl_rows_avx512, x, ldx, y,
                      ldy, tokens, p->together);
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, 16, part, x, ldx, y, ldy, tokens);
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    (void)exec;
    ffl_walk_trace(plan->layer, ffl_dot_avx512, x, ldx, tokens, nodes, logits);
    return FFL_OK;
}

static void release(ffl_plan *plan)
{
    packed *p = plan->state;
    ffl_free(p->records);
    ffl_free(p);
}

static ffl_status prepare(const ffl_layer *layer, ffl_plan *plan, size_t together)
{
    const size_t out_at = round_up(layer->width_in), stride = out_at + round_up(layer->width_out);
    packed *p = ffl_alloc(sizeof *p);
    if (!p)
        return FFL_NO_MEMORY;
    p->records = ffl_alloc_array(layer->neurons, stride * sizeof(float));
    if (!p->records) {
        ffl_free(p);
        return FFL_NO_MEMORY;
    }
    for (size_t i = 0; i < layer->neurons; i++) {
        float *record = p->records + i * stride;
        memcpy(record, layer->w_in + i * layer->width_in, layer->width_in * sizeof *record);
        memcpy(record + out_at, layer->w_out + i * layer->width_out, layer->width_out * sizeof *record);
    }
    p->rows = (ffl_tree_rows){p->records, p->records + out_at, stride, stride};
    p->together = together;
    plan->state = p;
    plan->packed_bytes = layer->neurons * stride * sizeof(float);
    return FFL_OK;
}

static ffl_status prepare_1(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    return prepare(layer, plan, 1);
}

static ffl_status prepare_4(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)machine;
    return prepare(layer, plan, 4);
}

FFL_VARIANTS(fff_walk_records_avx512) = {
    {.name = "fff_walk_records_avx512",
     .source = "this lab",
     .summary = "fused tree walk per token, a node's two rows packed side by side, AVX-512",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = prepare_1,
     .run = run,
     .release = release,
     .trace = trace},
    {.name = "fff_walk_records4_avx512",
     .source = "this lab",
     .summary = "tree walks of 4 tokens side by side, a node's two rows packed side by side, AVX-512",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .threaded = true,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = prepare_4,
     .run = run,
     .release = release,
     .trace = trace},
    {0},
};
