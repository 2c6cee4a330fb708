/*
 * Shrinking: a failing case is reduced while it fails in the same way, along one axis after the other, and
 * again until nothing more can go or the time is up. What is left becomes a capsule. Each attempt is a
 * worker's job: a crash costs one attempt.
 */
#ifndef FFL_HARNESS_SHRINK_H
#define FFL_HARNESS_SHRINK_H

#include "harness/check/attempt.h"
#include "harness/check/capsule.h"

typedef struct ffl_shrink_request {
    const ffl_options *options; /* for the workers */
    const char *dir;            /* where capsules go; exists */
    double budget_s, timeout_s; /* of all attempts; of one */
    bool in_process;
} ffl_shrink_request;

typedef struct ffl_shrunk {
    bool repeated;              /* it failed again on the same data; nothing is saved otherwise */
    bool finished;              /* nothing more can go; otherwise the time was up */
    char path[4096];            /* of the capsule */
    size_t bytes;               /* of its file */
    char before[96], after[96]; /* "1x11, width 768 to 768, 17 rows" */
    size_t attempts;
    double seconds;
    ffl_attempt last; /* of the capsule as saved */
} ffl_shrunk;

/* found: what check found. Failures are the lab's own: no folder, no memory, Ctrl-C. */
ffl_status ffl_shrink_case(const ffl_shrink_request *request, const ffl_variant *variant,
                           const ffl_check_case *item, const ffl_judgement *found, ffl_shrunk *out);

/* Shape and rows of a capsule, for lines. */
void ffl_capsule_words(const ffl_capsule *capsule, char *out, size_t size);

#endif
