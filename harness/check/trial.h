/*
 * One case, tried on any number of variants: data in guarded, read-only memory, judges shared by contract.
 *
 * Each variant is called on every row twice, by the same prepared instance, and on a few more often
 * (passes.h).
 */
#ifndef FFL_HARNESS_TRIAL_H
#define FFL_HARNESS_TRIAL_H

#include "harness/check/judge.h"

/* What a case's seed also decides, so that the command line repeats it: see ffl_layout_from_seed. */
typedef struct ffl_layout {
    bool bias;                   /* biases are not all zero */
    size_t padding_x, padding_y; /* ld - width */
    size_t offset_x, offset_y;   /* backwards: floats between the page's start and the buffer */
} ffl_layout;

ffl_layout ffl_layout_from_seed(uint64_t seed);

/* One case: everything that the row's command line says. */
typedef struct ffl_check_case {
    char fixture[160];
    ffl_layer shape; /* without weights; for real:FILE trees and levels may be 0 until it is read */
    size_t batch;    /* real: 0 = as many as the file has */
    int threads;     /* variants that are not threaded use one */
    uint64_t seed;
} ffl_check_case;

typedef struct ffl_trial ffl_trial;

/* Makes the data. FFL_UNSUPPORTED says why the fixture cannot be had for this shape. */
ffl_status ffl_trial_new(const ffl_check_case *check_case, ffl_trial **out);

/* The same on data that there is already, which becomes the trial's; on failure, too. */
struct ffl_fixture;
ffl_status ffl_trial_new_on(const ffl_check_case *check_case, const ffl_layout *layout,
                            struct ffl_fixture *fixture, ffl_trial **out);

/* The case as it turned out: shape and batch filled in from the file. */
const ffl_check_case *ffl_trial_case(const ffl_trial *trial);

/* Calls and judges one variant. A failure status is the lab's own trouble, never the variant's. */
ffl_status ffl_trial_run(ffl_trial *trial, const ffl_variant *variant, ffl_judgement *out);

/* More about the row that the last judgement names (explain.h); "" where it names none. */
ffl_status ffl_trial_explain(const ffl_trial *trial, const ffl_variant *variant,
                             const ffl_judgement *judgement, char *out, size_t size);

void ffl_trial_free(ffl_trial *trial);

#endif
