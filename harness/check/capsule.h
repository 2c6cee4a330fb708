/*
 * A capsule: one failing call of one variant with all it takes to repeat it, in a file. Weights and inputs
 * are those of a layer file (harness/files/layer_file.h), so `run` and real:FILE read it too; how the layer
 * was called stands in __metadata__. What the outputs should have been is not stored: replay computes it
 * again.
 */
#ifndef FFL_HARNESS_CAPSULE_H
#define FFL_HARNESS_CAPSULE_H

#include "harness/check/fixtures.h"
#include "harness/check/trial.h"

typedef struct ffl_capsule {
    char variant[128];   /* as it failed */
    ffl_fixture fixture; /* owned: weights, inputs, what is known about them */
    size_t batch;        /* tokens of a full call, at most fixture.tokens */
    int threads;
    uint64_t seed; /* of what y holds before the call */
    ffl_layout layout;
    char found[576];  /* verdict and reason when it was made, for the reader */
    char origin[400]; /* the words of the case it was reduced from */
} ffl_capsule;

/* The case before anything is reduced. FFL_UNSUPPORTED as ffl_fixture_make. */
ffl_status ffl_capsule_from_case(const ffl_check_case *item, const char *variant, ffl_capsule *out);

/* FFL_BAD_INPUT names the file and what is wrong in it: tensors, shapes, values, or how it is called. */
ffl_status ffl_capsule_read(const char *path, ffl_capsule *out);

ffl_status ffl_capsule_write(const char *path, const ffl_capsule *capsule);

/* As a case of check, for lines and judgement; the fixture's name is "capsule". */
ffl_check_case ffl_capsule_case(const ffl_capsule *capsule);

/* Of all that decides what happens: the same bits, the same number. */
uint64_t ffl_capsule_hash(const ffl_capsule *capsule);

void ffl_capsule_free(ffl_capsule *capsule);

#endif
