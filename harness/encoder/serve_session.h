/*
 * One worker at work (serve.h): what its files share, and who does what.
 *
 *   serve.c           the order of things             baseline.c    which dense variant, what a variant costs
 *   verified_pass.c   a pass held to the reference    paired_passes.c   passes in turn
 *   event_counts.c    passes under --counters
 *   answers.c, answer_layers.c, answer_routing.c      all of it as JSON
 */
#ifndef FFL_HARNESS_SERVE_SESSION_H
#define FFL_HARNESS_SERVE_SESSION_H

#include "harness/encoder/layer_times.h"
#include "harness/encoder/task.h"
#include "harness/encoder/verify.h"
#include "harness/worker.h"

/* Passes that may be compared: they run in one place, and on a device with rows and weights of one type. */
typedef struct ffl_serve_side {
    ffl_place place;
    ffl_type storage, weights; /* on the host: FFL_F32, whatever the variant's are */
} ffl_serve_side;

typedef struct ffl_serve_session {
    ffl_answer *answer;
    const json_t *request;
    ffl_encoder_task task;
    ffl_encoder_reference reference[2]; /* by operation, made when first needed */
    bool has_reference[2];
    size_t first; /* sequence that the references are of */
    int threads;
    ffl_serve_side side;      /* at work: one after the other, each with a baseline of its own */
    const ffl_variant *dense; /* the baseline */
    ffl_encoder *baseline;
    double dense_penalty;  /* its feedforward layers: time in place / alone */
    double start, seconds; /* of the job, monotonic; what it may take, 0: no limit */
    size_t rows_left;      /* to share that time */
    size_t trees_run;      /* variants beside the baseline that have their row */
    bool counting;         /* --counters: … */
    ffl_events events;     /* … these */
    float *inputs[2]; /* [layers][tokens][width]: what feedforward layers were given: the baseline's, and the
                         variant's */
} ffl_serve_session;

/* ---- baseline.c ---- */

/* The layer that the variant evaluates: a dense one takes all neurons of the trees. */
ffl_layer ffl_serve_layer(const ffl_serve_session *s, const ffl_variant *variant);

ffl_serve_side ffl_serve_side_of(const ffl_variant *variant);
bool ffl_serve_same_side(const ffl_serve_side *side, const ffl_variant *variant);

/* One layer on `tokens` random rows: best of a few runs, in seconds; of a device, its own. */
ffl_status ffl_serve_probe(const ffl_serve_session *s, const ffl_variant *variant, size_t tokens,
                           double *seconds);

/* s->dense: the fastest dense variant of s->side for this many tokens; of the host, f32. FFL_UNSUPPORTED,
 * with a reason, when there is none. */
ffl_status ffl_serve_find_dense(ffl_serve_session *s);

/* ---- verified_pass.c ---- */

/* s->reference[operation], if it is not there yet. */
ffl_status ffl_serve_reference(ffl_serve_session *s, ffl_operation operation);

/* One verified pass; files of --dump unless index < 0 (nobody asked for this variant). Its feedforward inputs
 * are kept in s->inputs. */
ffl_status ffl_serve_verify(ffl_serve_session *s, int index, const ffl_variant *variant, ffl_encoder *e,
                            ffl_encoder_verdict *out);

/* The timed passes must have been the verified one: `timed`, the state that the last of them left, is
 * compared with it. */
void ffl_serve_hold(ffl_encoder_verdict *out, const ffl_variant *variant, const float *verified,
                    const float *timed, size_t count);

/* ---- paired_passes.c ---- */

/* Pairs of passes, one at least, in about `share` seconds (NAN: as the file thinks best). Those of the
 * baseline with itself also set s->dense_penalty. `times`: of e's passes. */
ffl_status ffl_serve_measure(ffl_serve_session *s, ffl_encoder *e, double share, ffl_pass_pairs *out,
                             ffl_layer_times *times);

/* How often each layer that runs counts (plan.h). */
double ffl_serve_scale(const ffl_serve_session *s);

/* ---- answers.c ---- */

ffl_status ffl_serve_model(ffl_serve_session *s);

/* The row of a variant: verdict, times, where they went (answers.h). */
ffl_status ffl_serve_row(const ffl_serve_session *s, int index, const ffl_variant *variant,
                         const ffl_encoder *e, const ffl_encoder_verdict *verdict,
                         const ffl_pass_pairs *pairs, const ffl_layer_times *times, json_t **out);

#endif
