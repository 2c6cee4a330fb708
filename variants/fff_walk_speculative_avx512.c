/*
 * FFF, one token at a time, two or three levels per step: all 3 or 7 nodes of the subtree below are evaluated
 * at once, with the columns of x loaded once for all, then the path through them is picked. Six or four
 * dependent steps instead of twelve; the price is 1.5 or 2.3 times the arithmetic and the bytes of w_in,
 * which pays only while those come from L1 or L2.
 */
#include "kernels/simd/avx512.h"
#include "kernels/simd/walk.h"
#include "kernels/team.h"
#include "kernels/variant.h"

enum { CHUNK = 32, STEP_MAX = 3, SUBTREE_MAX = (1 << STEP_MAX) - 1 };

/* z[i] = x·w[i] for a constant number of rows, the sums of each in the same order whatever that number is. */
static inline __attribute__((always_inline)) void dots(const float *x, const float *const *w, size_t rows,
                                                       size_t n, float *z)
{
    __m512 a[SUBTREE_MAX], b[SUBTREE_MAX];
    for (size_t i = 0; i < rows; i++)
        a[i] = b[i] = _mm512_setzero_ps();
    size_t k = 0;
    for (; k + 32 <= n; k += 32)
        for (size_t i = 0; i < rows; i++) {
            a[i] = _mm512_fmadd_ps(_mm512_loadu_ps(x + k), _mm512_loadu_ps(w[i] + k), a[i]);
            b[i] = _mm512_fmadd_ps(_mm512_loadu_ps(x + k + 16), _mm512_loadu_ps(w[i] + k + 16), b[i]);
        }
    for (; k < n; k += 16) {
        const __mmask16 m = n - k < 16 ? ffl_lanes_avx512(n - k) : (__mmask16)0xffff;
        const __m512 v = _mm512_maskz_loadu_ps(m, x + k);
        for (size_t i = 0; i < rows; i++)
            a[i] = _mm512_fmadd_ps(v, _mm512_maskz_loadu_ps(m, w[i] + k), a[i]);
    }
    for (size_t i = 0; i < rows; i++)
        z[i] = _mm512_reduce_add_ps(_mm512_add_ps(a[i], b[i]));
}

/* The logits of the path through `levels` levels from *node, which moves to the child that follows. */
static inline __attribute__((always_inline)) void step(const ffl_layer *l, size_t tree, const float *x,
                                                       size_t levels, size_t *node, float *z, size_t *visited)
{
    const float *w[SUBTREE_MAX];
    float all[SUBTREE_MAX];
    size_t count = 0;
    for (size_t level = 0; level < levels; level++)
        for (size_t i = 0; i < (size_t)1 << level; i++)
            w[count++] = l->w_in + (tree * l->nodes + ((*node + 1) << level) - 1 + i) * l->width_in;
    dots(x, w, count, l->width_in, all);
    size_t place = 0;
    for (size_t level = 0; level < levels; level++) {
        z[level] = all[place] + l->b_in[tree * l->nodes + *node];
        visited[level] = *node;
        const size_t right = z[level] > 0.0f;
        place = 2 * place + 1 + right;
        *node = 2 * *node + 1 + right;
    }
}

/* One tree for one token: z and visited of all levels. */
static inline __attribute__((always_inline)) void descend(const ffl_layer *l, size_t tree, const float *x,
                                                          size_t at_once, float *z, size_t *visited)
{
    size_t node = 0, level = 0;
    for (; level + at_once <= l->levels; level += at_once)
        step(l, tree, x, at_once, &node, z + level, visited + level);
    for (; level < l->levels; level++)
        step(l, tree, x, 1, &node, z + level, visited + level);
}

static inline __attribute__((always_inline)) void walk(const ffl_layer *l, size_t at_once, const float *x,
                                                       size_t ldx, float *y, size_t ldy, size_t tokens)
{
    for (size_t t = 0; t < tokens; t++, x += ldx, y += ldy) {
        size_t tree = 0;
        for (bool add = false; tree < l->trees; add = true) {
            float g[CHUNK];
            size_t visited[CHUNK];
            const float *w[CHUNK];
            size_t count = 0;
            for (; tree < l->trees && count + l->levels <= CHUNK; tree++, count += l->levels) {
                descend(l, tree, x, at_once, g + count, visited);
                for (size_t level = 0; level < l->levels; level++)
                    w[count + level] = l->w_out + (tree * l->nodes + visited[level]) * l->width_out;
            }
            ffl_activate_avx512(l->activation, g, count);
            ffl_rows_avx512(g, w, count, y, l->width_out, add);
        }
    }
}

static inline __attribute__((always_inline)) void trace_walk(const ffl_layer *l, size_t at_once,
                                                             const float *x, size_t ldx, size_t tokens,
                                                             int32_t *nodes, float *logits)
{
    for (size_t t = 0; t < tokens; t++, x += ldx)
        for (size_t tree = 0; tree < l->trees; tree++, logits += l->levels) {
            size_t visited[FFL_LEVELS_MAX];
            descend(l, tree, x, at_once, logits, visited);
            for (size_t level = 0; level < l->levels; level++)
                *nodes++ = (int32_t)visited[level];
        }
}

#define FORM(NUMBER)                                                                                         \
    static void part_##NUMBER(const ffl_plan *plan, void *scratch, const float *x, size_t ldx, float *y,     \
                              size_t ldy, size_t tokens)                                                     \
    {                                                                                                        \
        (void)scratch;                                                                                       \
        walk(plan->layer, NUMBER, x, ldx, y, ldy, tokens);                                                   \
    }                                                                                                        \
    static ffl_status run_##NUMBER(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx,   \
                                   float *y, size_t ldy, size_t tokens)                                      \
    {                                                                                                        \
        return ffl_team_rows(plan, exec, 32, part_##NUMBER, x, ldx, y, ldy, tokens);                         \
    }                                                                                                        \
    static ffl_status trace_##NUMBER(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, \
                                     size_t tokens, int32_t *nodes, float *logits)                           \
    {                                                                                                        \
        (void)exec;                                                                                          \
        trace_walk(plan->layer, NUMBER, x, ldx, tokens, nodes, logits);                                      \
        return FFL_OK;                                                                                       \
    }

#define ROW(NUMBER, NODES)                                                                                   \
    {                                                                                                        \
        .name = "fff_walk_speculative" #NUMBER "_avx512", .source = "this lab",                              \
        .summary = "tree walk per token, " #NUMBER " levels (" #NODES " nodes) evaluated at once, AVX-512",  \
        .operation = FFL_FFF, .place = FFL_HOST, .family = FFL_SIMD, .isa = FFL_ISA_AVX512,                  \
        .threaded = true, .contract = FFL_CONTRACT_F32_ROWS, .prepare = ffl_prepare_nothing,                 \
        .run = run_##NUMBER, .trace = trace_##NUMBER                                                         \
    }

FORM(2)
FORM(3)

FFL_VARIANTS(fff_walk_speculative_avx512) = {ROW(2, 3), ROW(3, 7), {0}};
