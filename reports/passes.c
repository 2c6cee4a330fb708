#include "reports/passes.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Largest k >= 1 such that fewer than k of `count` fair coins show heads with at most 2.5 %; and that chance.
 */
static size_t outer_rank(size_t count, double *tail)
{
    double chance = pow(0.5, (double)count), below = chance;
    size_t k = 1;
    while (k < (count + 1) / 2) {
        chance *= (double)(count - k + 1) / (double)k;
        if (below + chance > 0.025)
            break;
        below += chance;
        k++;
    }
    *tail = below;
    return k;
}

ffl_spread ffl_spread_of(double *values, size_t count)
{
    double tail;
    qsort(values, count, sizeof *values, ascending);
    ffl_spread out = {.median = (values[(count - 1) / 2] + values[count / 2]) / 2, .low = NAN, .high = NAN};
    if (count > 1) {
        const size_t k = outer_rank(count, &tail);
        out.low = values[k - 1];
        out.high = values[count - k];
    }
    return out;
}

double ffl_spread_coverage(size_t count)
{
    double tail = 0.5;
    if (count > 1)
        outer_rank(count, &tail);
    return 1 - 2 * tail;
}

/* ---- Reading ---- */

/* The pairs as they came, part by part. */
typedef struct pairs {
    size_t count, parts, feedforward, logits; /* logits: == parts when there are none */
    const json_t *dense, *own, *alone;
    double penalty;
} pairs;

