/* The timed calls of a row; shared by timed.c and timed_calls.c alone. */
#ifndef FFL_HARNESS_TIMED_CALLS_H
#define FFL_HARNESS_TIMED_CALLS_H

#include "harness/bench/timed.h"

/* Ends a row: verdict and reason into the record, no calls any more. */
void ffl_timed_rule_out(ffl_timed *row, ffl_verdict verdict, const char *reason);

/* FAILED, with ffl_error; ends the process when the device is lost, so that only this row pays for it. */
void ffl_timed_run_failed(ffl_timed *row);

/* Lends the stage's scratch to a host variant. */
void ffl_timed_lend_scratch(ffl_timed *row);

/* Rules the row out when it wrote beside the outputs or the scratch. */
ffl_status ffl_timed_check_memory(ffl_timed *row);

/* NaN in every element: what is not written shows. */
void ffl_timed_poison(float *y, size_t count);

/* Judges `count` output rows that belong to the inputs from row `first` on; the verdict goes to the record.
 */
ffl_status ffl_timed_judge(ffl_timed *row, const float *y, size_t first, size_t count);

/* How many calls in how many repetitions, from row->call_seconds. */
ffl_status ffl_timed_plan(ffl_timed *row);

#endif
