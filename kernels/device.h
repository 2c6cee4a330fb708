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

/* Device memory; all return FFL_DEVICE with file, line and CUDA's own words on failure, ffl_device_alloc
 * FFL_NO_MEMORY when there is not so much. */
ffl_status ffl_device_alloc(size_t bytes, void **out);
void ffl_device_free(void *buffer);
ffl_status ffl_device_upload(void *device, const void *host, size_t bytes);
ffl_status ffl_device_download(void *host, const void *device, size_t bytes);
ffl_status ffl_device_fill(void *device, int byte, size_t bytes);
ffl_status ffl_device_synchronize(void);

#ifdef __cplusplus
}
#endif
#endif
