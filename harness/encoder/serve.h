/* The worker's side of `fflab encoder`: passes, verified and timed. */
#ifndef FFL_HARNESS_ENCODER_SERVE_H
#define FFL_HARNESS_ENCODER_SERVE_H

#include "harness/worker.h"

/*
 * Request: a task (task.h), threads, cpus, dump (a folder or ""), named (did the user choose the variants?),
 * and the variants by name. Answers:
 *   {"model": {…}}        once for the host and for each class on the device: sizes, seed, what multiplies,
 *                         the baseline
 *   {"at": i}             variant i is at work
 *   {"row": i, …}         verdict, times per part, agreement; the baseline's has i = -1
 */
ffl_status ffl_encoder_serve(const json_t *request, ffl_answer *answer);

#endif
