/*
 * The parent's side of a run: hands groups to a worker one after the other, goes on without a variant that
 * took the worker down, and writes, prints and counts what comes back.
 */
#ifndef FFL_HARNESS_CONDUCT_H
#define FFL_HARNESS_CONDUCT_H

#include "harness/bench/groups.h"
#include "harness/journal.h"
#include "reports/rows.h"

typedef struct ffl_outcome {
    size_t rows, timed;  /* rows with a verdict; rows with times that may be ranked */
    size_t failed;       /* SUSPECT, FAILED, CRASHED, TIMEOUT or IMPLAUSIBLE */
    size_t questionable; /* WEAK or HANDICAPPED */
    ffl_rows all;        /* every finished row */
} ffl_outcome;

/* Where a finished group goes besides the journal. */
typedef struct ffl_conduct {
    const ffl_options *options;
    ffl_journal *journal;
    double budget;      /* seconds for the whole run, 0: as long as row_seconds takes */
    double row_seconds; /* of timed calls of a row, at most; 0: the default */
    const char *doing;  /* for the progress line; NULL: "timing" */
    double timeout;     /* seconds without a sign of life */
    /* Called with a finished group and the place of its rows in `all`; optional. */
    void (*show)(void *user, const ffl_group *group, const ffl_rows *all, size_t first, size_t count);
    void *user;
} ffl_conduct;

/* Runs the groups. FFL_INTERRUPTED after Ctrl-C: finished groups are in the journal and in `out`, which is to
 * be freed in any case. */
ffl_status ffl_conduct_run(const ffl_conduct *conduct, ffl_group_list *groups, ffl_outcome *out);
void ffl_outcome_free(ffl_outcome *outcome);

#endif
