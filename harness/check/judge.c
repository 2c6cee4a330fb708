#include "harness/check/compare.h"
#include "harness/check/expected.h"
#include "kernels/memory.h"
#include <math.h>
#include <stdarg.h>
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

/* Keeps the first reason of the gravest verdict. */
__attribute__((format(printf, 3, 4))) static void note(ffl_judgement *out, ffl_verdict verdict,
                                                       const char *format, ...)
{
    if (out->reason[0] && verdict <= out->verdict)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out->reason, sizeof out->reason, format, arguments);
    va_end(arguments);
}

static void judge_exact_row(const ffl_judge *judge, size_t index, const float *got, ffl_judgement *out)
{
    const ffl_expected *e = &judge->expected;
    const double *y = e->y + index * e->width;
    const size_t j = ffl_compare_exact(got, y, e->width);
    if (j == e->width)
        return;
    out->failed_rows++;
    note(out, FFL_FAILED, "row %zu element %zu: got %.9g, expected exactly %.9g", judge->rows[index], j,
         (double)got[j], (double)(float)y[j]);
    out->verdict = FFL_FAILED;
}

static void judge_row(const ffl_judge *judge, size_t index, const float *got, ffl_judgement *out)
{
    const ffl_expected *e = &judge->expected;
    const size_t at = index * e->width;
    const ffl_errors errors = ffl_compare(got, e->y + at, e->statistical + at, e->worst + at, e->width);
    out->error_statistical = fmax(out->error_statistical, errors.statistical);
    out->error_worst = fmax(out->error_worst, errors.worst);
    if (errors.statistical <= 1)
        return;
    const ffl_verdict verdict = errors.worst <= 1 ? FFL_SUSPECT : FFL_FAILED;
    const float *bound = (verdict == FFL_SUSPECT ? e->statistical : e->worst) + at;
    size_t j = 0;
    while (fabs((double)got[j] - e->y[at + j]) <= (double)bound[j])
        j++;
    const double error = fabs((double)got[j] - e->y[at + j]);
    note(out, verdict,
         "row %zu element %zu: got %.9g, expected %.9g; the error %.3g is %.3g times the %s bound",
         judge->rows[index], j, (double)got[j], e->y[at + j], error, error / (double)bound[j],
         verdict == FFL_SUSPECT ? "statistical" : "worst-case");
    out->suspect_rows += verdict == FFL_SUSPECT;
    out->failed_rows += verdict == FFL_FAILED;
    out->verdict = verdict > out->verdict ? verdict : out->verdict;
}

ffl_status ffl_judge_rows(const ffl_judge *judge, const float *got, size_t ldy, const int32_t *trace,
                          ffl_judgement *out)
{
    (void)trace;
    const bool exact = judge->arithmetic.data == FFL_DATA_EXACT;
    *out = (ffl_judgement){.flip_margin = NAN, .error_statistical = NAN, .error_worst = NAN};
    for (size_t i = 0; i < judge->expected.row_count; i++) {
        if (!judge->expected.bounded[i]) {
            out->unbounded_rows++;
            continue;
        }
        out->rows++;
        if (exact)
            judge_exact_row(judge, i, got + judge->rows[i] * ldy, out);
        else
            judge_row(judge, i, got + judge->rows[i] * ldy, out);
    }
    if (out->rows == 0) {
        out->weak = true;
        note(out, FFL_PASSED, "no row has a bound: inputs are not finite or sums may overflow");
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
