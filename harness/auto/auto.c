/*
 * ff_auto and fff_auto: variants that run other variants. prepare decides which few kernels may serve this
 * layer (choice.h) and prepares those; run picks one by the number of tokens and, where that pays, by the
 * routing that it observes (observe.h). What it costs beside the kernel: some comparisons, or up to 2 %.
 *
 * Numbers differ within the contract from kernel to kernel, and which one runs depends on batch and
 * neighbours: only run-to-run invariance is promised.
 */
#include "harness/auto/choice.h"
#include "harness/auto/observe.h"
#include "kernels/memory.h"
#include "kernels/simd/scalar.h"
#include "kernels/simd/walk.h"
#include <math.h>

typedef struct dispatcher {
    ffl_auto_choice choice;
    ffl_plan plan[FFL_AUTO_KERNELS];
    size_t prepared; /* plans to release */
} dispatcher;

static void release(ffl_plan *plan)
{
    dispatcher *d = plan->state;
    for (size_t k = 0; d && k < d->prepared; k++)
        if (d->plan[k].variant->release)
            d->plan[k].variant->release(&d->plan[k]);
    ffl_free(d);
    plan->state = NULL;
}

static ffl_status prepare_kernels(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    dispatcher *d = plan->state;
    for (size_t k = 0; k < d->choice.kernels; k++) {
        const ffl_variant *v = d->choice.kernel[k].variant;
        ffl_plan *own = &d->plan[k];
        *own = (ffl_plan){.variant = v,
                          .layer = layer,
                          .max_tokens = d->choice.kernel[k].max_tokens,
                          .threads = v->threaded ? plan->threads : 1};
        FFL_TRY(v->prepare(layer, machine, own));
        d->prepared++;
        plan->packed_bytes += own->packed_bytes;
        if (own->scratch_bytes > plan->scratch_bytes)
            plan->scratch_bytes = own->scratch_bytes; /* one of them runs at a time */
    }
    return FFL_OK;
}

static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    dispatcher *d = ffl_alloc(sizeof *d);
    if (!d)
        return FFL_NO_MEMORY;
    plan->state = d;
    ffl_status status =
        ffl_auto_choose(plan->variant, layer, plan->max_tokens, plan->threads, ffl_tuned_lock(), &d->choice);
    ffl_tuned_unlock();
    if (status == FFL_OK)
        status = prepare_kernels(layer, machine, plan);
    if (status != FFL_OK)
        release(plan);
    return status;
}

/* The same for the same rows: the trace must say what run does. */
static const ffl_plan *pick(const ffl_plan *plan, const float *x, size_t ldx, size_t tokens)
{
    const dispatcher *d = plan->state;
    const ffl_layer *l = plan->layer;
    double shared = NAN;
    if (ffl_auto_range_of(&d->choice, tokens)->routings > 0) {
        const ffl_auto_look look = ffl_auto_look_at(l, tokens, plan->threads);
        if (look.samples)
            shared = ffl_auto_observe(l, x, ldx, tokens, look);
    }
    return &d->plan[ffl_auto_pick(&d->choice, l, tokens, shared)];
}

static ffl_exec lend(const ffl_plan *own, const ffl_exec *exec)
{
    ffl_exec lent = *exec;
    if (lent.threads > own->threads)
        lent.threads = own->threads;
    return lent;
}

static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const ffl_plan *own = pick(plan, x, ldx, tokens);
    const ffl_exec lent = lend(own, exec);
    return own->variant->run(own, &lent, x, ldx, y, ldy, tokens);
}

static ffl_status trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, size_t tokens,
                        int32_t *nodes, float *logits)
{
    const ffl_plan *own = pick(plan, x, ldx, tokens);
    const ffl_exec lent = lend(own, exec);
    if (own->variant->trace)
        return own->variant->trace(own, &lent, x, ldx, tokens, nodes, logits);
    /* A kernel that does not say: the same decisions but for logits within rounding of zero. */
    ffl_walk_trace(plan->layer, ffl_dot_scalar, x, ldx, tokens, nodes, logits);
    return FFL_OK;
}

