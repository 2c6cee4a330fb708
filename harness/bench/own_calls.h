/*
 * The timed calls of a row that keeps its own time (library FFL_PROCESS). A sample is one exchange with its
 * program: a burst of calls on consecutive rows of the ring, each timed by the program's clock. What the
 * exchange takes beside them is recorded, and is no part of the time.
 *
 * Where caches are hot, calls of less than a millisecond come in bursts whose first call does not count: it
 * finds the caches as the exchange left them. With cold weights a burst is one call.
 */
#ifndef FFL_HARNESS_OWN_CALLS_H
#define FFL_HARNESS_OWN_CALLS_H

#include "harness/bench/timed.h"

/* Does the row keep its own time? */
bool ffl_own_clock(const ffl_timed *row);

/* One call on the first rows into stage->y_warm; seconds by its own clock. Notes what the exchange took. */
ffl_status ffl_own_call_once(ffl_timed *row, size_t tokens, double *seconds);

/* Chooses row->burst from row->call_seconds; row->ring must be there. */
void ffl_own_plan(ffl_timed *row);

/* One burst on rows x of the ring, into y; nanoseconds per call. */
ffl_status ffl_own_sample(ffl_timed *row, const float *x, float *y, double *ns);

/* What the row's program says that it is, into the record. */
void ffl_own_describe(ffl_timed *row);

/* The median time of an exchange per call, into the record. */
ffl_status ffl_own_finish(ffl_timed *row);

#endif
