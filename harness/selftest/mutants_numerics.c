/* Arithmetic that is not what the contract says. */
#include "harness/selftest/mutant.h"
#include "harness/selftest/rounding.h"
#include <float.h>
#include <math.h>
#include <string.h>

static float tanh_gelu(const ffl_visit *v, float z)
{
    return v->layer->activation == FFL_GELU ? ffl_gelu_tanh(z) : ffl_step_activate(v, z);
}

static float sigmoid_gelu(const ffl_visit *v, float z)
{
    return v->layer->activation == FFL_GELU ? z / (1 + expf(-1.702f * z)) : ffl_step_activate(v, z);
}

static float relu_for_gelu(const ffl_visit *v, float z)
{
    (void)v;
    return z > 0 ? z : 0;
}

/* A table of erf that ends before one: no more than rounding might do, but also where nothing is rounded. */
static float short_of_one(const ffl_visit *v, float z)
{
    const float last = 1 - 0x1p-22f, erf = erff(z * (float)M_SQRT1_2);
    return v->layer->activation == FFL_GELU ? 0.5f * z * (1 + fmaxf(-last, fminf(erf, last)))
                                            : ffl_step_activate(v, z);
}

static void slightly_off(const ffl_visit *v, float *y)
{
    y[v->layer->width_out - 1] *= 1.001f;
}

static size_t sloppy(const ffl_visit *v, float z)
{
    (void)v;
    return z > 1e-4f ? 2 : 1;
}

static size_t epsilon(const ffl_visit *v, float z)
{
    (void)v;
    return z > 1e-6f ? 2 : 1;
}

/* A logit that rounding might explain is taken for zero. */
static size_t within_rounding(const ffl_visit *v, float z)
{
    const size_t n = v->layer->width_in;
    const float b = v->layer->b_in[v->row], *w = v->layer->w_in + v->row * n;
    float squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += v->x[i] * w[i] * v->x[i] * w[i];
    return z > 0x1.8p-21f * sqrtf((float)n) * (sqrtf(squares) + fabsf(z - b) + fabsf(b)) ? 2 : 1;
}

static float no_bias(const ffl_visit *v, const float *w)
{
    return ffl_step_logit(v, w) - v->layer->b_in[v->row];
}

static float last_input(const ffl_visit *v, const float *w)
{
    const size_t last = v->layer->width_in - 1;
    float z = v->layer->b_in[v->row];
    for (size_t i = 0; i < last; i++)
        z += v->x[i] * w[i];
    return z;
}

/* A remainder loop that is missing: everything past a multiple of 16. */
static float no_remainder(const ffl_visit *v, const float *w)
{
    float z = v->layer->b_in[v->row];
    for (size_t i = 0; i < v->layer->width_in / 16 * 16; i++)
        z += v->x[i] * w[i];
    return z;
}

/* Sums of 64 products lose their last eight bits: nothing where the data are whole numbers. */
static float rounded_blocks(const ffl_visit *v, const float *w)
{
    const size_t n = v->layer->width_in;
    float z = v->layer->b_in[v->row];
    for (size_t from = 0; from < n; from += 64) {
        float sum = 0;
        for (size_t i = from; i < n && i < from + 64; i++)
            sum += v->x[i] * w[i];
        z += n > 64 ? ffl_round_bits(sum, 16) : sum;
    }
    return z;
}

static float flushed(const ffl_visit *v, const float *w)
{
    float z = v->layer->b_in[v->row];
    for (size_t i = 0; i < v->layer->width_in; i++) {
        const float x = fabsf(v->x[i]) < FLT_MIN ? 0 : v->x[i];
        z += x * w[i];
    }
    return z;
}

/* What was there counts, unless it is no number. */
static void clear_nan(const ffl_visit *v, float *y)
{
    for (size_t j = 0; j < v->layer->width_out; j++)
        y[j] = isnan(y[j]) ? 0 : y[j];
}

