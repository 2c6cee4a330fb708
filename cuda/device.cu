/* kernels/device.h on CUDA. The runtime is linked statically and touched only when a device is asked for. */
#include "cuda/device.cuh"
#include <pthread.h>
#include <stdio.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool available;
static char reason[512];
static ffl_device_info info;

/* Its only use: the runtime says whether this build has code for the device. */
__global__ static void probe_kernel()
{
}

static void describe(const cudaDeviceProp *p, int device)
{
    snprintf(info.name, sizeof info.name, "%s", p->name);
    info.major = p->major;
    info.minor = p->minor;
    info.multiprocessors = p->multiProcessorCount;
    info.l2_bytes = (size_t)p->l2CacheSize;
    info.memory_bytes = p->totalGlobalMem;
    /* Unknown ones stay 0 or empty. */
    (void)cudaDriverGetVersion(&info.driver);
    (void)cudaRuntimeGetVersion(&info.runtime);
    (void)cudaDeviceGetPCIBusId(info.pci, (int)sizeof info.pci, device);
    (void)cudaGetLastError();
}

static void probe()
{
    int count = 0, device = 0;
    cudaDeviceProp properties;
    cudaFuncAttributes attributes;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count == 0)
        error = cudaErrorNoDevice;
    if (error == cudaSuccess)
        error = cudaGetDevice(&device);
    if (error == cudaSuccess)
        error = cudaGetDeviceProperties(&properties, device);
    if (error != cudaSuccess) {
        cudaGetLastError();
        snprintf(reason, sizeof reason, "no CUDA device: %s (%s)", cudaGetErrorString(error),
                 cudaGetErrorName(error));
        return;
    }
    describe(&properties, device);
    error = cudaFuncGetAttributes(&attributes, probe_kernel);
    if (error != cudaSuccess) {
        cudaGetLastError();
        snprintf(reason, sizeof reason, "%s, compute capability %d%d: %s; built for %s (-Dgpu_arch)",
                 info.name, properties.major, properties.minor, cudaGetErrorString(error), FFL_GPU_ARCH);
        return;
    }
    available = true;
}

bool ffl_device_available(const char **why)
{
    pthread_once(&once, probe);
    *why = reason;
    return available;
}

const char *ffl_device_name(void)
{
    pthread_once(&once, probe);
    return info.name;
}

bool ffl_device_lost(const char **why)
{
    *why = "";
    if (!available)
        return false;
    cudaGetLastError();
    const cudaError_t error = cudaDeviceSynchronize();
    if (error != cudaSuccess)
        *why = cudaGetErrorString(error);
    return error != cudaSuccess;
}

bool ffl_device_emulated(void)
{
#ifdef FFL_CUDA_EMULATED
    return true;
#else
    return false;
#endif
}

const ffl_device_info *ffl_device_describe(void)
{
    pthread_once(&once, probe);
    return available ? &info : NULL;
}

ffl_status ffl_cuda_fail(cudaError_t error, const char *call, const char *file, int line)
{
    cudaGetLastError();
    return ffl_fail(FFL_DEVICE, "%s:%d: %s: %s (%s)", file, line, call, cudaGetErrorString(error),
                    cudaGetErrorName(error));
}

ffl_status ffl_device_alloc(size_t bytes, void **out)
{
    *out = NULL;
    const cudaError_t error = cudaMalloc(out, bytes > 0 ? bytes : 1);
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        return ffl_fail(FFL_NO_MEMORY, "%.1f MB of device memory: %s", 1e-6 * (double)bytes,
                        cudaGetErrorString(error));
    }
    FFL_CUDA_TRY(error);
    return FFL_OK;
}

void ffl_device_free(void *buffer)
{
    if (buffer)
        cudaFree(buffer);
}

ffl_status ffl_device_upload(void *device, const void *host, size_t bytes)
{
    FFL_CUDA_TRY(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice));
    /* From pageable memory it may return while the last part is on its way, and other streams do not wait. */
    FFL_CUDA_TRY(cudaStreamSynchronize(0));
    return FFL_OK;
}

ffl_status ffl_device_download(void *host, const void *device, size_t bytes)
{
    FFL_CUDA_TRY(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost));
    return FFL_OK;
}

ffl_status ffl_device_fill(void *device, int byte, size_t bytes)
{
    FFL_CUDA_TRY(cudaMemset(device, byte, bytes));
    FFL_CUDA_TRY(cudaStreamSynchronize(0)); /* it only enqueues */
    return FFL_OK;
}

ffl_status ffl_device_synchronize(void)
{
    FFL_CUDA_TRY(cudaDeviceSynchronize());
    return FFL_OK;
}
