#include "harness/encoder/verify.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

double ffl_encoder_tolerance(ffl_type storage)
{
    return storage == FFL_BF16 ? 2.5 * 0x1p-8 : 1e-5;
}

/* Multiply-adds of the judge per layer: a fraction of a second. */
static const size_t judge_work = 30000000;

typedef struct verifying {
    ffl_encoder *encoder;
    const ffl_encoder_weights *weights;
    const ffl_variant *variant;
    const ffl_encoder_input *input;
    size_t first; /* sequence */
    const ffl_encoder_reference *reference;
    ffl_logits_rows *logits;
    void *user;
    float *y, *z;
    int32_t *nodes;
    ffl_encoder_verdict *out;
} verifying;

/* Largest error / largest value; infinite when something is not finite. */
static double relative(const float *got, const double *want, const float *want32, size_t count)
{
    double error = 0, scale = 0;
    for (size_t i = 0; i < count; i++) {
        const double w = want ? want[i] : (double)want32[i], e = fabs((double)got[i] - w);
        if (!(e <= error))
            error = isfinite(e) ? e : INFINITY;
        scale = fmax(scale, fabs(w));
    }
    return error > 0 ? error / scale : 0;
}

static void worsen(ffl_encoder_verdict *out, ffl_verdict verdict, size_t layer, const char *reason)
{
    if (verdict <= out->verdict)
        return;
    out->verdict = verdict;
    snprintf(out->reason, sizeof out->reason, "layer %zu: %.480s", layer, reason);
}

/* The variant's own work in this layer, held to its contract. */
static ffl_status judge(verifying *v, size_t layer)
{
    const ffl_layer *l = ffl_encoder_feedforward(v->encoder, layer);
    const size_t tokens = v->reference->tokens,
                 evaluated = l->operation == FFL_FFF ? l->trees * l->levels : l->neurons;
    size_t count = judge_work / (evaluated * l->width_in), *rows = NULL;
    ffl_judge *judge = NULL;
    ffl_judgement found;
    count = count < 4 ? 4 : count;
    count = count > tokens ? tokens : count;
    if (!(rows = ffl_alloc_array(count, sizeof *rows)))
        return FFL_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        rows[i] = i * tokens / count;
    ffl_status status = ffl_encoder_feedforward_again(v->encoder, layer, v->y);
    if (status == FFL_OK)
        status = ffl_judge_new(l, &v->variant->contract, FFL_DATA_GENERAL,
                               ffl_encoder_feedforward_input(v->encoder), l->width_in, tokens, rows, count,
                               &judge);
    if (status == FFL_OK)
        status = ffl_judge_rows(judge, v->y, l->width_out, v->out->traced ? v->nodes : NULL, &found);
    if (status == FFL_OK) {
        v->out->judged += found.rows;
        v->out->flips += found.flips;
        if (found.flips && !(found.flip_margin <= v->out->flip_margin))
            v->out->flip_margin = found.flip_margin;
        worsen(v->out, found.verdict, layer, found.reason);
    }
    ffl_judge_free(judge);
    ffl_free(rows);
    return status;
}

/* Every layer from the reference's own input. */
static ffl_status verify_layers(verifying *v)
{
    const ffl_encoder_reference *r = v->reference;
    const size_t n = r->tokens * r->width;
    const ffl_encoder_input part = ffl_encoder_input_part(v->input, v->first, r->tokens / v->input->sequence);
    const double tolerance = ffl_encoder_tolerance(ffl_encoder_storage(v->encoder));
    char text[128];
    FFL_TRY(ffl_encoder_embed(v->encoder, &part));
    double error = relative(ffl_encoder_state(v->encoder), r->embedding, NULL, n);
    if (!(error <= tolerance)) {
        snprintf(text, sizeof text, "the embedding is off by %.2g of its scale", error);
        worsen(v->out, FFL_FAILED, 0, text);
    }
    for (size_t i = 0; i < r->layers; i++) {
        const double *from = i ? r->state + (i - 1) * n : r->embedding;
        for (size_t k = 0; k < n; k++)
            v->y[k] = (float)from[k];
        FFL_TRY(ffl_encoder_set_state(v->encoder, v->y));
        FFL_TRY(ffl_encoder_layer_run(v->encoder, i));
        error = relative(ffl_encoder_feedforward_input(v->encoder), NULL, r->feedforward + i * n, n);
        v->out->parts_error = fmax(v->out->parts_error, error);
        if (!(error <= tolerance)) {
            snprintf(text, sizeof text, "the feedforward input is off by %.2g of its scale", error);
            worsen(v->out, FFL_FAILED, i, text);
        }
        if (v->out->traced)
            FFL_TRY(ffl_encoder_trace(v->encoder, i, v->nodes, v->z));
        FFL_TRY(judge(v, i));
    }
    return FFL_OK;
}

