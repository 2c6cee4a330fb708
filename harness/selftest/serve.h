/*
 * A self-test's job in the worker.
 *
 *   request   {"mutants": [name, …], "cases": [case, …], "without": name or null}
 *             {"group": …, "without": …}   as a bench job (harness/bench), on mutants
 *   answers   {"at": case's index, "mutant": name}     about to try it
 *             {"fault": text}                          what the mutant just touched; the worker dies of it
 *             {"result": name, "case": index, …judgement}
 */
#ifndef FFL_HARNESS_SELFTEST_SERVE_H
#define FFL_HARNESS_SELFTEST_SERVE_H

#include "harness/worker.h"

ffl_status ffl_selftest_serve(const json_t *request, ffl_answer *answer);

#endif
