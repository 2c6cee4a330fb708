/* Clocks of a GPU, from NVIDIA's management library where the driver brought it (opened at run time). */
#ifndef FFL_HARNESS_NVML_H
#define FFL_HARNESS_NVML_H

#include <stdbool.h>

typedef struct ffl_nvml_clocks {
    double sm_mhz, memory_mhz;         /* now */
    double sm_max_mhz, memory_max_mhz; /* as the card allows */
    double watts, watts_limit;         /* NaN where it does not say, as the others */
} ffl_nvml_clocks;

/* False where the library, or the card at this bus address, is not there. */
bool ffl_nvml_read(const char *pci, ffl_nvml_clocks *out);

#endif
