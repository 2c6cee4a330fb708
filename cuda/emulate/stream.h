/* Work of a stream: done at once, or kept while the stream is being captured. */
#ifndef FFL_EMULATE_STREAM_H
#define FFL_EMULATE_STREAM_H

#include "cuda/emulate/cuda_runtime.h"

void ffl_emulated_enqueue(cudaStream_t stream, std::function<void()> work);

/* What cudaGetLastError will say. */
void ffl_emulated_error(cudaError_t error);

#endif
