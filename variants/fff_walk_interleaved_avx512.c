/*
 * FFF, a few tokens at a time: their descents advance level by level together, so that while one token's next
 * row is on its way from L3 or memory the others' dot products run. The descent of one token is a chain of
 * misses; several chains side by side overlap them. Then activation and one output pass per token.
 */
#include "kernels/simd/avx512.h"
#include "kernels/simd/walk.h"
#include "kernels/variant.h"

enum { CHUNK = 32, TOGETHER_MAX = 8 };

/* What the descents of one token have collected: at most CHUNK visited rows. */
typedef struct visited {
    float g[CHUNK];
    const float *w[CHUNK];
} visited;

/* One tree for `together` tokens; their rows go to v[i].g[count], v[i].w[count] and on. */
static inline void descend(const ffl_layer *l, size_t tree, const float *x, size_t ldx, size_t together,
                           visited *v, size_t count)
{
    size_t node[TOGETHER_MAX] = {0};
    for (size_t level = 0; level < l->levels; level++)
        for (size_t i = 0; i < together; i++) {
            const size_t row = tree * l->nodes + node[i];
            const float z =
                ffl_dot_avx512(x + i * ldx, l->w_in + row * l->width_in, l->width_in) + l->b_in[row];
            v[i].g[count + level] = z;
            v[i].w[count + level] = l->w_out + row * l->width_out;
            node[i] = 2 * node[i] + 1 + (z > 0.0f);
        }
}

static void run_group(const ffl_layer *l, const float *x, size_t ldx, float *y, size_t ldy, size_t together)
{
    visited v[TOGETHER_MAX];
    size_t tree = 0;
    for (bool add = false; tree < l->trees; add = true) {
        size_t count = 0;
        for (; tree < l->trees && count + l->levels <= CHUNK; count += l->levels)
            descend(l, tree++, x, ldx, together, v, count);
        for (size_t i = 0; i < together; i++) {
            ffl_activate_avx512(l->activation, v[i].g, count);
            ffl_rows_avx512(v[i].g, v[i].w, count, y + i * ldy, l->width_out, add);
        }
    }
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const size_t together = *(const size_t *)plan->state;
    (void)exec;
    for (size_t t = 0; t < tokens; t += together)
        run_group(plan->layer, x + t * ldx, ldx, y + t * ldy, ldy,
                  tokens - t < together ? tokens - t : together);
    return FFL_OK;
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    (void)exec;
    ffl_walk_trace(plan->layer, ffl_dot_avx512, x, ldx, tokens, nodes, logits);
    return FFL_OK;
}

/* The knob: how many descents run side by side. */
static const size_t four = 4, eight = 8;

static ffl_status prepare_4(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    plan->state = (void *)&four;
    return ffl_prepare_nothing(layer, machine, plan);
}

static ffl_status prepare_8(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    plan->state = (void *)&eight;
    return ffl_prepare_nothing(layer, machine, plan);
}

FFL_VARIANTS(fff_walk_interleaved_avx512) = {
    {.name = "fff_walk_interleaved4_avx512",
     .source = "this lab",
     .summary = "tree walks of 4 tokens side by side, one output pass each, AVX-512",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = prepare_4,
     .run = run,
     .trace = trace},
    {.name = "fff_walk_interleaved8_avx512",
     .source = "this lab",
     .summary = "tree walks of 8 tokens side by side, one output pass each, AVX-512",
     .operation = FFL_FFF,
     .place = FFL_HOST,
     .family = FFL_SIMD,
     .isa = FFL_ISA_AVX512,
     .contract = FFL_CONTRACT_F32_ROWS,
     .prepare = prepare_8,
     .run = run,
     .trace = trace},
    {0},
};