static void cost(const ffl_plan *plan, size_t tokens, double *flops, double *bytes)
{
    const dispatcher *d = plan->state;
    const ffl_plan *own = &d->plan[ffl_auto_pick(&d->choice, plan->layer, tokens, NAN)];
    if (own->variant->cost)
        own->variant->cost(own, tokens, flops, bytes);
}

static bool supports(const ffl_variant *self, const ffl_layer *shape, size_t tokens, const char **why)
{
    ffl_auto_choice unused;
    if (ffl_auto_defaults(self, shape, tokens, 1, &unused) == FFL_OK)
        return true;
    *why = "no kernel of this class fits";
    return false;
}

#define SUPPORTS(row, at)                                                                                    \
    static bool supports_##row(const ffl_layer *shape, size_t tokens, const char **why)                      \
    {                                                                                                        \
        return supports(&ffl_auto_variants[at], shape, tokens, why);                                         \
    }

extern const ffl_variant ffl_auto_variants[];

SUPPORTS(ff, 0)
SUPPORTS(ff_bf16, 1)
SUPPORTS(ff_int8, 2)
SUPPORTS(fff, 3)
SUPPORTS(fff_bf16, 4)
SUPPORTS(fff_int8, 5)

/* The weakest that a kernel of the class may be and still be chosen: the dense int8 ones take 8-bit inputs and
 * an activation as exact as their codes need, the conditional ones 16-bit inputs or none. */
#define CONTRACT(class_, narrow, scale)                                                                      \
    {                                                                                                        \
        .input = narrow, .weights = class_, .hidden = narrow, .accumulator = FFL_F32, .output = FFL_F32,     \
        .weight_scale = scale, .reassociates = true, .flushes_denormals = class_ != FFL_F32,                 \
        .activation_error = class_ == FFL_INT8 ? 0x1p-15 : 4 * FFL_UNIT_F32, .alignment = 4, .invariances = FFL_SAME_RUN_TO_RUN             \
    }

#define AUTO(row, name_, operation_, summary_, trace_, class_, narrow, scale)                                \
    {                                                                                                        \
        .name = name_, .summary = summary_, .source = "this lab", .operation = operation_,                   \
        .place = FFL_HOST, .family = FFL_AUTO, .isa = FFL_ISA_BASE, .threaded = true,                        \
        .contract = CONTRACT(class_, narrow, scale), .supports = supports_##row, .prepare = prepare,         \
        .run = run, .release = release, .trace = trace_, .cost = cost                                        \
    }

#define DENSE(row, name, class_, narrow, scale)                                                              \
    AUTO(row, name, FFL_FF, "picks a dense variant by shape, batch and threads", NULL, class_, narrow, scale)
#define TREE(row, name, class_, narrow, scale)                                                               \
    AUTO(row, name, FFL_FFF, "picks a conditional variant by shape, batch, threads and observed routing",    \
         trace, class_, narrow, scale)

const ffl_variant ffl_auto_variants[] = {
    DENSE(ff, "ff_auto", FFL_F32, FFL_F32, FFL_SCALE_NONE),
    DENSE(ff_bf16, "ff_auto_bf16", FFL_BF16, FFL_BF16, FFL_SCALE_NONE),
    DENSE(ff_int8, "ff_auto_int8", FFL_INT8, FFL_INT8, FFL_SCALE_ROW),
    TREE(fff, "fff_auto", FFL_F32, FFL_F32, FFL_SCALE_NONE),
    TREE(fff_bf16, "fff_auto_bf16", FFL_BF16, FFL_BF16, FFL_SCALE_NONE),
    TREE(fff_int8, "fff_auto_int8", FFL_INT8, FFL_INT16, FFL_SCALE_ROW),
    {0},
};
