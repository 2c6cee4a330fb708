#include "reports/change.h"
#include <math.h>
#include <stdlib.h>

static const char *const names[FFL_CHANGES] = {"SLOWER", "FASTER", "AMBIGUOUS", "SAME"};

const char *ffl_change_name(ffl_change change)
{
    return names[change];
}

ffl_change ffl_change_of(const ffl_effect *e, double margin)
{
    if (e->low >= -margin && e->high <= margin)
        return FFL_SAME;
    if (e->low > 0 && e->change > margin)
        return FFL_SLOWER;
    if (e->high < 0 && e->change < -margin)
        return FFL_FASTER;
    return FFL_AMBIGUOUS;
}

/* P(X <= k) of n throws that hit with probability p. */
static double binomial_below(size_t n, size_t k, double p)
{
    double sum = 0;
    for (size_t i = 0; i <= k; i++)
        sum += exp(lgamma((double)n + 1) - lgamma((double)i + 1) - lgamma((double)(n - i) + 1) +
                   (double)i * log(p) + (double)(n - i) * log1p(-p));
    return sum;
}

size_t ffl_median_rank(size_t n, double confidence)
{
    size_t k = 0;
    /* Either end fails when fewer than k values lie on its side of the median. A little room for rounding. */
    while (2 * (k + 1) <= n && 2 * binomial_below(n, k, 0.5) <= (1 - confidence) * (1 + 1e-9))
        k++;
    return k;
}

size_t ffl_median_fewest(double confidence)
{
    size_t n = 2;
    while (ffl_median_rank(n, confidence) == 0)
        n++;
    return n;
}

size_t ffl_median_as_sharp(size_t n, double confidence)
{
    const double share = (double)ffl_median_rank(n, 0.95) / (double)n;
    size_t more = n;
    while ((double)ffl_median_rank(more, confidence) < share * (double)more)
        more += 1 + more / 16;
    return more;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

ffl_effect ffl_effect_of_pairs(double *logs, size_t n, double confidence)
{
    if (n == 0)
        return (ffl_effect){NAN, -1, INFINITY};
    const size_t k = ffl_median_rank(n, confidence);
    qsort(logs, n, sizeof *logs, ascending);
    return (ffl_effect){.change = expm1((logs[(n - 1) / 2] + logs[n / 2]) / 2),
                        .low = k ? expm1(logs[k - 1]) : -1,
                        .high = k ? expm1(logs[n - k]) : INFINITY};
}

/* Of a median of dependent calls; false when there are too few. */
static bool run_interval(const ffl_samples *s, double *low, double *high)
{
    const uint64_t calls = ffl_samples_total(s);
    const size_t n = calls < FFL_REPETITIONS ? (size_t)calls : FFL_REPETITIONS, k = ffl_median_rank(n, 0.95);
    if (k == 0)
        return false;
    /* Where the k-th of n evenly spread values lies. */
    *low = ffl_samples_quantile(s, ((double)k - 0.5) / (double)n);
    *high = ffl_samples_quantile(s, ((double)(n - k) + 0.5) / (double)n);
    return true;
}

ffl_effect ffl_effect_of_runs(const ffl_samples *base, const ffl_samples *now)
{
    double base_median, now_median, base_low, base_high, now_low, now_high, unused;
    ffl_samples_median(base, &base_median, &unused, &unused);
    ffl_samples_median(now, &now_median, &unused, &unused);
    ffl_effect e = {now_median / base_median - 1, -1, INFINITY};
    if (run_interval(base, &base_low, &base_high) && run_interval(now, &now_low, &now_high)) {
        e.low = now_low / base_high - 1;
        e.high = now_high / base_low - 1;
    }
    return e;
}

ffl_effect ffl_effect_drifted(const ffl_effect *e, double log_drift)
{
    return (ffl_effect){e->change, (1 + e->low) * exp(-log_drift) - 1, (1 + e->high) * exp(log_drift) - 1};
}

/* The p at which seeing at most k of n has probability 2.5 %. */
static double highest_share(size_t k, size_t n)
{
    double from = 0, to = 1;
    for (int step = 0; step < 60; step++) {
        const double p = (from + to) / 2;
        if (binomial_below(n, k, p) > 0.025)
            from = p;
        else
            to = p;
    }
    return from;
}

void ffl_share_interval(size_t hits, size_t count, double *low, double *high)
{
    *high = hits == count ? 1 : highest_share(hits, count);
    *low = hits == 0 ? 0 : 1 - highest_share(count - hits, count);
}
