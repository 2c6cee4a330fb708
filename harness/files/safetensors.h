/*
 * safetensors files. They come from outside: header length, JSON, duplicate names, dtypes, shapes, offsets
 * (bounds, overlap, holes, size = shape x dtype) are validated when opened; then the data is read, not
 * mapped: a file that somebody cuts short while it is in use would end the process with SIGBUS.
 */
#ifndef FFL_HARNESS_SAFETENSORS_H
#define FFL_HARNESS_SAFETENSORS_H

#include "kernels/status.h"
#include <stddef.h>

typedef enum ffl_dtype {
    FFL_DTYPE_F32 = 0,
    FFL_DTYPE_F64,
    FFL_DTYPE_F16,
    FFL_DTYPE_BF16,
    FFL_DTYPE_OTHER
} ffl_dtype;

enum { FFL_TENSOR_DIMENSIONS_MAX = 8 };

typedef struct ffl_tensor {
    const char *name;
    ffl_dtype dtype;
    size_t dimensions, shape[FFL_TENSOR_DIMENSIONS_MAX];
    size_t count;
    const unsigned char *data; /* owned by the file, any alignment */
    size_t bytes;
} ffl_tensor;

typedef struct ffl_safetensors ffl_safetensors;

/* FFL_BAD_INPUT names the file, the tensor and what is wrong with it. */
ffl_status ffl_safetensors_open(const char *path, ffl_safetensors **out);
void ffl_safetensors_close(ffl_safetensors *file);

size_t ffl_safetensors_count(const ffl_safetensors *file);
const ffl_tensor *ffl_safetensors_at(const ffl_safetensors *file, size_t i);

/* NULL when absent. */
const ffl_tensor *ffl_safetensors_find(const ffl_safetensors *file, const char *name);

/* A string of __metadata__, NULL when absent. */
const char *ffl_safetensors_metadata(const ffl_safetensors *file, const char *key);

/* The tensor's values as float, into out [count]; F32, F16, BF16 and F64 convert, others are refused. */
ffl_status ffl_tensor_to_float(const ffl_tensor *tensor, float *out);

#endif
