/*
 * FFF, one token at a time, with the fused walk's two kernels and software prefetch. Once a node's logit is
 * known its row of w_out is asked for, to be summed at the end; and, in the first form, before a dot product
 * the first half of both children, since one of them comes next, and the rest of a row follows from the
 * hardware's own prefetcher.
 *
 * Bytes from L3 and memory are what a walk waits for. Half of each unvisited child is 1.5 KB more of them per
 * level: the price of a guess that is right half the time. The row of w_out is no guess.
 */
#include "kernels/simd/avx512.h"
#include "kernels/simd/walk.h"
#include "kernels/team.h"
#include "kernels/variant.h"

enum { LINE = 16, /* floats in a cache line */ CHUNK = 64 };

/* A macro: gcc 12 deletes calls of a function that holds nothing but prefetches and is not inlined. */
#define PREFETCH(row, count)                                                                                 \
    for (size_t ahead_ = 0; ahead_ < (count); ahead_ += LINE)                                                \
    _mm_prefetch((const char *)((row) + ahead_), _MM_HINT_T0)

static inline __attribute__((always_inline)) void walk(const ffl_layer *l, bool children, const float *x,
                                                       size_t ldx, float *y, size_t ldy, size_t tokens)
{
    for (size_t t = 0; t < tokens; t++, x += ldx, y += ldy) {
        size_t tree = 0;
        for (bool add = false; tree < l->trees; add = true) {
            float g[CHUNK];
            const float *w[CHUNK];
            size_t count = 0;
            do {
                const float *in = l->w_in + tree * l->nodes * l->width_in;
                const float *out = l->w_out + tree * l->nodes * l->width_out;
                size_t node = 0;
                for (size_t level = 0; level < l->levels; level++) {
                    if (children && level + 1 < l->levels) {
                        PREFETCH(in + (2 * node + 1) * l->width_in, l->width_in / 2);
                        PREFETCH(in + (2 * node + 2) * l->width_in, l->width_in / 2);
                    }
                    const float z = ffl_dot_avx512(x, in + node * l->width_in, l->width_in) +
                                    l->b_in[tree * l->nodes + node];
                    /* After the dot product's own loads: those are what the next step waits for. */
                    w[count] = out + node * l->width_out;
                    PREFETCH(w[count], l->width_out);
                    g[count++] = z;
                    node = 2 * node + 1 + (z > 0.0f);
                }
                tree++;
            } while (tree < l->trees && count + l->levels <= CHUNK);
            ffl_activate_avx512(l->activation, g, count);
            ffl_rows_avx512(g, w, count, y, l->width_out, add);
        }
    }
}

static void part_children(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y,
                          size_t ldy, size_t tokens)
{
    (void)scratch;
    walk(plan->layer, true, x, ldx, y, ldy, tokens);
}

static void part_output(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y, size_t ldy,
                        size_t tokens)
{
    (void)scratch;
    walk(plan->layer, false, x, ldx, y, ldy, tokens);
}

static ffl_status run_children(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx,
                               float *y, size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, 32, part_children, x, ldx, y, ldy, tokens);
}

static ffl_status run_output(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                             size_t ldy, size_t tokens)
{
    return ffl_team_rows(plan, exec, 32, part_output, x, ldx, y, ldy, tokens);
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    (void)exec;
    ffl_walk_trace(plan->layer, ffl_dot_avx512, x, ldx, tokens, nodes, logits);
    return FFL_OK;
}

#define ROW(NAME, SUMMARY, RUN)                                                                              \
    {                                                                                                        \
        .name = NAME, .source = "this lab", .summary = SUMMARY, .operation = FFL_FFF, .place = FFL_HOST,     \
        .family = FFL_SIMD, .isa = FFL_ISA_AVX512, .threaded = true, .contract = FFL_CONTRACT_F32_ROWS,      \
        .prepare = ffl_prepare_nothing, .run = RUN, .trace = trace                                           \
    }

FFL_VARIANTS(fff_walk_prefetch_avx512) = {
    ROW("fff_walk_prefetch_avx512",
        "tree walk per token, half of both children and the visited w_out row prefetched, AVX-512",
        run_children),
    ROW("fff_walk_prefetch_output_avx512",
        "tree walk per token, only the visited w_out row prefetched, AVX-512", run_output),
    {0},
};
