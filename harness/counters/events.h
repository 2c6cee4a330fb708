/*
 * Event counters of this process and the threads it starts, through perf_event_open (Linux). The hardware
 * ones exist only where the kernel and, in a virtual machine, the hypervisor offer them; each is opened
 * alone, and one that cannot be had says why.
 */
#ifndef FFL_HARNESS_EVENTS_H
#define FFL_HARNESS_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FFL_EVENTS_MAX = 16 };

typedef struct ffl_event {
    const char *name;
    bool hardware;
    int descriptor;     /* -1 when not available */
    const char *reason; /* why not */
} ffl_event;

typedef struct ffl_events {
    ffl_event value[FFL_EVENTS_MAX];
    size_t count;     /* all that were asked for */
    size_t available; /* of them */
    size_t hardware;  /* available ones that count in hardware */
} ffl_events;

/* One reading of all events, scaled up where the kernel shared a counter between events; NaN: not available.
 */
typedef struct ffl_reading {
    double value[FFL_EVENTS_MAX];
} ffl_reading;

/* Threads started before this call are not counted. */
void ffl_events_open(ffl_events *out);
void ffl_events_close(ffl_events *events);

/* Counts since the events were opened. */
void ffl_events_read(const ffl_events *events, ffl_reading *out);

#endif
