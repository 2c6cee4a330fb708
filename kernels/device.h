/*
 * The CUDA device, as far as host code needs it. Built from cuda/device.cu where nvcc exists and from
 * kernels/device_none.c elsewhere, so callers never need to know which.
 */
#ifndef FFL_KERNELS_DEVICE_H
#define FFL_KERNELS_DEVICE_H

#include "kernels/status.h"
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* False, with a reason in *why, when no usable device is there. Probed once. */
bool ffl_device_available(const char **why);

/* "NVIDIA H200", or "" without a device. */
const char *ffl_device_name(void);

/*
 * True when an earlier failure (a kernel's illegal access, most of all) has left this process without a
 * usable device: every further call fails, whosever it is, and only a new process helps. *why is CUDA's
 * words.
 */
bool ffl_device_lost(const char **why);

/* True for the host's emulation of a device (cuda/emulate): results count, times mean nothing. */
bool ffl_device_emulated(void);

typedef struct ffl_device_info {
    char name[256];
    int major, minor; /* compute capability */
    int multiprocessors;
    size_t l2_bytes, memory_bytes;
    int driver, runtime; /* CUDA versions as NVIDIA counts them: 13000 is 13.0 */
    char pci[32];        /* its address on the bus, as NVML wants it */
} ffl_device_info;

/* NULL without a device. */
const ffl_device_info *ffl_device_describe(void);

/* Device memory; all return FFL_DEVICE with file, line and CUDA's own words on failure, ffl_device_alloc
 * FFL_NO_MEMORY when there is not so much. */
ffl_status ffl_device_alloc(size_t bytes, void **out);
void ffl_device_free(void *buffer);
ffl_status ffl_device_upload(void *device, const void *host, size_t bytes);
ffl_status ffl_device_download(void *host, const void *device, size_t bytes);
ffl_status ffl_device_fill(void *device, int byte, size_t bytes);
ffl_status ffl_device_synchronize(void);

/*
 * Timing: streams, events and graphs, opaque (cudaStream_t, cudaEvent_t, cudaGraphExec_t). Work on a stream
 * runs in order and beside the host; what is freed must no longer be in use. All return FFL_DEVICE as above.
 */
ffl_status ffl_device_stream_new(void **stream);
void ffl_device_stream_free(void *stream);
ffl_status ffl_device_stream_wait(void *stream);

/* The same as fill and a copy on the device, enqueued. */
ffl_status ffl_device_fill_on(void *stream, void *device, int byte, size_t bytes);
ffl_status ffl_device_copy_on(void *stream, void *to, const void *from, size_t bytes);

/* Loads of all bytes (a multiple of 16) by every multiprocessor, past their own caches, `passes` times over; of
 * the sink up to 4 bytes may be written. */
ffl_status ffl_device_read_on(void *stream, const void *from, size_t bytes, int passes, void *sink);

ffl_status ffl_device_event_new(void **event);
void ffl_device_event_free(void *event);
ffl_status ffl_device_event_record(void *event, void *stream);
/* The same; while the stream is being captured, every launch of the graph will record it. */
ffl_status ffl_device_event_mark(void *event, void *stream);
/* Nanoseconds between two recorded events; waits for the later one. */
ffl_status ffl_device_elapsed(void *from, void *to, double *ns);

/*
 * Between begin and end, work enqueued on `stream` by this thread is kept instead of done; end makes it a
 * graph, to be launched any number of times. Where something between them was no mere enqueueing (a wait, an
 * allocation, work on another stream), end fails and says so; it must follow begin in any case.
 */
ffl_status ffl_device_capture_begin(void *stream);
ffl_status ffl_device_capture_end(void *stream, void **graph);
ffl_status ffl_device_graph_launch(void *graph, void *stream);
void ffl_device_graph_free(void *graph);

#ifdef __cplusplus
}
#endif
#endif
