/* Right, each in its own way: rejecting one of these is a false alarm. */
#include "harness/selftest/mutant.h"
#include "harness/selftest/rounding.h"
#include "kernels/team.h"
#include <float.h>
#include <math.h>
#include <string.h>

static float lanes_of_64(const ffl_visit *v, const float *w)
{
    float sum[64] = {0};
    for (size_t i = 0; i < v->layer->width_in; i++)
        sum[i % 64] += v->x[i] * w[i];
    for (size_t half = 32; half > 0; half /= 2)
        for (size_t k = 0; k < half; k++)
            sum[k] += sum[k + half];
    return sum[0] + v->layer->b_in[v->row];
}

static float fused(const ffl_visit *v, const float *w)
{
    float z = v->layer->b_in[v->row];
    for (size_t i = 0; i < v->layer->width_in; i++)
        z = fmaf(v->x[i], w[i], z);
    return z;
}

static void fused_add(const ffl_visit *v, float g, const float *w, float *y)
{
    for (size_t j = 0; j < v->layer->width_out; j++)
        y[j] = fmaf(g, w[j], y[j]);
}

static float backwards(const ffl_visit *v, const float *w)
{
    float z = 0;
    for (size_t i = v->layer->width_in; i-- > 0;)
        z += v->x[i] * w[i];
    return z + v->layer->b_in[v->row];
}

static float tf32_logit(const ffl_visit *v, const float *w)
{
    float z = v->layer->b_in[v->row];
    for (size_t i = 0; i < v->layer->width_in; i++)
        z += ffl_round_bits(v->x[i], 11) * ffl_round_bits(w[i], 11);
    return z;
}

static float tf32_activation(const ffl_visit *v, float z)
{
    return ffl_round_bits(ffl_step_activate(v, z), 11);
}

static void tf32_add(const ffl_visit *v, float g, const float *w, float *y)
{
    for (size_t j = 0; j < v->layer->width_out; j++)
        y[j] += g * ffl_round_bits(w[j], 11);
}

static float bf16_logit(const ffl_visit *v, const float *w)
{
    float z = v->layer->b_in[v->row];
    for (size_t i = 0; i < v->layer->width_in; i++)
        z += v->x[i] * ffl_round_bits(w[i], 8);
    return z;
}

static void bf16_add(const ffl_visit *v, float g, const float *w, float *y)
{
    for (size_t j = 0; j < v->layer->width_out; j++)
        y[j] += g * ffl_round_bits(w[j], 8);
}

static float int8_logit(const ffl_visit *v, const float *w)
{
    const float step = ffl_int8_step(w, v->layer->width_in);
    float z = 0;
    for (size_t i = 0; step > 0 && i < v->layer->width_in; i++)
        z += v->x[i] * rintf(w[i] / step);
    return z * step + v->layer->b_in[v->row];
}

static void int8_add(const ffl_visit *v, float g, const float *w, float *y)
{
    const float step = ffl_int8_step(w, v->layer->width_out);
    for (size_t j = 0; j < v->layer->width_out; j++)
        y[j] += g * ffl_round_step(w[j], step);
}

/* Blocks of a size that depends on the thread count: other bits for each, none of them wrong. */
static float blocks_by_threads(const ffl_visit *v, const float *w)
{
    const size_t n = v->layer->width_in, block = 16 * (size_t)v->call->exec->threads;
    float z = v->layer->b_in[v->row];
    for (size_t from = 0; from < n; from += block) {
        float sum = 0;
        for (size_t i = from; i < n && i < from + block; i++)
            sum += v->x[i] * w[i];
        z += sum;
    }
    return z;
}

static float flushed(float v)
{
    return fabsf(v) < FLT_MIN ? 0 : v;
}

static float flushed_logit(const ffl_visit *v, const float *w)
{
    float z = flushed(v->layer->b_in[v->row]);
    for (size_t i = 0; i < v->layer->width_in; i++)
        z = flushed(z + flushed(flushed(v->x[i]) * flushed(w[i])));
    return z;
}

/* A vector load too many, as declared: 32 bytes past x. */
static void over_read(const ffl_call *c)
{
    const float *end = c->x + (c->tokens - 1) * c->ldx + c->layer->width_in;
    for (size_t i = 0; i < 8; i++)
        (void)*(volatile const float *)(end + i);
}

