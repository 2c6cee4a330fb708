/* The timed passes of a variant (pairs.h). */
#include "harness/encoder/plan.h"
#include "harness/encoder/serve_session.h"
#include "reports/passes.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Of timed passes per variant when nothing asks for less. */
static const double row_seconds_max = 25;

/* Layers that were left out are as those that were run. */
double ffl_serve_scale(const ffl_serve_session *s)
{
    return (double)s->task.layers / (double)s->task.weights.config.layers;
}

/* times: NULL, or where its layers go, too. */
static ffl_status pass(ffl_serve_session *s, ffl_encoder *e, double parts[FFL_PART_COUNT],
                       ffl_layer_times *times)
{
    const ffl_encoder_event *events;
    const double scale = ffl_serve_scale(s);
    ffl_encoder_clear_times(e);
    FFL_TRY(ffl_encoder_run(e, &s->task.input, true));
    const size_t count = ffl_encoder_events(e, &events);
    if (times)
        ffl_layer_times_add(times, events, count);
    memset(parts, 0, FFL_PART_COUNT * sizeof *parts);
    for (size_t i = 0; i < count; i++)
        parts[events[i].part] += events[i].ns * (events[i].layer == SIZE_MAX ? 1 : scale);
    return ffl_answer_send(s->answer, json_pack("{s:i}", "at", -1));
}

/* The variant's pass and its layers alone; these do not touch the state that the pass left. */
static ffl_status own_side(ffl_serve_session *s, ffl_encoder *e, double parts[FFL_PART_COUNT], double *alone,
                           ffl_layer_times *times)
{
    FFL_TRY(pass(s, e, parts, times));
    FFL_TRY(ffl_encoder_feedforward_alone(e, s->inputs[e != s->baseline], alone));
    *alone *= ffl_serve_scale(s);
    return FFL_OK;
}

static ffl_status one_pair(ffl_serve_session *s, ffl_encoder *e, ffl_pass_pairs *out, ffl_layer_times *times)
{
    const size_t n = out->count++;
    if (n % 2 == 0)
        FFL_TRY(pass(s, s->baseline, out->dense[n], NULL));
    FFL_TRY(own_side(s, e, out->own[n], &out->alone[n], times));
    return n % 2 ? pass(s, s->baseline, out->dense[n], NULL) : FFL_OK;
}

/* Is there time for one more? A few pairs may overdraw the row's share of the time: later rows then have
 * less. */
static bool goes_on(const ffl_pass_pairs *pairs, double elapsed, double share)
{
    const double next = elapsed + elapsed / (double)pairs->count;
    if (pairs->count >= FFL_PAIRS_MAX)
        return false;
    return next <= (pairs->count < FFL_PLAN_PAIRS ? 1.5 : 1) * share;
}

ffl_status ffl_serve_measure(ffl_serve_session *s, ffl_encoder *e, double share, ffl_pass_pairs *out,
                             ffl_layer_times *times)
{
    const double start = ffl_pass_clock_ns();
    const double most = isnan(share) || share > row_seconds_max ? row_seconds_max : share;
    out->count = 0;
    do
        FFL_TRY(one_pair(s, e, out, times));
    while (goes_on(out, 1e-9 * (ffl_pass_clock_ns() - start), most));
    if (e == s->baseline) {
        double penalty[FFL_PAIRS_MAX];
        for (size_t i = 0; i < out->count; i++)
            penalty[i] = out->own[i][FFL_PART_FEEDFORWARD] / out->alone[i];
        s->dense_penalty = ffl_spread_of(penalty, out->count).median;
    }
    return FFL_OK;
}
