/* Variants that bench must not rank, each wrong in a way of its own, and one that is only slow. */
#include "kernels/gelu.h"
#include "kernels/variant.h"
#include <signal.h>
#include <string.h>
#include <time.h>

static void walk(const ffl_layer *l, size_t levels, const float *x, float *y)
{
    memset(y, 0, l->width_out * sizeof *y);
    for (size_t tree = 0; tree < l->trees; tree++) {
        size_t node = 0;
        for (size_t level = 0; level < levels; level++) {
            const size_t row = tree * l->nodes + node;
            float z = l->b_in[row];
            for (size_t i = 0; i < l->width_in; i++)
                z += x[i] * l->w_in[row * l->width_in + i];
            for (size_t j = 0; j < l->width_out; j++)
                y[j] += ffl_activate(l->activation, z) * l->w_out[row * l->width_out + j];
            node = 2 * node + 1 + (z > 0.0f);
        }
    }
}

static void walk_all(const ffl_layer *l, size_t levels, const float *x, size_t ldx, float *y, size_t ldy,
                     size_t tokens)
{
    for (size_t t = 0; t < tokens; t++)
        walk(l, levels, x + t * ldx, y + t * ldy);
}

static void dense(const ffl_layer *l, const float *x, size_t ldx, float *y, size_t ldy, size_t tokens)
{
    for (size_t t = 0; t < tokens; t++) {
        memset(y + t * ldy, 0, l->width_out * sizeof *y);
        for (size_t row = 0; row < l->neurons; row++) {
            float z = l->b_in[row];
            for (size_t i = 0; i < l->width_in; i++)
                z += x[t * ldx + i] * l->w_in[row * l->width_in + i];
            for (size_t j = 0; j < l->width_out; j++)
                y[t * ldy + j] += ffl_activate(l->activation, z) * l->w_out[row * l->width_out + j];
        }
    }
}

#define RUN(name)                                                                                            \
    static ffl_status name(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y, \
                           size_t ldy, size_t tokens)

RUN(shallow)
{
    (void)exec;
    walk_all(plan->layer, plan->layer->levels - 1, x, ldx, y, ldy, tokens);
    return FFL_OK;
}

/* Right on the first calls: only the outputs of timed calls give it away. */
RUN(tiring)
{
    static unsigned calls;
    (void)exec;
    walk_all(plan->layer, plan->layer->levels - (++calls > 12), x, ldx, y, ldy, tokens);
    return FFL_OK;
}

/* The same, by not writing its last row. */
RUN(lazy)
{
    static unsigned calls;
    (void)exec;
    walk_all(plan->layer, plan->layer->levels, x, ldx, y, ldy, tokens - (++calls > 12));
    return FFL_OK;
}

RUN(scribbling)
{
    (void)exec;
    walk_all(plan->layer, plan->layer->levels, x, ldx, y, ldy, tokens);
    y[tokens * ldy] = 1.0f;
    return FFL_OK;
}

RUN(crashing)
{
    (void)plan, (void)exec, (void)x, (void)ldx, (void)y, (void)ldy, (void)tokens;
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would turn the signal into an exit code */
    raise(SIGSEGV);
    return FFL_OK;
}

RUN(hanging)
{
    (void)plan, (void)exec, (void)x, (void)ldx, (void)y, (void)ldy, (void)tokens;
    for (;;)
        nanosleep(&(struct timespec){1, 0}, NULL);
    return FFL_OK;
}

RUN(refusing)
{
    (void)plan, (void)exec, (void)x, (void)ldx, (void)y, (void)ldy, (void)tokens;
    return ffl_fail(FFL_DEVICE, "no kernel today");
}

/* Dense and right, at 20 ms per token. */
RUN(slow)
{
    (void)exec;
    dense(plan->layer, x, ldx, y, ldy, tokens);
    nanosleep(&(struct timespec){0, 20000000L * (long)(tokens < 32 ? tokens : 32)}, NULL);
    for (size_t t = 32; t < tokens; t += 32)
        nanosleep(&(struct timespec){0, 640000000L}, NULL);
    return FFL_OK;
}

/* Dense and right, and it claims a million times the work. */
RUN(boasting)
{
    (void)exec;
    dense(plan->layer, x, ldx, y, ldy, tokens);
    return FFL_OK;
}

static void boast(const ffl_plan *plan, size_t tokens, double *flops, double *bytes)
{
    (void)plan, (void)tokens, (void)bytes;
    *flops *= 1e6;
}

#define VARIANT(variant, op, function)                                                                       \
    {                                                                                                        \
        .name = variant, .summary = "a test", .source = "this lab", .operation = op, .place = FFL_HOST,      \
        .family = FFL_NAIVE, .isa = FFL_ISA_BASE, .contract = FFL_CONTRACT_F32,                              \
        .prepare = ffl_prepare_nothing, .run = function                                                      \
    }

FFL_VARIANTS(bench_plugin) = {
    VARIANT("fff_test_shallow", FFL_FFF, shallow),
    VARIANT("fff_test_tiring", FFL_FFF, tiring),
    VARIANT("fff_test_lazy", FFL_FFF, lazy),
    VARIANT("fff_test_scribbling", FFL_FFF, scribbling),
    VARIANT("fff_test_crashing", FFL_FFF, crashing),
    VARIANT("fff_test_hanging", FFL_FFF, hanging),
    VARIANT("fff_test_refusing", FFL_FFF, refusing),
    VARIANT("ff_test_slow", FFL_FF, slow),
    {   .name = "ff_test_boasting", .summary = "a test", .source = "this lab", .operation = FFL_FF,
        .place = FFL_HOST, .family = FFL_NAIVE, .isa = FFL_ISA_BASE, .contract = FFL_CONTRACT_F32,
        .prepare = ffl_prepare_nothing, .run = boasting, .cost = boast },
    {0},
};

FFL_PLUGIN(bench_plugin);
