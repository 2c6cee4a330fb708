/* One pass per variant is held to the double-precision reference (verify.h); nothing in it is timed. */
#include "harness/encoder/dump.h"
#include "harness/encoder/serve_session.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

ffl_status ffl_serve_reference(ffl_serve_session *s, ffl_operation operation)
{
    if (s->has_reference[operation])
        return FFL_OK;
    const ffl_encoder_input part = ffl_encoder_input_part(&s->task.input, s->first, 1);
    FFL_TRY(ffl_encoder_reference_run(&s->task.weights, operation, &part, true, &s->reference[operation]));
    s->has_reference[operation] = true;
    return ffl_answer_send(s->answer, json_pack("{s:i}", "at", -1));
}

/* During the verified pass: inputs are kept, and files written. */
typedef struct watching {
    float *inputs;
    size_t count; /* of one layer */
    ffl_dump dump;
} watching;

static ffl_status watch(void *user, ffl_encoder *encoder, size_t layer)
{
    watching *w = user;
    if (layer < w->dump.config->layers)
        memcpy(w->inputs + layer * w->count, ffl_encoder_feedforward_input(encoder),
               w->count * sizeof *w->inputs);
    return *w->dump.folder ? ffl_dump_watch(&w->dump, encoder, layer) : FFL_OK;
}

static void watch_logits(void *user, size_t first, size_t count, const float *logits)
{
    watching *w = user;
    if (*w->dump.folder)
        ffl_dump_logits(&w->dump, first, count, logits);
}

ffl_status ffl_serve_verify(ffl_serve_session *s, int index, const ffl_variant *v, ffl_encoder *e,
                            ffl_encoder_verdict *out)
{
    const char *folder = json_string_value(json_object_get(s->request, "dump"));
    const ffl_encoder_config *c = &s->task.weights.config;
    const size_t count = s->task.input.batch * s->task.input.sequence * c->width;
    float **inputs = &s->inputs[e != s->baseline];
    watching w = {.count = count,
                  .dump = {.folder = index < 0 ? ""
                                     : folder  ? folder
                                               : "",
                           .input = &s->task.input,
                           .config = c}};
    if (!*inputs && !(*inputs = ffl_alloc_rows(c->layers * count, sizeof **inputs)))
        return FFL_NO_MEMORY;
    w.inputs = *inputs;
    const bool dumping = *w.dump.folder != '\0';
    ffl_status status = dumping ? ffl_dump_begin(&w.dump, &s->task.weights) : FFL_OK;
    if (status == FFL_OK)
        status = ffl_encoder_verify(e, &s->task.weights, v, &s->task.input, s->first,
                                    &s->reference[v->operation], watch, watch_logits, &w, out);
    if (status == FFL_OK && dumping)
        status = ffl_dump_end(&w.dump);
    ffl_dump_free(&w.dump);
    return status;
}

void ffl_serve_hold(ffl_encoder_verdict *out, const ffl_variant *v, const float *verified, const float *timed,
                    size_t count)
{
    double error = 0, scale = 0;
    for (size_t i = 0; i < count; i++) {
        const double e = fabs((double)timed[i] - (double)verified[i]);
        error = !(e <= error) ? e : error;
        scale = fmax(scale, fabs((double)verified[i]));
    }
    if (!(v->contract.invariances & FFL_SAME_RUN_TO_RUN) || error <= 1e-5 * scale ||
        out->verdict >= FFL_FAILED)
        return;
    out->verdict = FFL_FAILED;
    snprintf(out->reason, sizeof out->reason,
             "the timed passes differ from the verified one by %.1e of its scale", error / scale);
}
