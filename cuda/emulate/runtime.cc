/* cuda_runtime.h on the host. */
#include "cuda/emulate/stream.h"
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

struct ffl_emulated_stream {
    std::vector<std::function<void()>> kept;
    bool capturing;
};

struct ffl_emulated_graph {
    std::vector<std::function<void()>> work;
};

struct ffl_emulated_event {
    double ms;
};

static cudaError_t last_error;
static ffl_emulated_stream default_stream;

static ffl_emulated_stream *stream_of(cudaStream_t stream)
{
    return stream ? stream : &default_stream;
}

void ffl_emulated_error(cudaError_t error)
{
    last_error = error;
}

static cudaError_t fail(cudaError_t error)
{
    last_error = error;
    return error;
}

void ffl_emulated_enqueue(cudaStream_t stream, std::function<void()> work)
{
    ffl_emulated_stream *s = stream_of(stream);
    if (s->capturing)
        s->kept.push_back(std::move(work));
    else
        work();
}

/* ---- Device and errors ---- */

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    return device == 0 ? cudaSuccess : fail(cudaErrorInvalidValue);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device)
{
    if (device != 0)
        return fail(cudaErrorInvalidValue);
    *p = {};
    snprintf(p->name, sizeof p->name, "emulated CUDA device");
    p->major = 9;
    p->multiProcessorCount = 3;
    p->l2CacheSize = 1 << 20;
    p->totalGlobalMem = (size_t)4 << 30;
    p->sharedMemPerBlockOptin = 227 << 10;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *out, int size, int)
{
    snprintf(out, (size_t)size, "emulated");
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = 0;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 0;
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    }
    return "unknown error";
}

const char *cudaGetErrorName(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "cudaSuccess";
    case cudaErrorInvalidValue:
        return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
        return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
        return "cudaErrorInvalidConfiguration";
    case cudaErrorNoDevice:
        return "cudaErrorNoDevice";
    }
    return "cudaErrorUnknown";
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

/* ---- Memory ---- */

/* New memory is all ones: NaN in every float type, so that a read of what nobody wrote shows. */
cudaError_t cudaMalloc(void **out, size_t bytes)
{
    *out = nullptr;
    if (bytes && posix_memalign(out, 256, bytes) != 0)
        return fail(cudaErrorMemoryAllocation);
    if (bytes)
        memset(*out, 0xff, bytes);
    return cudaSuccess;
}

cudaError_t cudaFree(void *buffer)
{
    free(buffer);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    *free_bytes = *total = (size_t)4 << 30;
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind)
{
    memcpy(to, from, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind, cudaStream_t stream)
{
    ffl_emulated_enqueue(stream, [=] { memcpy(to, from, bytes); });
    return cudaSuccess;
}

cudaError_t cudaMemset(void *to, int value, size_t bytes)
{
    memset(to, value, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    ffl_emulated_enqueue(stream, [=] { memset(to, value, bytes); });
    return cudaSuccess;
}

/* ---- Streams and graphs ---- */

cudaError_t cudaDeviceSynchronize(void)
{
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *out)
{
    *out = new ffl_emulated_stream();
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned)
{
    return cudaStreamCreate(out);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    return stream_of(stream)->capturing ? fail(cudaErrorInvalidValue) : cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *out)
{
    *out = stream_of(stream)->capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode)
{
    if (!stream || stream->capturing)
        return fail(cudaErrorInvalidValue);
    stream->capturing = true;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
    if (!stream || !stream->capturing)
        return fail(cudaErrorInvalidValue);
    stream->capturing = false;
    *out = new ffl_emulated_graph{std::move(stream->kept)};
    stream->kept.clear();
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long)
{
    *out = new ffl_emulated_graph(*graph);
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t)
{
    for (const std::function<void()> &work : graph->work)
        work();
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph)
{
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, void *, size_t *count)
{
    *count = graph->work.size();
    return cudaSuccess;
}

/* ---- Events ---- */

cudaError_t cudaEventCreate(cudaEvent_t *out)
{
    *out = new ffl_emulated_event();
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned)
{
    return cudaEventCreate(out);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t)
{
    event->ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch())
                    .count();
    return cudaSuccess;
}

/* Captured only as an external one: otherwise nothing is recorded when the graph runs. */
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags)
{
    const bool capturing = stream_of(stream)->capturing;
    if (capturing != (flags == cudaEventRecordExternal))
        return capturing ? cudaSuccess : fail(cudaErrorInvalidValue);
    ffl_emulated_enqueue(stream, [=] { (void)cudaEventRecord(event, stream); });
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t)
{
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    *ms = (float)(end->ms - start->ms);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned)
{
    return cudaSuccess;
}
