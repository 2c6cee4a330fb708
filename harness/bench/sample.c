#include "harness/bench/sample.h"
#include "harness/check/checks.h"
#include "harness/workload/random.h"
#include "kernels/memory.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { CALLS_MOST = 32, ROWS_PER_CALL = 4, ROWS_MOST = 64 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A dense row of 4095 neurons takes the judge a millisecond, one of 49152 wide ones half a second. */
static size_t affordable_rows(const ffl_layer *l)
{
    if (l->operation != FFL_FF)
        return ROWS_MOST;
    const double products = (double)l->neurons * (double)(l->width_in + l->width_out);
    const double rows = 1.5e8 / (products + 1);
    return rows < 1 ? 1 : rows > ROWS_MOST ? ROWS_MOST : (size_t)rows;
}

/* One call out of each of equal parts. */
static void draw_calls(ffl_sample *s, size_t calls)
{
    ffl_random random = ffl_random_new(s->seed, 0);
    for (size_t i = 0; i < s->count; i++) {
        const size_t from = calls * i / s->count, to = calls * (i + 1) / s->count;
        s->calls[i] = from + ffl_random_below(&random, to - from);
    }
}

ffl_status ffl_sample_new(const ffl_layer *layer, size_t calls, size_t tokens, ffl_sample *out)
{
    *out = (ffl_sample){.layer = layer, .per_call = smaller(tokens, ROWS_PER_CALL)};
    if (!ffl_check_on(FFL_CHECK_TIMED_SAMPLE))
        return FFL_OK;
    const size_t rows = affordable_rows(layer);
    out->per_call = smaller(out->per_call, rows);
    out->count = smaller(smaller(calls, CALLS_MOST), rows / out->per_call);
    if (getrandom(&out->seed, sizeof out->seed, 0) != (ssize_t)sizeof out->seed)
        return ffl_fail(FFL_IO, "no random seed from the operating system: %s", strerror(errno));
    out->calls = ffl_alloc_array(out->count, sizeof *out->calls);
    out->x = ffl_alloc_array(out->count * out->per_call * layer->width_in, sizeof *out->x);
    out->y = ffl_alloc_array(out->count * out->per_call * layer->width_out, sizeof *out->y);
    out->saved = ffl_alloc_array(out->per_call * layer->width_in, sizeof *out->saved);
    if (!out->calls || !out->x || !out->y || !out->saved) {
        ffl_sample_free(out);
        return FFL_NO_MEMORY;
    }
    draw_calls(out, calls);
    return FFL_OK;
}

/* Distinct rows, one out of each of equal parts of the batch. */
static void draw_places(ffl_sample *s, ffl_random *random, size_t tokens)
{
    for (size_t k = 0; k < s->per_call; k++) {
        const size_t from = tokens * k / s->per_call, to = tokens * (k + 1) / s->per_call;
        s->place[k] = from + ffl_random_below(random, to - from);
    }
}

bool ffl_sample_begin(ffl_sample *s, size_t index, const float *ring, size_t ring_rows, float *x, float *y,
                      size_t tokens)
{
    const size_t in = s->layer->width_in, out = s->layer->width_out;
    if (s->next == s->count || index != s->calls[s->next])
        return false;
    ffl_random random = ffl_random_new(s->seed, 1 + s->next);
    draw_places(s, &random, tokens);
    for (size_t k = 0; k < s->per_call; k++) {
        float *row = x + s->place[k] * in, *fresh = s->x + (s->rows + k) * in;
        const float *other = ring + ffl_random_below(&random, ring_rows) * in;
        const float factor = 1 + 0.01f * (float)(2 * ffl_random_uniform(&random) - 1);
        for (size_t i = 0; i < in; i++)
            fresh[i] = factor * other[i];
        memcpy(s->saved + k * in, row, in * sizeof *row);
        for (size_t j = 0; j < out; j++)
            y[s->place[k] * out + j] = (float)(ffl_random_uniform(&random) - 0.5);
    }
    for (size_t k = 0; k < s->per_call; k++)
        memcpy(x + s->place[k] * in, s->x + (s->rows + k) * in, in * sizeof *x);
    return true;
}

void ffl_sample_end(ffl_sample *s, float *x, const float *y)
{
    const size_t in = s->layer->width_in, out = s->layer->width_out;
    for (size_t k = 0; k < s->per_call; k++) {
        memcpy(x + s->place[k] * in, s->saved + k * in, in * sizeof *x);
        memcpy(s->y + (s->rows + k) * out, y + s->place[k] * out, out * sizeof *y);
    }
    s->rows += s->per_call;
    s->next++;
}

ffl_status ffl_sample_judge(const ffl_sample *s, const ffl_contract *contract, ffl_judgement *out)
{
    ffl_judge *judge;
    *out = (ffl_judgement){.verdict = FFL_PASSED};
    if (s->rows == 0)
        return FFL_OK;
    FFL_TRY(ffl_judge_new(s->layer, contract, FFL_DATA_GENERAL, s->x, s->layer->width_in, s->rows, NULL, 0,
                          &judge));
    const ffl_status status = ffl_judge_rows(judge, s->y, s->layer->width_out, NULL, out);
    ffl_judge_free(judge);
    FFL_TRY(status);
    char reason[sizeof out->reason];
    size_t row = 0;
    if (sscanf(out->reason, "row %zu", &row) == 1 && row < s->rows) {
        snprintf(reason, sizeof reason, "timed call %zu, drawn by seed %llu: %.400s",
                 s->calls[row / s->per_call], (unsigned long long)s->seed, out->reason);
        memcpy(out->reason, reason, sizeof reason);
    }
    return FFL_OK;
}

void ffl_sample_free(ffl_sample *s)
{
    ffl_free(s->calls);
    ffl_free(s->x);
    ffl_free(s->y);
    ffl_free(s->saved);
    *s = (ffl_sample){0};
}
