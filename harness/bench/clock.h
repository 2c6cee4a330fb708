/* The clock of every sample, and what reading it costs. */
#ifndef FFL_HARNESS_CLOCK_H
#define FFL_HARNESS_CLOCK_H

#include <time.h>

static inline double ffl_clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

/* Shortest time seen between two readings: every sample contains about this much, and it is not subtracted.
 */
static inline double ffl_clock_overhead_ns(void)
{
    double least = 1e9;
    for (int i = 0; i < 1000; i++) {
        const double start = ffl_clock_ns(), took = ffl_clock_ns() - start;
        least = took < least ? took : least;
    }
    return least;
}

#endif