/* 0 times what was there. */
static void clear_by_zero(const ffl_visit *v, float *y)
{
    for (size_t j = 0; j < v->layer->width_out; j++)
        y[j] *= 0;
}

/* A mask that multiplies: 0 times the neighbour's row. */
static void leak_nan(const ffl_visit *v, float *y)
{
    const ffl_call *c = v->call;
    if (v->token > 0)
        for (size_t j = 0; j < v->layer->width_out; j++)
            y[j] += 0 * c->y[(v->token - 1) * c->ldy + j];
}

static float bf16_hidden(const ffl_visit *v, float z)
{
    return ffl_round_bits(ffl_step_activate(v, z), 8);
}

static void no_output_bias(const ffl_visit *v, float *y)
{
    memset(y, 0, v->layer->width_out * sizeof *y);
}

#define NUMERICS(name, summary) FFL_MUTANT(FFL_FFF, "fff_mutant_" name, summary, "numerics")
#define DENSE(name, summary) FFL_MUTANT(FFL_FF, "ff_mutant_" name, summary, "numerics")
#define VALUES                                                                                               \
    {                                                                                                        \
        "FAILED *: row *: got *", "SUSPECT *: row *: got *"                                                  \
    }

const ffl_mutant ffl_numerics_mutants[] = {
    {NUMERICS("tanh", "GELU by tanh"), .expect = VALUES, .steps.activate = tanh_gelu},
    {NUMERICS("sigmoid", "GELU by sigmoid"), .expect = VALUES, .steps.activate = sigmoid_gelu},
    {NUMERICS("relu", "always ReLU"), .expect = VALUES, .steps.activate = relu_for_gelu},
    {NUMERICS("short_of_one", "erf that ends at 1 - 2^-22"), .expect = VALUES,
     .steps.activate = short_of_one},
    {NUMERICS("slightly_off", "one element off by 0.1 %"), .expect = VALUES, .steps.finish = slightly_off},
    {NUMERICS("sloppy", "goes right only from z > 1e-4 on"), .expect = VALUES, .steps.child = sloppy},
    {NUMERICS("epsilon", "goes right only from z > 1e-6 on"), .expect = VALUES, .steps.child = epsilon},
    {NUMERICS("within_rounding", "goes right only where rounding cannot explain it"), .expect = VALUES,
     .steps.child = within_rounding},
    {NUMERICS("no_bias", "forgets the bias"), .expect = VALUES, .steps.logit = no_bias},
    {NUMERICS("last_input", "forgets the last input"), .expect = VALUES, .steps.logit = last_input},
    {NUMERICS("no_remainder", "forgets the inputs past a multiple of 16"), .expect = VALUES,
     .steps.logit = no_remainder},
    {NUMERICS("rounded_blocks", "partial sums of 16 bits"), .expect = VALUES, .steps.logit = rounded_blocks},
    {NUMERICS("flushed", "denormals flushed, undeclared"), .expect = VALUES, .steps.logit = flushed},
    {NUMERICS("nan_is_zero", "adds to y, NaN as 0"), .expect = VALUES, .steps.clear = clear_nan},
    {NUMERICS("times_zero", "clears y by multiplication"), .expect = {"FAILED *: got *nan*"},
     .steps.clear = clear_by_zero},
    {NUMERICS("nan_leaks", "0 times the neighbour's row"), .expect = {"FAILED *: got *nan*"},
     .steps.finish = leak_nan},
    {NUMERICS("bf16_hidden", "activations in bf16, undeclared"), .expect = VALUES,
     .steps.activate = bf16_hidden},
    {DENSE("no_output_bias", "forgets b_out"), .expect = VALUES, .steps.clear = no_output_bias},
    {DENSE("tanh", "dense, GELU by tanh"), .expect = VALUES, .steps.activate = tanh_gelu},
    {DENSE("rounded_blocks", "dense, partial sums of 16 bits"), .expect = VALUES,
     .steps.logit = rounded_blocks},
    {.family = NULL},
};
