/* Judges of the same rows, one per contract: variants that promise the same share one. */
#ifndef FFL_HARNESS_JUDGES_H
#define FFL_HARNESS_JUDGES_H

#include "harness/check/judge.h"

enum { FFL_JUDGES_MAX = 16 };

typedef struct ffl_judges {
    struct {
        ffl_contract contract;
        ffl_judge *judge;
    } of[FFL_JUDGES_MAX];
    size_t count;
} ffl_judges;

/* The judge of a contract, made at the first call, of x [rows][width_in]. It stays the judges'; every call
 * has the same layer and rows, and the same data for a contract. */
ffl_status ffl_judges_get(ffl_judges *judges, const ffl_layer *layer, const ffl_contract *contract,
                          ffl_data data, const float *x, size_t rows, const ffl_judge **out);

void ffl_judges_free(ffl_judges *judges);

#endif
