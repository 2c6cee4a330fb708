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
