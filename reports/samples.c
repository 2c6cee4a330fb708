/* Order statistics over all samples of a case; see record.h. */
#include "reports/record.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Four digits, no finer than the clock: 0.05 % is below any noise, and keeps published journals small. */
static double rounded(double ns)
{
    double step = 1;
    while (ns >= 1e4 * step)
        step *= 10;
    return round(ns / step) * step;
}

ffl_status ffl_samples_from(const double *ns, size_t count, ffl_samples *out)
{
    *out = (ffl_samples){0};
    out->ns = malloc((count + 1) * sizeof *out->ns);
    out->count = calloc(count + 1, sizeof *out->count);
    if (!out->ns || !out->count) {
        ffl_samples_free(out);
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu samples", count);
    }
    for (size_t i = 0; i < count; i++)
        out->ns[i] = rounded(ns[i]);
    qsort(out->ns, count, sizeof *out->ns, ascending);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || out->ns[i] != out->ns[out->distinct - 1])
            out->ns[out->distinct++] = out->ns[i]; /* never ahead of the reader */
        out->count[out->distinct - 1]++;
    }
    return FFL_OK;
}

void ffl_samples_free(ffl_samples *samples)
{
    free(samples->ns);
    free(samples->count);
    *samples = (ffl_samples){0};
}

uint64_t ffl_samples_total(const ffl_samples *samples)
{
    uint64_t total = 0;
    for (size_t i = 0; i < samples->distinct; i++)
        total += samples->count[i];
    return total;
}

/* The sample of 0-based rank `rank` in ascending order. */
static double at_rank(const ffl_samples *samples, uint64_t rank)
{
    for (size_t i = 0; i < samples->distinct; i++) {
        if (rank < samples->count[i])
            return samples->ns[i];
        rank -= samples->count[i];
    }
    return samples->distinct ? samples->ns[samples->distinct - 1] : NAN;
}

double ffl_samples_quantile(const ffl_samples *samples, double q)
{
    const uint64_t n = ffl_samples_total(samples);
    const double rank = ceil(q * (double)n) - 1;
    return at_rank(samples, rank > 0 ? (uint64_t)rank : 0);
}

void ffl_samples_median(const ffl_samples *samples, double *median, double *low, double *high)
{
    const uint64_t n = ffl_samples_total(samples);
    if (n == 0) {
        *median = *low = *high = NAN;
        return;
    }
    *median = (at_rank(samples, (n - 1) / 2) + at_rank(samples, n / 2)) / 2;
    /* Ranks n/2 ± 0.98·√n enclose the median with 95 %: the normal form of the binomial. */
    const double reach = 0.98 * sqrt((double)n);
    const double from = floor((double)n / 2 - reach), to = ceil((double)n / 2 + reach);
    *low = at_rank(samples, n < 6 || from < 1 ? 0 : (uint64_t)from - 1);
    *high = at_rank(samples, n < 6 || to >= (double)n ? n - 1 : (uint64_t)to);
}
