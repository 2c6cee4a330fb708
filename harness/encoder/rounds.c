#include "harness/encoder/serve_session.h"
#include <stdlib.h>
#include <string.h>

/* Of timed passes per variant, the baseline's included. */
static const double row_seconds = 4;

static double seconds(void)
{
    return 1e-9 * ffl_pass_clock_ns();
}

static int ascending(const void *a, const void *b)
{
    const double l = *(const double *)a, r = *(const double *)b;
    return (l > r) - (l < r);
}

double ffl_rounds_median(const double *values, size_t count)
{
    double sorted[FFL_ROUNDS_MAX];
    memcpy(sorted, values, count * sizeof *values);
    qsort(sorted, count, sizeof *sorted, ascending);
    return count % 2 ? sorted[count / 2] : 0.5 * (sorted[count / 2 - 1] + sorted[count / 2]);
}

static ffl_status pass(ffl_serve_session *s, ffl_encoder *e, double parts[FFL_PART_COUNT])
{
    ffl_encoder_clear_times(e);
    FFL_TRY(ffl_encoder_run(e, &s->task.input, true));
    memcpy(parts, ffl_encoder_times(e), FFL_PART_COUNT * sizeof *parts);
    return FFL_OK;
}

ffl_pass_times ffl_rounds_summary(double (*rounds)[FFL_PART_COUNT], size_t count)
{
    ffl_pass_times out = {.pass = 0};
    double value[FFL_ROUNDS_MAX], body[FFL_ROUNDS_MAX];
    for (size_t p = 0; p < FFL_PART_COUNT; p++) {
        for (size_t r = 0; r < count; r++)
            value[r] = rounds[r][p];
        out.part[p] = ffl_rounds_median(value, count);
    }
    for (size_t r = 0; r < count; r++) {
        value[r] = 0;
        for (size_t p = 0; p < FFL_PART_COUNT; p++)
            value[r] += rounds[r][p];
        body[r] = value[r] - rounds[r][FFL_PART_LOGITS];
    }
    out.pass = ffl_rounds_median(value, count);
    out.body = ffl_rounds_median(body, count);
    return out;
}

/* The feedforward layers alone do not touch the state that the pass left. */
ffl_status ffl_serve_measure(ffl_serve_session *s, ffl_encoder *e, size_t *rounds, ffl_pass_times *own,
                             ffl_pass_times *base)
{
    double mine[FFL_ROUNDS_MAX][FFL_PART_COUNT], theirs[FFL_ROUNDS_MAX][FFL_PART_COUNT],
        alone[FFL_ROUNDS_MAX];
    const bool is_base = e == s->baseline;
    const double start = seconds();
    size_t n = 0, bases = 0;
    while (n < FFL_ROUNDS_MIN || (n < FFL_ROUNDS_MAX && seconds() - start < row_seconds)) {
        if (n && !is_base)
            FFL_TRY(pass(s, s->baseline, theirs[bases++]));
        FFL_TRY(ffl_answer_send(s->answer, json_pack("{s:i}", "at", -1)));
        FFL_TRY(pass(s, e, mine[n]));
        FFL_TRY(ffl_encoder_feedforward_alone(e, s->inputs[!is_base], &alone[n]));
        n++;
    }
    *rounds = n;
    *own = ffl_rounds_summary(mine, n);
    own->alone = ffl_rounds_median(alone, n);
    if (is_base)
        s->dense_alone = own->alone;
    *base = is_base ? *own : ffl_rounds_summary(theirs, bases);
    base->alone = s->dense_alone;
    return FFL_OK;
}
