/*
 * One roof while it is being measured: a loop, the memory it goes over, and the rates of its slices. A slice
 * is about a millisecond of the loop on every thread at once, so that a short quiet moment of a busy machine
 * is enough to see the roof.
 */
#ifndef FFL_HARNESS_GAUGE_H
#define FFL_HARNESS_GAUGE_H

#include "harness/roofs/rate_loops.h"
#include "kernels/status.h"

typedef enum ffl_gauge_kind {
    FFL_GAUGE_CHAIN,
    FFL_GAUGE_F32,
    FFL_GAUGE_BF16,
    FFL_GAUGE_INT8,
    FFL_GAUGE_READ,
    FFL_GAUGE_COPY,
    FFL_GAUGE_GATHER,
} ffl_gauge_kind;

/* A loop over memory has several forms (streams side by side, stores, rows fetched ahead), and which is the
 * fastest depends on the processor and the level: all are tried, the best one is the roof. */
enum { FFL_GAUGE_FORMS = 3 };

typedef struct ffl_gauge {
    char name[40];
    const char *unit;
    ffl_gauge_kind kind;
    const ffl_rate_loops *loops;
    int threads;
    size_t set;   /* bytes of each thread that are gone over, again and again; of all when shared */
    size_t piece; /* … in so large pieces: the set itself when a cache is to hold it */
    int shared;   /* all threads read the same set */
    size_t forms;
    uint32_t *order; /* of the rows to gather */

    size_t steps; /* pieces, or rounds of arithmetic, of a slice */
    size_t position;
    double *rate[FFL_GAUGE_FORMS]; /* of the slices, in unit */
    size_t count, capacity;        /* of each form */
} ffl_gauge;

/* Runs three slices of each form on the memory, `region` bytes of it per thread, and keeps their rates.
 * FFL_NO_MEMORY. */
ffl_status ffl_gauge_visit(ffl_gauge *gauge, char *memory, size_t region);

/* The fastest form: its best slice but one, and its median. */
void ffl_gauge_result(ffl_gauge *gauge, double *best, double *median);

void ffl_gauge_free(ffl_gauge *gauge);

#endif
