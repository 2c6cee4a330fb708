#include "harness/check/checks.h"
#include "harness/check/choices.h"
#include "harness/check/expected.h"
#include "harness/check/match.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdio.h>

struct ffl_judge {
    const ffl_layer *layer;
    ffl_arithmetic arithmetic;
    const float *x;
    size_t ldx;
    size_t *rows; /* [expected.row_count] */
    ffl_expected expected;
};

const char *ffl_verdict_name(ffl_verdict verdict)
{
    static const char *const names[FFL_VERDICT_COUNT] = {"PASSED",  "SUSPECT",     "FAILED", "CRASHED",
                                                         "TIMEOUT", "UNSUPPORTED", "SKIPPED"};
    return names[verdict];
}

void ffl_verdict_counts(const size_t counts[FFL_VERDICT_COUNT], char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "so far: ");
    const char *comma = "";
    for (int v = 0; v < FFL_VERDICT_COUNT && used < size; v++)
        if (counts[v]) {
            used += (size_t)snprintf(out + used, size - used, "%s%zu %s", comma, counts[v],
                                     ffl_verdict_name((ffl_verdict)v));
            comma = ", ";
        }
}

ffl_status ffl_judge_new(const ffl_layer *layer, const ffl_contract *contract, ffl_data data, const float *x,
                         size_t ldx, size_t tokens, const size_t *rows, size_t row_count, ffl_judge **out)
{
    *out = NULL;
    if (!rows)
        row_count = tokens;
    ffl_judge *judge = ffl_alloc(sizeof *judge);
    if (!judge)
        return FFL_NO_MEMORY;
    *judge = (ffl_judge){.layer = layer, .x = x, .ldx = ldx};
    judge->rows = ffl_alloc_array(row_count, sizeof *judge->rows);
    ffl_status status = judge->rows ? FFL_OK : FFL_NO_MEMORY;
    for (size_t i = 0; i < row_count && status == FFL_OK; i++) {
        judge->rows[i] = rows ? rows[i] : i;
        if (judge->rows[i] >= tokens)
            status = ffl_fail(FFL_INTERNAL, "asked to judge row %zu of %zu", judge->rows[i], tokens);
    }
    if (status == FFL_OK) {
        judge->arithmetic = ffl_arithmetic_new(layer, contract, data);
        status = ffl_expected_new(&judge->arithmetic, x, ldx, judge->rows, row_count, &judge->expected);
    }
    if (status != FFL_OK) {
        ffl_judge_free(judge);
        return status;
    }
    *out = judge;
    return FFL_OK;
}

/* After this many failed rows the verdict is clear: others that miss the reference path are not searched. */
enum { FAILURES_SEARCHED = 16 };

/* One pass over the rows. The walk, or the experts, are made when the first row misses the reference. */
typedef struct pass {
    const ffl_judge *judge;
    const float *got;
    size_t ldy;
    const int32_t *trace;
    ffl_walk walk;
    ffl_experts experts;
    bool has_walk;
    ffl_judgement *out;
} pass;

static double larger(double a, double b)
{
    return a > b || isnan(b) ? a : b;
}

/* Says why a row did not pass, where no row before it did worse. */
static void explain(const pass *p, size_t index, ffl_verdict verdict, const char *detail)
{
    const ffl_judge *judge = p->judge;
    const ffl_expected *e = &judge->expected;
    ffl_judgement *out = p->out;
    if (verdict <= out->verdict)
        return;
    out->verdict = verdict;
    out->located = true;
    out->row = judge->rows[index];
    const size_t at = index * e->width;
    const double *y = e->y + at;
    const float *got = p->got + judge->rows[index] * p->ldy;
    if (judge->arithmetic.data == FFL_DATA_EXACT) {
        const size_t j = out->element = ffl_compare_exact(got, y, e->width);
        snprintf(out->reason, sizeof out->reason, "row %zu element %zu: got %.9g, expected exactly %.9g%s",
                 judge->rows[index], j, (double)got[j], (double)(float)y[j], detail);
        return;
    }
    const float *bound = (verdict == FFL_SUSPECT ? e->statistical : e->worst) + at;
    size_t j = 0;
    while (j + 1 < e->width && fabs((double)got[j] - y[j]) <= (double)bound[j])
        j++;
    out->element = j;
    const double error = fabs((double)got[j] - y[j]);
    snprintf(out->reason, sizeof out->reason,
             "row %zu element %zu: got %.9g, expected %.9g; the error %.3g is %.3g times the %s bound%s",
             judge->rows[index], j, (double)got[j], y[j], error, error / (double)bound[j],
             verdict == FFL_SUSPECT ? "statistical" : "worst-case", detail);
}

/* Is the row what another judged row should be? Then its place is wrong, not its arithmetic. */
static void find_owner(const pass *p, size_t index, char *out, size_t size)
{
    const ffl_expected *e = &p->judge->expected;
    const float *got = p->got + p->judge->rows[index] * p->ldy;
    for (size_t i = 0; i < e->row_count; i++) {
        const size_t at = i * e->width;
        if (!e->bounded[i] || !(fabs((double)got[0] - e->y[at]) <= (double)e->worst[at]) ||
            !(ffl_compare(got, e->y + at, e->statistical + at, e->worst + at, e->width).worst <= 1))
            continue;
        if (i == index) /* only on exact data does a row fail that its own bounds explain */
            snprintf(out, size, "; rounding would explain it, but these data leave nothing to round");
        else
            snprintf(out, size, "; it equals the output of row %zu", p->judge->rows[i]);
        return;
    }
}

