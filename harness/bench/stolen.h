/*
 * What the hypervisor of a virtual machine takes: time in which a processor was wanted here and ran others.
 * In clock ticks since boot over the processors that this thread may use, by /proc/stat. On bare metal it is
 * 0.
 */
#ifndef FFL_HARNESS_STOLEN_H
#define FFL_HARNESS_STOLEN_H

typedef struct ffl_ticks {
    double stolen, all; /* NaN where the system does not tell */
} ffl_ticks;

#define FFL_TICKS_FILE "/proc/stat"

ffl_ticks ffl_ticks_read(const char *file);

/* 0 … 1 of the time between two readings; NaN where that is not known, or less than 50 ticks. */
double ffl_stolen_share(ffl_ticks before, ffl_ticks after);

#endif
