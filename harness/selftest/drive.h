/*
 * The parent's side of a self-test: every mutant meets the default design of `check`, cheap cases first,
 * until it is rejected for the right reason; those that only the clock tempts meet `bench`. A mutant has a
 * worker's job to itself, so a crash is its own.
 */
#ifndef FFL_HARNESS_DRIVE_H
#define FFL_HARNESS_DRIVE_H

#include "harness/check/judge.h"
#include "harness/cli.h"
#include "harness/selftest/mutant.h"

typedef struct ffl_finding {
    const ffl_mutant *mutant;
    bool skipped;        /* the fault cannot show here; reason says why */
    bool right;          /* a mutant rejected for the right reason, an honest one never rejected */
    ffl_verdict verdict; /* of the rejection; PASSED: there was none */
    char reason[512];
    char where[512]; /* the case, in the words of the command line */
    size_t cases;    /* tried */
} ffl_finding;

typedef struct ffl_score {
    size_t mutants, caught, honest, false_alarms, skipped;
} ffl_score;

typedef struct ffl_drive {
    const ffl_options *options;
    uint64_t seed;
    double timeout_s;
    const char *without; /* one check that is left out, NULL for none */
    ffl_finding *findings;
    size_t count;
} ffl_drive;

/* Fills the findings of `drive`, whose mutants are set. FFL_INTERRUPTED after Ctrl-C. */
ffl_status ffl_drive_run(ffl_drive *drive);

ffl_score ffl_drive_score(const ffl_drive *drive);

/* Does the rejection match what the mutant is to be rejected for? */
bool ffl_mutant_expects(const ffl_mutant *mutant, ffl_verdict verdict, const char *reason);

#endif
