/*
 * The rules that hold before anything was tuned: an ordered list of preferences by operation and batch, and
 * behind it any kernel that fits, vector kernels before libraries before plain C.
 */
#include "harness/auto/choice.h"
#include "harness/registry.h"
#include <fnmatch.h>

typedef struct preference {
    ffl_operation operation;
    size_t trees_min; /* holds for layers of at least so many trees */
    size_t last;      /* tokens up to which it holds */
    const char *globs[6];
} preference;

/* From runs on a Cascade Lake core at width 768; the first match that fits is taken. */
static const preference preferences[] = {
    {FFL_FF, 0, 4, {"ff_tiled_*avx512bf16", "ff_tiled_widened*", "ff_rows_avx512", "ff_tiled*", "ff_rows*"}},
    {FFL_FF, 0, SIZE_MAX, {"ff_tiled_*avx512bf16", "ff_tiled_avx512", "ff_tiled*", "ff_blas3*"}},
    {FFL_FFF, 0, 8, {"fff_walk_records4*", "fff_walk_*vnni", "fff_walk_fused_avx512", "fff_walk_fused*"}},
    {FFL_FFF, 4, 511, {"fff_partition*", "fff_buckets_avx512", "fff_buckets*", "fff_sorted*"}},
    {FFL_FFF, 4, SIZE_MAX, {"fff_forest*", "fff_buckets_avx512", "fff_buckets*", "fff_sorted*"}},
    {FFL_FFF, 0, 127, {"fff_walk_records4*", "fff_walk_interleaved4_*vnni", "fff_walk_interleaved4*"}},
    {FFL_FFF, 0, SIZE_MAX, {"fff_buckets_avx512", "fff_buckets*", "fff_sorted*", "fff_walk_interleaved4*"}},
};

/* Higher is better, for want of anything better. */
static int rank(const ffl_variant *v)
{
    static const int by_family[FFL_FAMILY_COUNT] = {
        [FFL_NAIVE] = 0, [FFL_BLAS1] = 1, [FFL_BLAS2] = 2, [FFL_BLAS3] = 3, [FFL_SIMD] = 4, [FFL_TENSOR] = 4};
    return by_family[v->family] * FFL_ISA_COUNT + (int)v->isa;
}

static const ffl_variant *first_match(const ffl_variant *self, const ffl_layer *shape, size_t tokens,
                                      bool threaded, const char *glob)
{
    for (size_t i = 0; i < ffl_registry_count(); i++) {
        const ffl_variant *v = ffl_registry_at(i);
        if (fnmatch(glob, v->name, 0) == 0 && (v->threaded || !threaded) &&
            ffl_auto_may_use(self, v, shape, tokens))
            return v;
    }
    return NULL;
}

static const ffl_variant *best_ranked(const ffl_variant *self, const ffl_layer *shape, size_t tokens,
                                      bool threaded)
{
    const ffl_variant *best = NULL;
    for (size_t i = 0; i < ffl_registry_count(); i++) {
        const ffl_variant *v = ffl_registry_at(i);
        if ((v->threaded || !threaded) && ffl_auto_may_use(self, v, shape, tokens) &&
            (!best || rank(v) > rank(best)))
            best = v;
    }
    return best;
}

static const ffl_variant *prefer(const ffl_variant *self, const ffl_layer *shape, size_t tokens,
                                 const preference *by, bool threaded)
{
    for (size_t g = 0; g < sizeof by->globs / sizeof *by->globs && by->globs[g]; g++) {
        const ffl_variant *v = first_match(self, shape, tokens, threaded, by->globs[g]);
        if (v)
            return v;
    }
    return best_ranked(self, shape, tokens, threaded);
}

static void add(ffl_auto_choice *out, const ffl_variant *v, size_t last)
{
    size_t k = 0;
    while (k < out->kernels && out->kernel[k].variant != v)
        k++;
    if (k == FFL_AUTO_KERNELS)
        k--; /* cannot happen with as few lines as above */
    out->kernels = k < out->kernels ? out->kernels : k + 1;
    out->kernel[k].variant = v;
    out->kernel[k].max_tokens = last;
    out->range[out->ranges++] = (ffl_auto_range){.last = last, .blind = k};
}

ffl_status ffl_auto_defaults(const ffl_variant *self, const ffl_layer *shape, size_t max_tokens, int threads,
                             ffl_auto_choice *out)
{
    *out = (ffl_auto_choice){.tuned = false};
    size_t done = 0;
    for (size_t p = 0; p < sizeof preferences / sizeof *preferences && done < max_tokens; p++) {
        const preference *by = &preferences[p];
        if (by->operation != self->operation || by->last <= done || shape->trees < by->trees_min)
            continue;
        const size_t last = by->last < max_tokens ? by->last : max_tokens;
        const ffl_variant *v = threads > 1 ? prefer(self, shape, last, by, true) : NULL;
        if (!v)
            v = prefer(self, shape, last, by, false);
        if (!v)
            return ffl_fail(FFL_UNSUPPORTED, "%s: no kernel fits this shape", self->name);
        add(out, v, last);
        done = last;
    }
    return FFL_OK;
}
