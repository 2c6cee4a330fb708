/*
 * Why a row is wrong, in three lines: what came out, what might have come out along each admissible path, and
 * the first node that went wrong, where that can be told.
 */
#ifndef FFL_HARNESS_EXPLAIN_H
#define FFL_HARNESS_EXPLAIN_H

#include "harness/check/judge.h"

typedef struct ffl_bad_row {
    const float *x, *got; /* [width_in], [width_out] */
    const int32_t *trace; /* [trees][levels]: the nodes that the variant says it visited; or NULL */
    size_t row, element;  /* as the judgement names them */
} ffl_bad_row;

/* Lines without a newline at the end. FFL_NO_MEMORY. */
ffl_status ffl_explain_row(const ffl_layer *layer, const ffl_contract *contract, ffl_data data,
                           const ffl_bad_row *row, char *out, size_t size);

#endif
