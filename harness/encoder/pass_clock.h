/*
 * Where the time of a pass goes. Every stretch of work is filed under its part and layer as soon as it is
 * over; a backend of the encoder (encoder.h) needs nothing else for its times to appear everywhere.
 *
 *     ffl_pass_clock_clear(&clock);               before a pass
 *     double start = ffl_pass_clock_ns();
 *     … work …;  ffl_pass_clock_count(&clock, part, &start);      start is then that of the next stretch
 */
#ifndef FFL_HARNESS_PASS_CLOCK_H
#define FFL_HARNESS_PASS_CLOCK_H

#include "harness/counters/events.h"
#include "kernels/status.h"
#include <stddef.h>
#include <stdint.h>

typedef enum ffl_part {
    FFL_PART_EMBEDDING = 0,
    FFL_PART_NORM,
    FFL_PART_QKV,
    FFL_PART_ATTENTION,
    FFL_PART_PROJECTION,
    FFL_PART_FEEDFORWARD,
    FFL_PART_LOGITS,
    FFL_PART_COUNT
} ffl_part;

const char *ffl_part_name(ffl_part part);

/* One stretch of work in a part; layer SIZE_MAX: before or after the layers. */
typedef struct ffl_encoder_event {
    ffl_part part;
    size_t layer;
    double start_ns, ns; /* start: of the monotonic clock */
} ffl_encoder_event;

typedef struct ffl_pass_clock {
    size_t layer; /* at work; SIZE_MAX: none. The backend sets it. */

    double ns[FFL_PART_COUNT]; /* sums since the last clear */
    ffl_encoder_event *events; /* owned; since the last clear, as many as there is room for */
    size_t event_count, event_capacity;

    const ffl_events *counters;                    /* NULL: none are read */
    ffl_reading last;                              /* when the stretch at work began */
    double counts[FFL_PART_COUNT][FFL_EVENTS_MAX]; /* since the last clear; NaN: not available */
} ffl_pass_clock;

/* Room for the events of a pass of `tokens` tokens, the logits `at_once` tokens at a time. */
ffl_status ffl_pass_clock_new(size_t layers, size_t tokens, size_t at_once, ffl_pass_clock *out);

double ffl_pass_clock_ns(void); /* now, of the monotonic clock */

/* Files the time since *start under the part and the layer at work; *start = now. */
void ffl_pass_clock_count(ffl_pass_clock *clock, ffl_part part, double *start);

/* Files ns from start_ns on, measured elsewhere, under the part and the layer at work. */
void ffl_pass_clock_file(ffl_pass_clock *clock, ffl_part part, double start_ns, double ns);

void ffl_pass_clock_clear(ffl_pass_clock *clock);
void ffl_pass_clock_free(ffl_pass_clock *clock);

#endif