/* Walks the row again, or weighs its gates, with everything the search needs. */
static ffl_status walk_row(pass *p, size_t index)
{
    const ffl_judge *judge = p->judge;
    const float *x = judge->x + judge->rows[index] * judge->ldx;
    const bool experts = ffl_operation_has_experts(judge->layer->operation);
    if (!p->has_walk)
        FFL_TRY(experts ? ffl_experts_new(judge->layer, &judge->arithmetic, &p->experts)
                        : ffl_walk_new(judge->layer, &judge->arithmetic, &p->walk));
    p->has_walk = true;
    return experts ? ffl_experts_row(&p->experts, x) : ffl_walk_row(&p->walk, x);
}

static ffl_status fail_row(pass *p, size_t index)
{
    char detail[256] = "";
    const ffl_layer *l = p->judge->layer;
    const float *got = p->got + p->judge->rows[index] * p->ldy;
    if (p->out->verdict < FFL_FAILED) {
        find_owner(p, index, detail, sizeof detail);
        if (!detail[0] && l->operation != FFL_FF) {
            FFL_TRY(walk_row(p, index));
            FFL_TRY(l->operation == FFL_FFF ? ffl_match_hint(&p->walk, got, detail, sizeof detail)
                                            : ffl_choices_hint(&p->experts, got, detail, sizeof detail));
        }
    }
    p->out->failed_rows++;
    explain(p, index, FFL_FAILED, detail);
    return FFL_OK;
}

/* The row misses the statistical bounds of the reference path: another path, or an error? */
static ffl_status search_row(pass *p, size_t index, ffl_errors *errors)
{
    const ffl_judge *judge = p->judge;
    const ffl_layer *l = judge->layer;
    ffl_judgement *out = p->out;
    ffl_match match = {.verdict = errors->worst <= 1 ? FFL_SUSPECT : FFL_FAILED};
    if (l->operation != FFL_FF && out->failed_rows < FAILURES_SEARCHED &&
        ffl_check_on(FFL_CHECK_OTHER_PATHS)) {
        const int32_t *trace = p->trace ? p->trace + judge->rows[index] * l->trees * l->levels : NULL;
        const float *got = p->got + judge->rows[index] * p->ldy;
        FFL_TRY(walk_row(p, index));
        FFL_TRY(l->operation == FFL_FFF ? ffl_match_row(&p->walk, got, *errors, trace, &match)
                                        : ffl_choices_match(&p->experts, got, *errors, &match));
        *errors = match.errors;
    }
    if (match.unbounded) {
        out->rows--;
        out->unbounded_rows++;
        *errors = (ffl_errors){0, 0};
        return FFL_OK;
    }
    if (match.flipped) {
        out->flips++;
        out->flip_margin = larger(match.margin, out->flip_margin);
    }
    char detail[300] = "";
    if (match.reason[0])
        snprintf(detail, sizeof detail, "; %s", match.reason);
    if (match.weak) {
        out->weak = true;
        if (match.verdict == FFL_PASSED && !out->reason[0])
            snprintf(out->reason, sizeof out->reason, "row %zu%s", judge->rows[index], detail);
    }
    if (match.verdict == FFL_SUSPECT) {
        out->suspect_rows++;
        explain(p, index, FFL_SUSPECT, match.flipped ? "; it matches along another path" : detail);
    }
    if (match.verdict != FFL_FAILED)
        return FFL_OK;
    if (!detail[0])
        return fail_row(p, index);
    out->failed_rows++;
    explain(p, index, FFL_FAILED, detail);
    return FFL_OK;
}

static bool is_exact(const ffl_layer *layer, const float *got, const double *y)
{
    return ffl_operation_has_experts(layer->operation)
               ? ffl_experts_exact(layer, got, y)
               : ffl_compare_exact(got, y, layer->width_out) == layer->width_out;
}

static ffl_status judge_row(pass *p, size_t index)
{
    const ffl_expected *e = &p->judge->expected;
    const float *got = p->got + p->judge->rows[index] * p->ldy;
    const size_t at = index * e->width;
    p->out->rows++;
    if (p->judge->arithmetic.data == FFL_DATA_EXACT)
        return is_exact(p->judge->layer, got, e->y + at) ? FFL_OK : fail_row(p, index);
    ffl_errors errors = ffl_compare(got, e->y + at, e->statistical + at, e->worst + at, e->width);
    if (!(errors.statistical <= 1))
        FFL_TRY(search_row(p, index, &errors));
    p->out->error_statistical = larger(errors.statistical, p->out->error_statistical);
    p->out->error_worst = larger(errors.worst, p->out->error_worst);
    return FFL_OK;
}

ffl_status ffl_judge_rows(const ffl_judge *judge, const float *got, size_t ldy, const int32_t *trace,
                          ffl_judgement *out)
{
    *out = (ffl_judgement){.flip_margin = NAN, .error_statistical = NAN, .error_worst = NAN};
    pass p = {.judge = judge, .got = got, .ldy = ldy, .trace = trace, .out = out};
    ffl_status status = FFL_OK;
    for (size_t i = 0; i < judge->expected.row_count && status == FFL_OK; i++) {
        if (judge->expected.bounded[i])
            status = judge_row(&p, i);
        else
            out->unbounded_rows++;
    }
    ffl_walk_free(&p.walk);
    ffl_experts_free(&p.experts);
    FFL_TRY(status);
    if (out->rows == 0) {
        out->weak = true;
        snprintf(out->reason, sizeof out->reason,
                 "no row has a bound: inputs are not finite or sums may overflow");
    }
    return FFL_OK;
}

void ffl_judge_free(ffl_judge *judge)
{
    if (!judge)
        return;
    ffl_expected_free(&judge->expected);
    ffl_free(judge->rows);
    ffl_free(judge);
}
