/*
 * NumPy .npy files (format 1.0 and 2.0). They come from outside: magic, header length, dtype, order, shape
 * and file size are validated before anything is used; errors name the file and the field.
 */
#ifndef FFL_HARNESS_NPY_H
#define FFL_HARNESS_NPY_H

#include "kernels/status.h"
#include <stddef.h>
#include <stdint.h>

typedef enum ffl_npy_type { FFL_NPY_F32 = 0, FFL_NPY_F64, FFL_NPY_I32, FFL_NPY_I64 } ffl_npy_type;

enum { FFL_NPY_DIMENSIONS_MAX = 8 };

typedef struct ffl_npy {
    ffl_npy_type type;
    size_t dimensions, shape[FFL_NPY_DIMENSIONS_MAX];
    size_t count; /* product of the shape */
    void *data;   /* row-major, aligned to 64 bytes, owned */
} ffl_npy;

/* Little-endian, C order only; anything else is FFL_BAD_INPUT with the reason. */
ffl_status ffl_npy_read(const char *path, ffl_npy *out);

/* The same, refusing another type or number of dimensions; `what` names the option: "--input". */
ffl_status ffl_npy_read_as(const char *path, const char *what, ffl_npy_type type, size_t dimensions, ffl_npy *out);

/* Writes to a temporary file beside it and renames: a failure leaves the old file as it was. */
ffl_status ffl_npy_write(const char *path, ffl_npy_type type, size_t dimensions, const size_t *shape,
                         const void *data);

void ffl_npy_free(ffl_npy *npy);

#endif