/* Paths of this layer against the reference's, for the verified tokens. */
static ffl_status compare_paths(verifying *v, size_t layer)
{
    const ffl_encoder_reference *r = v->reference;
    const size_t first = v->first * v->input->sequence, levels = v->weights->config.levels;
    if (!v->out->traced)
        return FFL_OK;
    FFL_TRY(ffl_encoder_trace(v->encoder, layer, v->nodes, v->z));
    for (size_t t = 0; t < r->tokens; t++) {
        const size_t at = (layer * r->tokens + t) * r->visited;
        const int32_t *got = v->nodes + (first + t) * r->visited, *want = r->paths + at;
        size_t k = 0;
        while (k < r->visited && got[k] == want[k])
            k++;
        if (k == r->visited)
            continue;
        if (v->out->pass_flips++ == 0) {
            v->out->flip_layer = layer;
            v->out->flip_token = first + t;
            v->out->flip_logit = k % levels ? fabs(r->decisions[at + k - 1]) : NAN;
        }
    }
    return FFL_OK;
}

static void compare_words(void *user, size_t first, size_t count, const float *logits)
{
    verifying *v = user;
    const size_t words = v->weights->config.vocabulary, begin = v->first * v->input->sequence;
    if (v->logits)
        v->logits(v->user, first, count, logits);
    for (size_t t = first; t < first + count; t++) {
        if (t < begin || t >= begin + v->reference->tokens || !v->reference->logits)
            continue;
        const float *got = logits + (t - first) * words;
        const double *want = v->reference->logits + (t - begin) * words;
        size_t best = 0, wanted = 0;
        for (size_t i = 1; i < words; i++) {
            best = got[i] > got[best] ? i : best;
            wanted = want[i] > want[wanted] ? i : wanted;
        }
        v->out->agreed += best == wanted;
    }
}

static ffl_status verify_pass(verifying *v, ffl_encoder_watch *watch)
{
    const ffl_encoder_reference *r = v->reference;
    const size_t first = v->first * v->input->sequence;
    FFL_TRY(ffl_encoder_embed(v->encoder, v->input));
    if (watch)
        FFL_TRY(watch(v->user, v->encoder, SIZE_MAX));
    for (size_t i = 0; i < r->layers; i++) {
        FFL_TRY(ffl_encoder_layer_run(v->encoder, i));
        FFL_TRY(compare_paths(v, i));
        if (watch)
            FFL_TRY(watch(v->user, v->encoder, i));
    }
    FFL_TRY(ffl_encoder_finish(v->encoder));
    v->out->pass_error =
        relative(ffl_encoder_state(v->encoder) + first * r->width, r->output, NULL, r->tokens * r->width);
    if (watch)
        FFL_TRY(watch(v->user, v->encoder, r->layers));
    /* Without a flip f32 must stay close to the end; other types and other paths may not. */
    const ffl_contract *c = &v->variant->contract;
    const bool exact =
        c->weights == FFL_F32 && c->input == FFL_F32 && c->hidden == FFL_F32 && c->accumulator == FFL_F32;
    if (exact && (v->out->traced || v->variant->operation == FFL_FF) && v->out->pass_flips == 0 &&
        !(v->out->pass_error <= 10 * ffl_encoder_tolerance(FFL_F32))) {
        char text[128];
        snprintf(text, sizeof text, "no flip, but the pass is off by %.2g of its scale", v->out->pass_error);
        worsen(v->out, FFL_FAILED, r->layers, text);
    }
    return v->weights->has_head ? ffl_encoder_logits(v->encoder, compare_words, v) : FFL_OK;
}

ffl_status ffl_encoder_verify(ffl_encoder *encoder, const ffl_encoder_weights *weights,
                              const ffl_variant *variant, const ffl_encoder_input *input, size_t first,
                              const ffl_encoder_reference *reference, ffl_encoder_watch *watch,
                              ffl_logits_rows *logits, void *user, ffl_encoder_verdict *out)
{
    const size_t all = input->batch * input->sequence;
    *out = (ffl_encoder_verdict){.flip_margin = NAN,
                                 .flip_logit = NAN,
                                 .tokens = reference->tokens,
                                 .traced = variant->trace && reference->visited};
    verifying v = {.encoder = encoder,
                   .weights = weights,
                   .variant = variant,
                   .input = input,
                   .first = first,
                   .reference = reference,
                   .logits = logits,
                   .user = user,
                   .out = out};
    v.y = ffl_alloc_rows(reference->tokens * reference->width, sizeof *v.y);
    v.nodes = ffl_alloc_array(all, (reference->visited + 1) * sizeof *v.nodes);
    v.z = ffl_alloc_array(all, (reference->visited + 1) * sizeof *v.z);
    ffl_status status = v.y && v.nodes && v.z ? verify_layers(&v) : FFL_NO_MEMORY;
    if (status == FFL_OK)
        status = verify_pass(&v, watch);
    ffl_free(v.y);
    ffl_free(v.nodes);
    ffl_free(v.z);
    return status;
}
