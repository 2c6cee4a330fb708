/*
 * A check job: one case and the variants to try on it, as a worker gets and answers it.
 *
 *   request   {"case": …, "variants": ["name", …], "isolated": true}
 *             {"capsule": path, …} in place of a case: data from a file; what it says of a row is explained
 *   answers   {"declined": reason}            the data cannot be made: no variant was tried
 *             {"at": name}                    about to try this variant
 *             {"fault": text}                 the variant just touched a guarded page; the worker dies of it
 *             {"result": name, …judgement}      with an "explanation" where a capsule's row is wrong
 */
#ifndef FFL_HARNESS_CHECK_JOB_H
#define FFL_HARNESS_CHECK_JOB_H

#include "harness/check/trial.h"
#include "harness/worker.h"

/* A new reference; variants are added with ffl_check_request_add. isolated: in a process of its own. */
json_t *ffl_check_request(const ffl_check_case *item, bool isolated);
ffl_status ffl_check_request_add(json_t *request, const char *variant);

/* The worker's side: kind "check". */
ffl_status ffl_check_handle(const json_t *request, ffl_answer *answer);

/* From now on a faulting access to a guarded page is answered as a "fault" before the process dies of it. */
void ffl_check_watch_faults(ffl_answer *answer);

/* A result line. */
json_t *ffl_judgement_to_json(const char *variant, const ffl_judgement *judgement);
ffl_status ffl_judgement_from_json(const json_t *json, ffl_judgement *judgement);

#endif