/* Scratch is for anything, as long as it is written first. */
static float through_scratch(const ffl_visit *v, const float *w)
{
    float *sum = v->call->exec->scratch;
    memset(sum, 0, 16 * sizeof *sum);
    for (size_t i = 0; i < v->layer->width_in; i++)
        sum[i % 16] += v->x[i] * w[i];
    float z = v->layer->b_in[v->row];
    for (size_t k = 0; k < 16; k++)
        z += sum[k];
    return z;
}

static float pairwise_sum(const float *x, const float *w, size_t n)
{
    if (n == 1)
        return x[0] * w[0];
    const size_t half = n / 2;
    return pairwise_sum(x, w, half) + pairwise_sum(x + half, w + half, n - half);
}

static float pairwise(const ffl_visit *v, const float *w)
{
    return pairwise_sum(v->x, w, v->layer->width_in) + v->layer->b_in[v->row];
}

#define HONEST(name, summary) FFL_MUTANT(FFL_FFF, "fff_honest_" name, summary, "honest")
#define HONEST_AS(name, summary, ...)                                                                        \
    FFL_MUTANT_AS(FFL_FFF, "fff_honest_" name, summary, "honest", __VA_ARGS__)
#define DENSE(name, summary) FFL_MUTANT(FFL_FF, "ff_honest_" name, summary, "honest")
#define NARROW(x_, w_, h_)                                                                                   \
    {                                                                                                        \
        .input = x_, .weights = w_, .hidden = h_, .accumulator = FFL_F32, .output = FFL_F32,                 \
        .reassociates = true, .activation_error = 4 * FFL_UNIT_F32, .alignment = 4                           \
    }
#define FLUSHING                                                                                             \
    {                                                                                                        \
        .input = FFL_F32, .weights = FFL_F32, .hidden = FFL_F32, .accumulator = FFL_F32, .output = FFL_F32,  \
        .activation_error = 4 * FFL_UNIT_F32, .alignment = 4, .flushes_denormals = true                      \
    }

const ffl_mutant ffl_honest_mutants[] = {
    {HONEST("sequential", "f32 by index")},
    {HONEST("lanes", "f32 in 64 lanes"), .steps.logit = lanes_of_64},
    {HONEST("fused", "multiply-adds with one rounding"), .steps = {.logit = fused, .add = fused_add}},
    {HONEST("backwards", "f32 from the last index to the first"), .steps.logit = backwards},
    {HONEST("pairwise", "f32 by halves"), .steps.logit = pairwise},
    {HONEST_AS("tf32", "tf32 products", NARROW(FFL_TF32, FFL_TF32, FFL_TF32)),
     .steps = {.logit = tf32_logit, .activate = tf32_activation, .add = tf32_add}},
    {HONEST_AS("bf16", "bf16 weights", NARROW(FFL_F32, FFL_BF16, FFL_F32)),
     .steps = {.logit = bf16_logit, .add = bf16_add}},
    {HONEST_AS("int8", "int8 weights, a scale per row",
               {.input = FFL_F32,
                .weights = FFL_INT8,
                .hidden = FFL_F32,
                .accumulator = FFL_F32,
                .output = FFL_F32,
                .weight_scale = FFL_SCALE_ROW,
                .reassociates = true,
                .activation_error = 4 * FFL_UNIT_F32,
                .alignment = 4}),
     .steps = {.logit = int8_logit, .add = int8_add}},
    {HONEST_AS("by_threads", "another order of sums for every thread count",
               NARROW(FFL_F32, FFL_F32, FFL_F32)),
     .variant.threaded = true, .steps.logit = blocks_by_threads},
    {HONEST_AS("flushing", "denormals flushed, declared", FLUSHING), .steps.logit = flushed_logit},
    {HONEST_AS("over_reads", "loads 32 bytes past x, declared", FFL_CONTRACT_F32_READS(32)),
     .steps.after = over_read},
    {HONEST("scratch", "sums in its scratch"), .steps.logit = through_scratch},
    {DENSE("sequential", "dense, f32 by index")},
    {DENSE("fused", "dense, multiply-adds with one rounding"), .steps = {.logit = fused, .add = fused_add}},
    {.family = NULL},
};
