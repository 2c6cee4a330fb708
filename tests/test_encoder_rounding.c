/*
 * How far honest bf16 passes are from the reference: a layer in double, from the reference's own input, whose
 * rows and matrices are rounded to bf16 where a pass on the device stores them (cuda/device_encoder.h). The
 * tolerance of verify.h must hold for it, and not by much.
 */
#include "harness/device/storage.h"
#include "harness/encoder/verify.h"
#include "kernels/memory.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { TOKENS = 32 };

static ffl_type storage;

/* As stored: bf16 by way of float, or not at all. */
static double stored(double value)
{
    const float narrow = (float)value;
    uint16_t bits;
    float wide;
    if (storage == FFL_F32)
        return value;
    ffl_storage_narrow(FFL_BF16, &narrow, 1, &bits);
    ffl_storage_widen(FFL_BF16, &bits, 1, &wide);
    return (double)wide;
}

static void normalise(const ffl_norm *norm, size_t width, double eps, const double *x, double *y, bool last)
{
    for (size_t t = 0; t < TOKENS; t++, x += width, y += width) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < width; i++)
            mean += x[i] / (double)width;
        for (size_t i = 0; i < width; i++)
            variance += (x[i] - mean) * (x[i] - mean) / (double)width;
        for (size_t i = 0; i < width; i++) {
            const double v =
                (x[i] - mean) / sqrt(variance + eps) * (double)norm->weight[i] + (double)norm->bias[i];
            y[i] = last || storage != FFL_F32 ? stored(v) : v;
        }
    }
}

/* y = x·weightᵀ + bias; the matrix as stored. */
static void multiply(const ffl_linear *linear, size_t inputs, size_t outputs, const double *x, double *y)
{
    double *row = ffl_alloc_array(inputs, sizeof *row);
    for (size_t o = 0; o < outputs; o++) {
        for (size_t i = 0; i < inputs; i++)
            row[i] = stored((double)linear->weight[o * inputs + i]);
        for (size_t t = 0; t < TOKENS; t++) {
            double sum = linear->bias ? (double)linear->bias[o] : 0;
            for (size_t i = 0; i < inputs; i++)
                sum += x[t * inputs + i] * row[i];
            y[t * outputs + o] = sum;
        }
    }
    ffl_free(row);
}

static void attend(size_t width, size_t heads, double scale, const double *qkv, double *out)
{
    const size_t d = width / heads;
    for (size_t t = 0; t < TOKENS; t++)
        for (size_t first = 0; first < width; first += d) {
            double weight[TOKENS], most = -INFINITY, sum = 0;
            for (size_t j = 0; j < TOKENS; j++) {
                weight[j] = 0;
                for (size_t i = first; i < first + d; i++)
                    weight[j] += scale * qkv[t * 3 * width + i] * qkv[j * 3 * width + width + i];
                most = fmax(most, weight[j]);
            }
            for (size_t j = 0; j < TOKENS; j++)
                sum += weight[j] = exp(weight[j] - most);
            for (size_t i = first; i < first + d; i++) {
                double all = 0;
                for (size_t j = 0; j < TOKENS; j++)
                    all += stored(weight[j]) * qkv[j * 3 * width + 2 * width + i];
                out[t * width + i] = stored(all / sum);
            }
        }
}

/* What the feedforward layer is given, from the state before the layer. */
static void layer(const ffl_encoder_weights *w, size_t i, const double *state, double *y)
{
    const ffl_encoder_config *c = &w->config;
    const ffl_encoder_layer *l = ffl_encoder_weights_layer(w, i);
    const size_t h = c->width, count = TOKENS * h;
    double *x = ffl_alloc_array(count, sizeof *x), *wide = ffl_alloc_array(3 * count, sizeof *wide);
    double *mixed = ffl_alloc_array(count, sizeof *mixed), *sum = ffl_alloc_array(count, sizeof *sum);
    if (c->pre_norm)
        normalise(&l->norm1, h, c->norm_eps, state, x, false);
    for (size_t k = 0; k < count && !c->pre_norm; k++)
        x[k] = stored(state[k]);
    multiply(&l->qkv, h, 3 * h, x, wide);
    for (size_t k = 0; k < 3 * count; k++)
        wide[k] = stored(wide[k]);
    attend(h, c->heads, (double)l->scale, wide, mixed);
    multiply(&l->projection, h, h, mixed, sum);
    for (size_t k = 0; k < count; k++)
        sum[k] += state[k]; /* the residual stream is float: as good as exact here */
    normalise(c->pre_norm ? &l->norm2 : &l->norm1, h, c->norm_eps, sum, y, true);
    ffl_free(x), ffl_free(wide), ffl_free(mixed), ffl_free(sum);
}

/* The largest error of all layers over the largest value, as verify.c has it. */
static double off(const ffl_encoder_weights *w, const ffl_encoder_reference *r, ffl_type type)
{
    const size_t count = TOKENS * r->width;
    double *y = ffl_alloc_array(count, sizeof *y), worst = 0;
    storage = type;
    for (size_t i = 0; i < r->layers; i++) {
        double error = 0, scale = 0;
        layer(w, i, i ? r->state + (i - 1) * count : r->embedding, y);
        for (size_t k = 0; k < count; k++) {
            const double want = (double)r->feedforward[i * count + k];
            error = fmax(error, fabs(y[k] - want));
            scale = fmax(scale, fabs(want));
        }
        worst = fmax(worst, error / scale);
    }
    ffl_free(y);
    return worst;
}

Test(encoder_rounding, honest_passes_meet_the_tolerance)
{
    static const char *const models[] = {
        "layers=1,width=768,heads=12,tree=1x3,vocab=200,positions=64",
        "layers=2,width=384,heads=6,neurons=64,vocab=200,positions=64,norm=post",
        "layers=6,width=64,heads=4,tree=2x4,vocab=200,positions=64",
        "layers=6,width=64,heads=1,neurons=64,vocab=200,positions=64,norm=post",
        "layers=2,width=256,heads=2,neurons=64,vocab=200,positions=64",
    };
    const double tolerance = ffl_encoder_tolerance(FFL_BF16);
    double worst = 0;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (uint64_t seed = 1; seed <= 2; seed++) {
            ffl_encoder_config c;
            ffl_encoder_weights w;
            ffl_encoder_reference r;
            int32_t ids[TOKENS];
            cr_assert_eq(ffl_encoder_custom(models[m], &c), FFL_OK, "%s", ffl_error());
            cr_assert_eq(ffl_encoder_weights_seeded(&c, seed, &w), FFL_OK);
            for (size_t i = 0; i < TOKENS; i++)
                ids[i] = (int32_t)(i * (seed + 6) % 200);
            const ffl_encoder_input input = {1, TOKENS, ids, NULL, NULL};
            cr_assert_eq(ffl_encoder_reference_run(&w, c.operation, &input, false, &r), FFL_OK);
            cr_assert(off(&w, &r, FFL_F32) <= 1e-6, "without rounding this is the reference: off by %g",
                      off(&w, &r, FFL_F32));
            const double error = off(&w, &r, FFL_BF16);
            cr_expect(error <= tolerance, "%s, seed %llu: off by %g of %g", models[m],
                      (unsigned long long)seed, error, tolerance);
            worst = fmax(worst, error);
            ffl_encoder_reference_free(&r);
            ffl_encoder_weights_free(&w);
        }
    cr_expect(worst >= tolerance / 4, "the tolerance is %g, honest passes are off by %g", tolerance, worst);
}