static double number(const json_t *array, size_t i)
{
    const json_t *value = json_array_get(array, i);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static double part(const json_t *passes, size_t pair, size_t p)
{
    return number(json_array_get(passes, pair), p);
}

static ffl_status read_names(const json_t *encoder, pairs *in, ffl_pass_answer *out)
{
    const json_t *names = json_object_get(encoder, "parts");
    in->parts = json_array_size(names);
    in->feedforward = in->logits = in->parts;
    if (in->parts < 1 || in->parts > FFL_PASS_PARTS_MAX)
        return ffl_fail(FFL_BAD_INPUT, "encoder.parts: expected 1 to %d names", FFL_PASS_PARTS_MAX);
    for (size_t p = 0; p < in->parts; p++) {
        out->name[p] = json_string_value(json_array_get(names, p));
        if (!out->name[p])
            return ffl_fail(FFL_BAD_INPUT, "encoder.parts, item %zu: not a name", p);
        if (strcmp(out->name[p], "feedforward") == 0)
            in->feedforward = p;
        if (strcmp(out->name[p], "logits") == 0)
            in->logits = p;
    }
    return in->feedforward < in->parts
               ? FFL_OK
               : ffl_fail(FFL_BAD_INPUT, "encoder.parts: no \"feedforward\" among them");
}

static ffl_status check_passes(const json_t *passes, const char *name, const pairs *in)
{
    for (size_t i = 0; i < in->count; i++) {
        const json_t *pass = json_array_get(passes, i);
        if (json_array_size(pass) != in->parts)
            return ffl_fail(FFL_BAD_INPUT, "encoder.%s, item %zu: expected %zu times", name, i, in->parts);
        for (size_t p = 0; p < in->parts; p++)
            if (!(number(pass, p) >= 0 && number(pass, p) < 1e18))
                return ffl_fail(FFL_BAD_INPUT, "encoder.%s, item %zu: not times", name, i);
        if (!(number(pass, in->feedforward) > 0))
            return ffl_fail(FFL_BAD_INPUT, "encoder.%s, item %zu: no time in the feedforward layers", name,
                            i);
    }
    return FFL_OK;
}

static ffl_status read_pairs(const json_t *encoder, pairs *in, ffl_pass_answer *out)
{
    FFL_TRY(read_names(encoder, in, out));
    in->dense = json_object_get(encoder, "dense_ns");
    in->own = json_object_get(encoder, "own_ns");
    in->alone = json_object_get(encoder, "alone_ns");
    in->count = json_array_size(in->alone);
    const json_t *penalty = json_object_get(encoder, "dense_penalty");
    in->penalty = json_is_number(penalty) ? json_number_value(penalty) : NAN;
    if (in->count < 1 || in->count > FFL_PASS_PAIRS_MAX)
        return ffl_fail(FFL_BAD_INPUT, "encoder.alone_ns: expected 1 to %d times", FFL_PASS_PAIRS_MAX);
    if (!(in->penalty > 0 && in->penalty < 1e6))
        return ffl_fail(FFL_BAD_INPUT, "encoder.dense_penalty: expected a positive number");
    for (size_t i = 0; i < in->count; i++)
        if (!(number(in->alone, i) > 0 && number(in->alone, i) < 1e18))
            return ffl_fail(FFL_BAD_INPUT, "encoder.alone_ns, item %zu: not a time", i);
    if (json_array_size(in->dense) != in->count || json_array_size(in->own) != in->count)
        return ffl_fail(FFL_BAD_INPUT, "encoder.dense_ns and own_ns: expected %zu passes each", in->count);
    FFL_TRY(check_passes(in->dense, "dense_ns", in));
    return check_passes(in->own, "own_ns", in);
}

/* ---- The answer ---- */

static double total(const json_t *passes, size_t pair, const pairs *in, bool logits)
{
    double sum = 0;
    for (size_t p = 0; p < in->parts; p++)
        sum += logits || p != in->logits ? part(passes, pair, p) : 0;
    return sum;
}

static ffl_pass_view view_of(const pairs *in, bool logits)
{
    enum { PASS, DENSE, SHARE, LIMIT, CEILING, SPEED_UP, OF_CEILING, QUANTITIES };
    double value[QUANTITIES][FFL_PASS_PAIRS_MAX];
    ffl_spread spread[QUANTITIES];
    for (size_t i = 0; i < in->count; i++) {
        const double dense = total(in->dense, i, in, logits), own = total(in->own, i, in, logits);
        const double f = part(in->dense, i, in->feedforward) / dense,
                     s = part(in->dense, i, in->feedforward) / in->penalty / number(in->alone, i);
        value[PASS][i] = own;
        value[DENSE][i] = dense;
        value[SHARE][i] = f;
        value[LIMIT][i] = 1 / (1 - f);
        value[CEILING][i] = 1 / (1 - f + f / s);
        value[SPEED_UP][i] = dense / own;
        value[OF_CEILING][i] = value[SPEED_UP][i] / value[CEILING][i];
    }
    for (size_t q = 0; q < QUANTITIES; q++)
        spread[q] = ffl_spread_of(value[q], in->count);
    return (ffl_pass_view){.pass_ns = spread[PASS],
                           .dense_ns = spread[DENSE],
                           .share = spread[SHARE],
                           .limit = spread[LIMIT],
                           .ceiling = spread[CEILING],
                           .speed_up = spread[SPEED_UP],
                           .of_ceiling = spread[OF_CEILING]};
}

static void fill_parts(const pairs *in, ffl_pass_answer *out)
{
    double own[FFL_PASS_PAIRS_MAX], dense[FFL_PASS_PAIRS_MAX], missing[FFL_PASS_PAIRS_MAX];
    for (size_t p = 0; p < in->parts; p++) {
        for (size_t i = 0; i < in->count; i++) {
            own[i] = part(in->own, i, p);
            dense[i] = part(in->dense, i, p);
            missing[i] = own[i] - (p == in->feedforward ? in->penalty * number(in->alone, i) : dense[i]);
        }
        out->own_ns[p] = ffl_spread_of(own, in->count);
        out->dense_ns[p] = ffl_spread_of(dense, in->count);
        out->missing_ns[p] = ffl_spread_of(missing, in->count);
    }
}

static void fill_kernel(const pairs *in, ffl_pass_answer *out)
{
    double alone[FFL_PASS_PAIRS_MAX], speed_up[FFL_PASS_PAIRS_MAX], context[FFL_PASS_PAIRS_MAX];
    for (size_t i = 0; i < in->count; i++) {
        alone[i] = number(in->alone, i);
        speed_up[i] = part(in->dense, i, in->feedforward) / in->penalty / alone[i];
        context[i] = part(in->own, i, in->feedforward) / alone[i];
    }
    out->alone_ns = ffl_spread_of(alone, in->count);
    out->kernel_speed_up = ffl_spread_of(speed_up, in->count);
    out->context_penalty = ffl_spread_of(context, in->count);
}

/* Optional: what is not there is not measured. */
static void fill_shares(const json_t *encoder, const pairs *in, ffl_pass_answer *out)
{
    const json_t *flops = json_object_get(encoder, "flops");
    double all = 0;
    for (size_t p = 0; p < in->parts; p++)
        all += number(flops, p);
    const double feedforward = number(flops, in->feedforward),
                 logits = in->logits < in->parts ? number(flops, in->logits) : 0;
    out->whole_share = feedforward / all;
    out->body_share = feedforward / (all - logits);
}

ffl_status ffl_pass_answer_of(const json_t *encoder, ffl_pass_answer *out)
{
    pairs in;
    *out = (ffl_pass_answer){0};
    FFL_TRY(read_pairs(encoder, &in, out));
    out->pairs = in.count;
    out->parts = in.parts;
    out->feedforward = in.feedforward;
    out->dense_penalty = in.penalty;
    out->whole = view_of(&in, true);
    out->body = view_of(&in, false);
    fill_kernel(&in, out);
    fill_parts(&in, out);
    fill_shares(encoder, &in, out);
    return FFL_OK;
}
