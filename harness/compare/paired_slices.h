/*
 * One row timed in two programs that take turns: slice by slice on the same processor, in random order within
 * each pair, so that whatever the machine does meets both alike. What is left of it is in single pairs, and
 * the median over all pairs does not mind.
 *
 * Where a process's memory happens to lie can make it a percent faster than its twin for as long as it lives.
 * So the pairs are spread over several seats: for each, both programs are started anew.
 */
#ifndef FFL_HARNESS_PAIRED_SLICES_H
#define FFL_HARNESS_PAIRED_SLICES_H

#include "harness/bench/groups.h"
#include "harness/process.h"

enum { FFL_BASE = 0, FFL_NEW, FFL_SIDES_MAX = 3 }; /* the self-test has a third */

typedef struct ffl_side {
    const char *program; /* path */
    const char *kind;    /* of worker: "slices", or one that takes the same jobs */
    const char *name;    /* in messages */
} ffl_side;

typedef struct ffl_turns {
    const ffl_options *options; /* what every worker is told */
    ffl_side side[FFL_SIDES_MAX];
    size_t sides;
    size_t seats, pairs; /* pairs in all seats together; every side has a slice in each */
    size_t fewest;       /* pairs, where calls are so slow that all would take longer than … */
    double row_seconds;  /* … this */
    double slice_seconds;
    double timeout_s; /* of a job */
    uint64_t seed;    /* of the order of turns */
} ffl_turns;

typedef struct ffl_pairs {
    double *log_ratio[FFL_SIDES_MAX]; /* [count] log(side / base), in order of time */
    size_t count;
    double token_ns[FFL_SIDES_MAX]; /* medians over the slices, per token */
    size_t calls;                   /* of a slice */
    double planted;                 /* by the self-test's kind: how much it really added; 0 otherwise */
    char verdict[12]; /* PASSED, or what ended the row; then `reason` says on which side, and why */
    char reason[512];
} ffl_pairs;

/* All speak the protocol; FFL_BAD_INPUT, naming the program, when one does not. *commits: of each build. */
ffl_status ffl_turns_check(const ffl_turns *turns, char commits[FFL_SIDES_MAX][64]);

/*
 * The only row of the group. A row that failed has a verdict and no pairs; a status other than FFL_OK is
 * about more than this row. On FFL_OK to be freed.
 */
ffl_status ffl_pairs_run(const ffl_turns *turns, const ffl_group *group, ffl_pairs *out);
void ffl_pairs_free(ffl_pairs *pairs);

#endif
