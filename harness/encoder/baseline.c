/* The dense variant that everything is held against, and what a variant would cost on one layer. */
#include "harness/encoder/serve_session.h"
#include "harness/registry.h"
#include "harness/workload/random.h"
#include "kernels/memory.h"
#include <math.h>

ffl_layer ffl_serve_layer(const ffl_serve_session *s, const ffl_variant *v)
{
    const ffl_layer *layer = &s->task.weights.layer[0].feedforward.layer;
    return v->operation == FFL_FF ? ffl_encoder_dense_layer(&s->task.weights, 0) : *layer;
}

ffl_status ffl_serve_probe(const ffl_serve_session *s, const ffl_variant *v, size_t tokens, double *out)
{
    const ffl_layer layer = ffl_serve_layer(s, v);
    ffl_instance instance;
    *out = INFINITY;
    float *x = ffl_alloc_rows(tokens * layer.width_in, sizeof *x),
          *y = ffl_alloc_rows(tokens * layer.width_out, sizeof *y);
    ffl_status status = x && y ? ffl_instance_new(v, &layer, tokens, s->threads, &instance) : FFL_NO_MEMORY;
    ffl_random random = ffl_random_new(1, 1);
    for (size_t i = 0; x && i < tokens * layer.width_in; i++)
        x[i] = (float)ffl_random_normal(&random);
    for (int round = 0; round < 3 && status == FFL_OK; round++) {
        const double start = 1e-9 * ffl_pass_clock_ns();
        status = ffl_instance_run(&instance, x, layer.width_in, y, layer.width_out, tokens);
        const double took = 1e-9 * ffl_pass_clock_ns() - start;
        *out = took < *out && (round || took > 1) ? took : *out;
        if (took > 1)
            break;
    }
    if (status == FFL_OK)
        ffl_instance_free(&instance);
    ffl_free(x);
    ffl_free(y);
    return status;
}

ffl_status ffl_serve_find_dense(ffl_serve_session *s)
{
    const size_t tokens = s->task.input.batch * s->task.input.sequence;
    double least = INFINITY;
    for (size_t i = 0; i < ffl_registry_count(); i++) {
        const ffl_variant *v = ffl_registry_at(i);
        const ffl_layer layer = ffl_serve_layer(s, v);
        const char *why = "";
        double took;
        if (v->operation != FFL_FF || v->place != FFL_HOST || v->contract.weights != FFL_F32 ||
            (v->family != FFL_BLAS3 && v->family != FFL_SIMD) || !ffl_registry_built_in(v) ||
            !ffl_variant_supports(v, &layer, tokens, s->threads, &why))
            continue;
        FFL_TRY(ffl_answer_send(s->answer, json_pack("{s:i}", "at", -1)));
        FFL_TRY(ffl_serve_probe(s, v, tokens, &took));
        if (took < least) {
            least = took;
            s->dense = v;
        }
    }
    return s->dense
               ? FFL_OK
               : ffl_fail(FFL_UNSUPPORTED, "no dense variant takes this layer with %d threads", s->threads);
}
