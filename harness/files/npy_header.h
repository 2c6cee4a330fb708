/*
 * The header of an .npy file: a Python dict literal with exactly the keys descr, fortran_order and shape.
 * Only what numpy writes is accepted: strings without escapes, True and False, tuples of plain numbers.
 */
#ifndef FFL_HARNESS_NPY_HEADER_H
#define FFL_HARNESS_NPY_HEADER_H

#include "harness/files/npy.h"
#include <stdbool.h>

typedef struct ffl_npy_header {
    char descriptor[32]; /* "<f4" */
    bool fortran_order;
    size_t dimensions, shape[FFL_NPY_DIMENSIONS_MAX];
} ffl_npy_header;

/* FFL_BAD_INPUT names the file `path` and the field; `text` is the whole header. */
ffl_status ffl_npy_header_parse(const char *path, const char *text, ffl_npy_header *out);

#endif
