/*
 * How much a time changed, and what may be said about it. Everything here is arithmetic on numbers that
 * somebody else measured; reports/README.md, "Comparing two runs", has the reasons.
 *
 * A change is relative, new time / base time - 1: 0.05 is 5 % slower.
 */
#ifndef FFL_REPORTS_CHANGE_H
#define FFL_REPORTS_CHANGE_H

#include "reports/record.h"

typedef struct ffl_effect {
    double change;
    double low, high; /* of the interval; -1 and infinity where the samples are too few for one */
} ffl_effect;

typedef enum ffl_change { FFL_SLOWER = 0, FFL_FASTER, FFL_AMBIGUOUS, FFL_SAME, FFL_CHANGES } ffl_change;

/* "SLOWER", … */
const char *ffl_change_name(ffl_change change);

/*
 * SAME       the whole interval lies within ±margin
 * SLOWER     the whole interval lies above 0, and the change above the margin
 * FASTER     the same below
 * AMBIGUOUS  anything else: it may be this, it may be that
 */
ffl_change ffl_change_of(const ffl_effect *effect, double margin);

/*
 * The k-th smallest and the k-th largest of n values enclose the median of what they were drawn from with at
 * least this confidence: the largest such k by the binomial distribution, 0 when not even the extremes do.
 */
size_t ffl_median_rank(size_t n, double confidence);

/* How many values it takes at least for an interval. */
size_t ffl_median_fewest(double confidence);

/* How many it takes so that the interval leaves out as large a share of the values as one of 95 % from n. */
size_t ffl_median_as_sharp(size_t n, double confidence);

/*
 * From pairs: each value is log(new / base) of two neighbours in time. The median, and its interval by order
 * statistics; sorts `logs`. No distribution is assumed, and up to half of the pairs may be spoilt.
 */
ffl_effect ffl_effect_of_pairs(double *logs, size_t n, double confidence);

/*
 * From all calls of two runs, which follow one another: calls of a repetition share whatever disturbs them,
 * so no more than FFL_REPETITIONS count as independent. The far ends of both medians' intervals make that of
 * the change.
 */
enum { FFL_REPETITIONS = 12 };
ffl_effect ffl_effect_of_runs(const ffl_samples *base, const ffl_samples *now);

/* The effect when the machine itself may have moved by a factor of exp(±log_drift) between the runs. */
ffl_effect ffl_effect_drifted(const ffl_effect *effect, double log_drift);

/*
 * `hits` of `count`: the 95 % interval of the share behind it (Clopper and Pearson, from the binomial
 * distribution itself).
 */
void ffl_share_interval(size_t hits, size_t count, double *low, double *high);

#endif
