/* The worker's side: one group, from a request to its records. */
#ifndef FFL_HARNESS_GROUP_H
#define FFL_HARNESS_GROUP_H

#include "harness/worker.h"

/*
 * Request: ffl_group_to_json. Answers, in this order:
 *   {"at": i, "part": p}        row i is at work, p of the group's repetitions are done: names the culprit of
 * a crash, and shows that nothing hangs
 *   {"row": i, "record": {…}}   the finished row; one for each row that is not left out
 */
ffl_status ffl_bench_serve(const json_t *request, ffl_answer *answer);

#endif
