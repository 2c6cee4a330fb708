#include "harness/check/fixtures.h"
#include "harness/workload/random.h"
#include "kernels/memory.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const ffl_fixture_names[] = {"random",  "exact",     "ties",   "margin",
                                         "special", "collapsed", "thrash", NULL};

static bool is(const char *name, const char *other)
{
    return strcmp(name, other) == 0;
}

ffl_status ffl_fixture_check_name(const char *name)
{
    if (strncmp(name, "real:", 5) == 0 && name[5])
        return FFL_OK;
    char all[128] = "";
    for (size_t i = 0; ffl_fixture_names[i]; i++) {
        if (is(name, ffl_fixture_names[i]))
            return FFL_OK;
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s, ", ffl_fixture_names[i]);
    }
    return ffl_fail(FFL_BAD_INPUT, "--fixture %s: expected one of %sreal:FILE", name, all);
}

bool ffl_fixture_fits(const char *name, ffl_operation operation, const char **why)
{
    *why = "a dense layer has no paths";
    return operation != FFL_FF || !(is(name, "margin") || is(name, "collapsed") || is(name, "thrash"));
}

/* One row in eight of one sign, one with an outlier: sums that do not average out. */
static void normal_rows(float *x, size_t tokens, size_t width, uint64_t seed)
{
    ffl_random random = ffl_random_new(seed, FFL_STREAM_X);
    for (size_t t = 0; t < tokens; t++, x += width) {
        for (size_t i = 0; i < width; i++)
            x[i] = (float)ffl_random_normal(&random);
        const size_t kind = ffl_random_below(&random, 8);
        for (size_t i = 0; kind == 0 && i < width; i++)
            x[i] = fabsf(x[i]);
        if (kind == 1)
            x[ffl_random_below(&random, width)] *= 100;
    }
}

static void scale_row(float *x, size_t width, float factor)
{
    for (size_t i = 0; i < width; i++)
        x[i] *= factor;
}

/* Every second row stays good. Among the others are rows without a bound: they must not crash, and not
 * spoil their neighbours. */
static void special_rows(float *x, size_t tokens, size_t width, uint64_t seed)
{
    ffl_random random = ffl_random_new(seed, FFL_STREAM_PLAN);
    for (size_t t = 0; t < tokens; t++, x += width) {
        float *one = &x[ffl_random_below(&random, width)];
        switch ((t + seed) % 16) {
        case 1:
            scale_row(x, width, 0x1p-130f); /* all denormal */
            break;
        case 3:
            scale_row(x, width, 0x1p60f); /* large, yet far from overflow */
            break;
        case 5:
            *one = NAN;
            break;
        case 7:
            *one = INFINITY;
            break;
        case 9:
            scale_row(x, width, 0.0f); /* zeros of both signs */
            break;
        case 11:
            *one = -INFINITY;
            x[width - 1] = INFINITY; /* their sum is NaN */
            break;
        case 13:
            for (size_t i = 0; i < width; i++)
                x[i] = copysignf(FLT_MAX, x[i]);
            break;
        case 15:
            *one = 0x1p-149f; /* one denormal among normal values */
            break;
        }
    }
}

static void drop_bias(ffl_weights *w)
{
    memset(w->b_in, 0, w->layer.neurons * sizeof *w->b_in);
    if (w->b_gate)
        memset(w->b_gate, 0, w->layer.gates * sizeof *w->b_gate);
}

static ffl_status fill(ffl_fixture *f, const ffl_fixture_request *request)
{
    const char *name = request->name;
    const size_t width = f->weights.layer.width_in;
    if (is(name, "exact"))
        return ffl_fixture_exact(f, request->bias, request->seed);
    ffl_weights_randomise(&f->weights, request->seed);
    if (!request->bias)
        drop_bias(&f->weights);
    normal_rows(f->x, f->tokens, width, request->seed);
    const bool mixture = f->weights.layer.operation == FFL_MOE;
    if (is(name, "margin"))
        return (mixture ? ffl_fixture_margin_mixture : ffl_fixture_margin)(f, request->seed);
    if (is(name, "collapsed"))
        return (mixture ? ffl_fixture_collapsed_mixture : ffl_fixture_collapsed)(f, request->seed);
    if (is(name, "thrash"))
        return (mixture ? ffl_fixture_thrash_mixture : ffl_fixture_thrash)(f, request->seed);
    if (is(name, "ties"))
        ffl_fixture_ties(f, request->bias, request->seed);
    else if (is(name, "special"))
        special_rows(f->x, f->tokens, width, request->seed);
    return FFL_OK;
}

ffl_status ffl_fixture_make(const ffl_fixture_request *request, ffl_fixture *out)
{
    const char *why;
    *out = (ffl_fixture){.tokens = request->tokens, .data = FFL_DATA_GENERAL};
    FFL_TRY(ffl_fixture_check_name(request->name));
    if (!ffl_fixture_fits(request->name, request->shape.operation, &why))
        return ffl_fail(FFL_UNSUPPORTED, "fixture %s: %s", request->name, why);
    if (strncmp(request->name, "real:", 5) == 0)
        return ffl_fixture_real(request, out);
    ffl_status status =
        ffl_weights_new(&request->shape, request->bias && request->shape.operation != FFL_FFF, &out->weights);
    if (status == FFL_OK) {
        out->x = ffl_alloc_array(request->tokens * request->shape.width_in, sizeof *out->x);
        status = out->x ? fill(out, request) : FFL_NO_MEMORY;
    }
    if (status != FFL_OK)
        ffl_fixture_free(out);
    return status;
}

ffl_data ffl_fixture_data(const ffl_fixture *fixture, const ffl_contract *c)
{
    const bool int8 = c->input == FFL_INT8 || c->weights == FFL_INT8;
    if (fixture->data == FFL_DATA_GENERAL || (c->accumulator != FFL_F32 && c->accumulator != FFL_INT8))
        return FFL_DATA_GENERAL;
    if (fixture->data == FFL_DATA_EXACT_LOGITS)
        return int8 ? FFL_DATA_GENERAL : FFL_DATA_EXACT_LOGITS;
    if (c->input == FFL_INT8 && fixture->weights.layer.width_in < 2)
        return FFL_DATA_GENERAL; /* no room for the 127 that makes the scale a power of two */
    if (c->hidden == FFL_INT8 || c->output != FFL_F32 || c->activation_error > 16 * FFL_UNIT_F32)
        return FFL_DATA_EXACT_LOGITS;
    return FFL_DATA_EXACT;
}

void ffl_fixture_free(ffl_fixture *fixture)
{
    ffl_weights_free(&fixture->weights);
    ffl_free(fixture->x);
    fixture->x = NULL;
}
