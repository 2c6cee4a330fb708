/* Streams, events and graphs of kernels/device.h. */
#include "cuda/device.cuh"

ffl_status ffl_device_stream_new(void **stream)
{
    /* Beside the default stream: work that a variant puts there by mistake does not wait for ours, and shows.
     */
    cudaStream_t made = nullptr;
    *stream = nullptr;
    FFL_CUDA_TRY(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
    *stream = made;
    return FFL_OK;
}

void ffl_device_stream_free(void *stream)
{
    if (stream)
        (void)cudaStreamDestroy(ffl_cuda_stream(stream));
}

ffl_status ffl_device_stream_wait(void *stream)
{
    FFL_CUDA_TRY(cudaStreamSynchronize(ffl_cuda_stream(stream)));
    return FFL_OK;
}

ffl_status ffl_device_fill_on(void *stream, void *device, int byte, size_t bytes)
{
    FFL_CUDA_TRY(cudaMemsetAsync(device, byte, bytes, ffl_cuda_stream(stream)));
    return FFL_OK;
}

ffl_status ffl_device_copy_on(void *stream, void *to, const void *from, size_t bytes)
{
    FFL_CUDA_TRY(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, ffl_cuda_stream(stream)));
    return FFL_OK;
}

ffl_status ffl_device_event_new(void **event)
{
    cudaEvent_t made = nullptr;
    *event = nullptr;
    FFL_CUDA_TRY(cudaEventCreate(&made));
    *event = made;
    return FFL_OK;
}

void ffl_device_event_free(void *event)
{
    if (event)
        (void)cudaEventDestroy((cudaEvent_t)event);
}

ffl_status ffl_device_event_record(void *event, void *stream)
{
    FFL_CUDA_TRY(cudaEventRecord((cudaEvent_t)event, ffl_cuda_stream(stream)));
    return FFL_OK;
}

ffl_status ffl_device_event_mark(void *event, void *stream)
{
    cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
    FFL_CUDA_TRY(cudaStreamIsCapturing(ffl_cuda_stream(stream), &capturing));
    /* Without the flag a captured event only orders the graph, and is never recorded. */
    FFL_CUDA_TRY(cudaEventRecordWithFlags(
        (cudaEvent_t)event, ffl_cuda_stream(stream),
        capturing == cudaStreamCaptureStatusActive ? cudaEventRecordExternal : cudaEventRecordDefault));
    return FFL_OK;
}

ffl_status ffl_device_elapsed(void *from, void *to, double *ns)
{
    float ms = 0;
    *ns = 0;
    FFL_CUDA_TRY(cudaEventSynchronize((cudaEvent_t)to));
    FFL_CUDA_TRY(cudaEventElapsedTime(&ms, (cudaEvent_t)from, (cudaEvent_t)to));
    *ns = 1e6 * (double)ms;
    return FFL_OK;
}

ffl_status ffl_device_capture_begin(void *stream)
{
    FFL_CUDA_TRY(cudaStreamBeginCapture(ffl_cuda_stream(stream), cudaStreamCaptureModeThreadLocal));
    return FFL_OK;
}

ffl_status ffl_device_capture_end(void *stream, void **graph)
{
    cudaGraph_t captured = nullptr;
    cudaGraphExec_t made = nullptr;
    *graph = nullptr;
    const cudaError_t ended = cudaStreamEndCapture(ffl_cuda_stream(stream), &captured);
    FFL_CUDA_TRY(ended);
    const cudaError_t error = cudaGraphInstantiate(&made, captured, 0);
    (void)cudaGraphDestroy(captured);
    FFL_CUDA_TRY(error);
    *graph = made;
    return FFL_OK;
}

ffl_status ffl_device_graph_launch(void *graph, void *stream)
{
    FFL_CUDA_TRY(cudaGraphLaunch((cudaGraphExec_t)graph, ffl_cuda_stream(stream)));
    return FFL_OK;
}

void ffl_device_graph_free(void *graph)
{
    if (graph)
        (void)cudaGraphExecDestroy((cudaGraphExec_t)graph);
}
