/*
 * The timed calls of a row on the device. A sample is a burst of calls between two events on one stream,
 * divided by their number; its forms:
 *
 *   plain   the calls are enqueued one by one; the device may wait for the host between them
 *   graph   the same calls, captured beforehand, are launched as one graph
 *
 * Up to 256 tokens per call the graph is what ranks, where the variant can be captured; above, and with cold
 * weights (one call per sample), the plain form. Both are recorded, and beside them what a caller sees who
 * wants one answer: wall time of one call, enqueued and waited for, and the host's time to enqueue one.
 */
#ifndef FFL_HARNESS_DEVICE_CALLS_H
#define FFL_HARNESS_DEVICE_CALLS_H

#include "harness/bench/device_stage.h"
#include "harness/bench/timed.h"

/* Opens the device's side of a prepared row. */
ffl_status ffl_device_calls_open(ffl_timed *row);

/* One call on the first rows; what it wrote goes to stage->y_warm. *seconds on the device. */
ffl_status ffl_device_call_once(ffl_timed *row, size_t tokens, double *seconds);

/* Chooses row->burst from row->call_seconds and captures graphs; row->ring must be there. */
ffl_status ffl_device_plan(ffl_timed *row);

/* Bursts for a while, then poisons the outputs if `poison`. */
ffl_status ffl_device_warm_up(ffl_timed *row, double seconds, bool poison);

/* One burst in the ranking form from row->position on; nanoseconds per call. */
ffl_status ffl_device_sample(ffl_timed *row, double *ns);

/* FFL_DEVICE when something was written beside outputs and scratch, or, looking at the `whole`, when an input
 * or a weight has changed. What rows share is put right again: the next one must not pay for it. */
ffl_status ffl_device_check(ffl_timed *row, bool whole);

/* What the calls so far wrote goes to stage->y. */
ffl_status ffl_device_fetch(ffl_timed *row);

/* The other form, wall time, enqueueing time and clocks, into the record. Overwrites the outputs. */
ffl_status ffl_device_around(ffl_timed *row);

void ffl_device_calls_close(ffl_timed *row);

#endif
