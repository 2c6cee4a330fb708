#include "harness/device/nvml.h"
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

/* From NVIDIA's NVML API reference; every function returns 0 when all is well. */
enum { CLOCK_SM = 1, CLOCK_MEMORY = 2 };
typedef void *nvml_device;

static struct {
    int (*init)(void);
    int (*find)(const char *pci, nvml_device *device);
    int (*clock)(nvml_device device, int type, unsigned *mhz);
    int (*clock_max)(nvml_device device, int type, unsigned *mhz);
    int (*power)(nvml_device device, unsigned *milliwatts);
    int (*power_limit)(nvml_device device, unsigned *milliwatts);
} nvml;
static bool usable;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ISO C has no cast from an object pointer to a function pointer; POSIX says the bytes are the same. */
static bool find_symbol(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

static void open_library(void)
{
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return;
    usable = find_symbol(library, "nvmlInit_v2", &nvml.init) &&
             find_symbol(library, "nvmlDeviceGetHandleByPciBusId_v2", &nvml.find) &&
             find_symbol(library, "nvmlDeviceGetClockInfo", &nvml.clock) &&
             find_symbol(library, "nvmlDeviceGetMaxClockInfo", &nvml.clock_max) &&
             find_symbol(library, "nvmlDeviceGetPowerUsage", &nvml.power) &&
             find_symbol(library, "nvmlDeviceGetEnforcedPowerLimit", &nvml.power_limit) && nvml.init() == 0;
}

static double clock_of(int (*get)(nvml_device, int, unsigned *), nvml_device device, int type)
{
    unsigned mhz;
    return get(device, type, &mhz) == 0 ? (double)mhz : NAN;
}

static double watts_of(int (*get)(nvml_device, unsigned *), nvml_device device)
{
    unsigned milliwatts;
    return get(device, &milliwatts) == 0 ? 1e-3 * (double)milliwatts : NAN;
}

bool ffl_nvml_read(const char *pci, ffl_nvml_clocks *out)
{
    nvml_device device;
    pthread_once(&once, open_library);
    if (!usable || nvml.find(pci, &device) != 0)
        return false;
    *out = (ffl_nvml_clocks){.sm_mhz = clock_of(nvml.clock, device, CLOCK_SM),
                             .memory_mhz = clock_of(nvml.clock, device, CLOCK_MEMORY),
                             .sm_max_mhz = clock_of(nvml.clock_max, device, CLOCK_SM),
                             .memory_max_mhz = clock_of(nvml.clock_max, device, CLOCK_MEMORY),
                             .watts = watts_of(nvml.power, device),
                             .watts_limit = watts_of(nvml.power_limit, device)};
    return true;
}
