/*
 * check --invariance: one layer and pool of rows; what changes the bits of a variant's outputs? Every way
 * (ways.h) ends as
 *
 *   bitwise        the same bits (-0 = +0) for every probe and every size of batch
 *   within bound   other bits, and the ordinary judge passes them: both results are right
 *   broken         the judge does not pass them
 *
 * The verdict is FAILED where a way is broken, or only within bound although the contract promises the same
 * bits.
 */
#ifndef FFL_HARNESS_INVARIANCE_H
#define FFL_HARNESS_INVARIANCE_H

#include "harness/check/trial.h"

/* The fixture's name of such a case. */
#define FFL_INVARIANCE "invariance"

typedef struct ffl_invariance ffl_invariance;

/* Makes the data. case->batch is the largest batch, case->threads the most threads. */
ffl_status ffl_invariance_new(const ffl_check_case *check_case, ffl_invariance **out);

/* Fills verdict, reason and outcomes. A failure status is the lab's own trouble, never the variant's. */
ffl_status ffl_invariance_run(ffl_invariance *invariance, const ffl_variant *variant, ffl_judgement *out);

void ffl_invariance_free(ffl_invariance *invariance);

#endif
