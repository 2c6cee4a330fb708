/* One variant on one capsule, in a process that may crash: what replay shows and what shrinking is made of.
 */
#ifndef FFL_HARNESS_ATTEMPT_H
#define FFL_HARNESS_ATTEMPT_H

#include "harness/check/judge.h"
#include "harness/cli.h"

typedef struct ffl_attempt {
    ffl_judgement judgement;
    char explanation[2048]; /* lines (explain.h); "" where there is nothing to say */
} ffl_attempt;

/*
 * path: a capsule's file. options: for the worker (--plugin, --process and the like). A crash and a hang of more than
 * timeout_s seconds are verdicts; FFL_BAD_INPUT: the file is no capsule. in_process: without a worker.
 */
ffl_status ffl_attempt_run(const ffl_options *options, const char *path, const char *variant,
                           double timeout_s, bool in_process, ffl_attempt *out);

#endif
