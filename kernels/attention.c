#include "kernels/attention.h"
#include "kernels/cpu.h"
#include "kernels/simd/attention_head.h"
#include "kernels/team.h"

static ffl_attention_head_function *best(void)
{
#if defined(FFL_BUILT_AVX512)
    if (ffl_machine_host()->isa[FFL_ISA_AVX512])
        return ffl_attention_head_avx512;
#endif
#if defined(FFL_BUILT_AVX2)
    if (ffl_machine_host()->isa[FFL_ISA_AVX2])
        return ffl_attention_head_avx2;
#endif
    return ffl_attention_head;
}

/* Of one thread: enough for the widest vectors, whole pages. */
static size_t share(const ffl_attention *a)
{
    enum { LANES_MAX = 16, PAGE = 4096 };
    const size_t columns = a->head_width + LANES_MAX, keys = a->sequence + LANES_MAX;
    const size_t floats = a->head_width * keys + a->sequence * columns + keys +
                          FFL_ATTENTION_QUERIES * (FFL_ATTENTION_KEYS + columns + a->head_width);
    return (floats * sizeof(float) + PAGE - 1) / PAGE * PAGE;
}

size_t ffl_attention_scratch(const ffl_attention *attention, int threads)
{
    return share(attention) * (size_t)(threads > 0 ? threads : 1);
}

typedef struct work {
    const ffl_attention *attention;
    ffl_attention_head_function *head;
    const float *qkv, *mask;
    float *out;
    size_t ldq, ldo;
    char *scratch;
} work;

static void run_part(void *data, int member, int members)
{
    const work *w = data;
    const ffl_attention *a = w->attention;
    const size_t all = a->batch * a->heads;
    const size_t first = all * (size_t)member / (size_t)members,
                 end = all * ((size_t)member + 1) / (size_t)members;
    for (size_t i = first; i < end; i++) {
        const size_t sequence = i / a->heads, row = sequence * a->sequence;
        w->head(a, w->qkv + row * w->ldq, w->ldq, w->mask ? w->mask + row : NULL, i % a->heads,
                w->out + row * w->ldo, w->ldo, (float *)(w->scratch + share(a) * (size_t)member));
    }
}

void ffl_attention_run(const ffl_attention *attention, const float *qkv, size_t ldq, const float *mask,
                       float *out, size_t ldo, void *scratch, int threads)
{
    work w = {.attention = attention,
              .head = best(),
              .qkv = qkv,
              .mask = mask,
              .out = out,
              .ldq = ldq,
              .ldo = ldo,
              .scratch = scratch};
    const size_t all = attention->batch * attention->heads;
    const size_t members = all < (size_t)threads ? all : (size_t)threads;
    ffl_team_run(members > 1 ? (int)members : 1, run_part, &w);
}
