/*
 * What holding a variant against itself found: how each way ended, and the gravest reason. Outputs that
 * should be the same are compared bit for bit; where they differ, the ordinary judge says whether both are
 * right.
 */
#ifndef FFL_HARNESS_FINDINGS_H
#define FFL_HARNESS_FINDINGS_H

#include "harness/check/judges.h"
#include "harness/check/suite.h"

/* The gravest finding is told; of several alike, the first. */
void ffl_outcome_tell(ffl_judgement *out, ffl_verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* How a way ended; of several, the gravest. */
void ffl_outcome_set(ffl_judgement *out, ffl_way way, ffl_way_outcome outcome);

/* Both, for a call that failed: `what` "run failed". */
void ffl_outcome_broken(ffl_judgement *out, ffl_way way, const char *what, const char *why);

/* Of one variant, on the probes of a pool. */
typedef struct ffl_findings {
    const ffl_pool *pool;
    ffl_judges *judges; /* of the probes */
    const ffl_variant *variant;
    ffl_judgement *out;
} ffl_findings;

/* Of the probes, for a contract. It stays the judges'. */
ffl_status ffl_findings_judge(const ffl_findings *findings, const ffl_contract *contract,
                              const ffl_judge **out);

/* What the probes gave in batches of `size`, against what it should be the same as: both [probes][width_out].
 * `how`: "7 threads", "". */
ffl_status ffl_findings_compare(const ffl_findings *findings, ffl_way way, size_t size, const float *got,
                                const float *base, const char *how);

#endif
