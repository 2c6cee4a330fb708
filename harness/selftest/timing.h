/*
 * `fflab selftest --timing`: is a comparison of times honest? Every case is timed on three sides that take
 * turns (harness/compare/paired_slices.h): twice the same program, and once with a planted slowdown. The
 * first two must not be told apart, the third must be found out; and both for how many pairs of slices?
 */
#ifndef FFL_HARNESS_TIMING_H
#define FFL_HARNESS_TIMING_H

#include "harness/cli.h"
#include "harness/compare/paired_slices.h"
#include <jansson.h>

/* The whole experiment; prints. *exit_code FFL_EXIT_FAILED when a share is below 95 % with all pairs. */
ffl_status ffl_timing_run(const ffl_options *options, int *exit_code);

/* ---- Its score ---- */

enum { FFL_TIMING_STEPS = 6, FFL_TIMING_PAIRS = 160, FFL_TWIN = 1, FFL_SLOWED = 2 };

typedef struct ffl_timing_step {
    size_t pairs;
    size_t same, claimed; /* of the twins: SAME; FASTER or SLOWER */
    size_t found;         /* slowed ones that were called SLOWER */
} ffl_timing_step;

typedef struct ffl_timing_score {
    ffl_timing_step step[FFL_TIMING_STEPS]; /* by number of pairs, ascending */
    size_t twins;                           /* comparisons of twins, and as many with the planted slowdown */
    double planted_low, planted_high;       /* as the slowed ones measured it themselves */
} ffl_timing_score;

/* No comparisons yet. */
ffl_timing_score ffl_timing_score_new(void);

/* One case: what any number of its pairs, spread over all, would have said. */
ffl_status ffl_timing_score_add(ffl_timing_score *score, const ffl_pairs *pairs);

/* With all pairs, 95 % of the twins are no different, and 95 % of the slowdowns are found. */
bool ffl_timing_score_holds(const ffl_timing_score *score);

/* The smallest number of pairs from which on that holds, and three in four twins are the SAME, for a tool
 * that mostly says AMBIGUOUS is honest, and of no use; 0 when there is none. */
size_t ffl_timing_score_size(const ffl_timing_score *score);

json_t *ffl_timing_score_to_json(const ffl_timing_score *score);
void ffl_timing_score_print(const ffl_timing_score *score);

#endif
