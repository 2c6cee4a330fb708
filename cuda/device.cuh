/* What the host's side of .cu files shares: CUDA's errors as ffl_status, with file, line and CUDA's own
 * words. */
#ifndef FFL_CUDA_DEVICE_CUH
#define FFL_CUDA_DEVICE_CUH

#include "kernels/device.h"
#include <cuda_runtime.h>
#include <stdint.h>

/* ffl_fail(FFL_DEVICE, …) for an error; it is also cleared, so that the next call does not report it again.
 */
ffl_status ffl_cuda_fail(cudaError_t error, const char *call, const char *file, int line);

#define FFL_CUDA_TRY(call)                                                                                   \
    do {                                                                                                     \
        const cudaError_t ffl_cuda_error_ = (call);                                                          \
        if (ffl_cuda_error_ != cudaSuccess)                                                                  \
            return ffl_cuda_fail(ffl_cuda_error_, #call, __FILE__, __LINE__);                                \
    } while (0)

/* The stream that exec lends. */
static inline cudaStream_t ffl_cuda_stream(const void *stream)
{
    return (cudaStream_t)stream;
}

/* Whether rows, ld elements apart, can be read and written 16 bytes at a time. */
template <typename T>
static inline bool ffl_rows_aligned(const T *rows, size_t ld)
{
    return (uintptr_t)rows % 16 == 0 && ld * sizeof(T) % 16 == 0;
}

#endif
