/* A build without CUDA: no device, and a reason. */
#include "kernels/cublas.h"
#include "kernels/device.h"

bool ffl_device_available(const char **why)
{
    *why = "this build has no CUDA (nvcc was not found when it was configured)";
    return false;
}

const char *ffl_device_name(void)
{
    return "";
}

bool ffl_device_lost(const char **why)
{
    *why = "";
    return false;
}

bool ffl_device_emulated(void)
{
    return false;
}

const ffl_device_info *ffl_device_describe(void)
{
    return NULL;
}

static ffl_status no_device(void)
{
    const char *why;
    ffl_device_available(&why);
    return ffl_fail(FFL_DEVICE, "%s", why);
}

ffl_status ffl_device_alloc(size_t bytes, void **out)
{
    (void)bytes;
    *out = NULL;
    return no_device();
}

void ffl_device_free(void *buffer)
{
    (void)buffer;
}

ffl_status ffl_device_upload(void *device, const void *host, size_t bytes)
{
    (void)device;
    (void)host;
    (void)bytes;
    return no_device();
}

ffl_status ffl_device_download(void *host, const void *device, size_t bytes)
{
    (void)device;
    (void)host;
    (void)bytes;
    return no_device();
}

ffl_status ffl_device_fill(void *device, int byte, size_t bytes)
{
    (void)device;
    (void)byte;
    (void)bytes;
    return no_device();
}

ffl_status ffl_device_synchronize(void)
{
    return no_device();
}

const ffl_cublas *ffl_cublas_open(void)
{
    ffl_fail(FFL_UNSUPPORTED, "cublas: built without CUDA");
    return NULL;
}

/* ---- Timing ---- */

ffl_status ffl_device_stream_new(void **stream)
{
    *stream = NULL;
    return no_device();
}

void ffl_device_stream_free(void *stream)
{
    (void)stream;
}

ffl_status ffl_device_stream_wait(void *stream)
{
    (void)stream;
    return no_device();
}

ffl_status ffl_device_fill_on(void *stream, void *device, int byte, size_t bytes)
{
    (void)stream;
    return ffl_device_fill(device, byte, bytes);
}

ffl_status ffl_device_copy_on(void *stream, void *to, const void *from, size_t bytes)
{
    (void)stream;
    return ffl_device_upload(to, from, bytes);
}

ffl_status ffl_device_read_on(void *stream, const void *from, size_t bytes, int passes, void *sink)
{
    (void)stream, (void)from, (void)bytes, (void)passes, (void)sink;
    return no_device();
}

ffl_status ffl_device_event_new(void **event)
{
    *event = NULL;
    return no_device();
}

void ffl_device_event_free(void *event)
{
    (void)event;
}

ffl_status ffl_device_event_record(void *event, void *stream)
{
    (void)event;
    (void)stream;
    return no_device();
}

ffl_status ffl_device_event_mark(void *event, void *stream)
{
    return ffl_device_event_record(event, stream);
}

ffl_status ffl_device_elapsed(void *from, void *to, double *ns)
{
    (void)from;
    (void)to;
    *ns = 0;
    return no_device();
}

ffl_status ffl_device_capture_begin(void *stream)
{
    (void)stream;
    return no_device();
}

ffl_status ffl_device_capture_end(void *stream, void **graph)
{
    (void)stream;
    *graph = NULL;
    return no_device();
}

ffl_status ffl_device_graph_launch(void *graph, void *stream)
{
    (void)graph;
    (void)stream;
    return no_device();
}

void ffl_device_graph_free(void *graph)
{
    (void)graph;
}
