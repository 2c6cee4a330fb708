/*
 * The worker's side of a paired comparison: one row, timed in slices whenever it is asked, so that two
 * workers take turns. A slice is what a repetition is to `bench`: untimed calls that warm up, then timed
 * ones; the outputs of the last slice, and of calls that nobody can foretell, are judged.
 */
#ifndef FFL_HARNESS_SLICES_H
#define FFL_HARNESS_SLICES_H

#include "harness/worker.h"
#include "kernels/variant.h"

/* Of what follows, the group's JSON included; two builds that differ here cannot take turns. */
enum { FFL_SLICES_PROTOCOL = 1 };

/*
 * Jobs, each answered by one line; the row stays from job to job. A "verdict" that is not "" says that the
 * row is over, for the "reason" beside it: it cannot be timed, it failed, or this was its last slice.
 *
 *   {"hello": true}
 *       {"protocol": 1, "commit": "…"}
 *   {"open": {a group of one row}}
 *       {"tokens": of a call, "ns": of a call, about, "verdict", "reason"}
 *   {"plan": slices, "calls": of each, "seconds": of each}
 *       {"planned": true}
 *   {"slice": true}
 *       {"ns": lower quartile of its calls, "verdict", "reason"}
 */
ffl_status ffl_slices_serve(const json_t *request, ffl_answer *answer);

/* For self-tests: another variant in place of the row's, and what it adds to the answer to a slice. */
typedef struct ffl_dress {
    const ffl_variant *(*variant)(const ffl_variant *variant);
    double (*planted)(void);
} ffl_dress;
ffl_status ffl_slices_serve_dressed(const json_t *request, ffl_answer *answer, const ffl_dress *dress);

#endif
