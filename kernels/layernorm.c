#include "kernels/layernorm.h"
#include "kernels/cpu.h"
#include "kernels/simd/layernorm_row.h"
#include "kernels/team.h"

static ffl_layernorm_row_function *best(void)
{
#if defined(FFL_BUILT_AVX512)
    if (ffl_machine_host()->isa[FFL_ISA_AVX512])
        return ffl_layernorm_row_avx512;
#endif
#if defined(FFL_BUILT_AVX2)
    if (ffl_machine_host()->isa[FFL_ISA_AVX2])
        return ffl_layernorm_row_avx2;
#endif
    return ffl_layernorm_row;
}

typedef struct work {
    const ffl_layernorm *norm;
    ffl_layernorm_row_function *row;
    float *x, *y;
    const float *add;
    size_t ldx, lda, ldy, tokens;
} work;

static void run_part(void *data, int member, int members)
{
    const work *w = data;
    const size_t first = w->tokens * (size_t)member / (size_t)members;
    const size_t end = w->tokens * ((size_t)member + 1) / (size_t)members;
    for (size_t t = first; t < end; t++)
        w->row(w->norm, w->x + t * w->ldx, w->add ? w->add + t * w->lda : NULL, w->y + t * w->ldy);
}

void ffl_layernorm_run(const ffl_layernorm *norm, float *x, size_t ldx, const float *add, size_t lda,
                       float *y, size_t ldy, size_t tokens, int threads)
{
    enum { GRAIN = 1 << 16 }; /* elements worth waking a thread for: about 20 µs */
    work w = {.norm = norm,
              .row = best(),
              .x = x,
              .y = y,
              .add = add,
              .ldx = ldx,
              .lda = lda,
              .ldy = ldy,
              .tokens = tokens};
    const size_t most = tokens * norm->width / GRAIN;
    const size_t members = most < (size_t)threads ? most : (size_t)threads;
    ffl_team_run(members > 1 ? (int)members : 1, run_part, &w);
}
