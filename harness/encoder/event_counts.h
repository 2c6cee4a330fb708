/* --counters: what the processor and the kernel count in each part of a pass (harness/counters/events.h). */
#ifndef FFL_HARNESS_EVENT_COUNTS_H
#define FFL_HARNESS_EVENT_COUNTS_H

#include "harness/encoder/serve_session.h"

/* "available": names, "missing": {name: reason}. */
json_t *ffl_event_names_json(const ffl_events *events);

/*
 * Some more passes, counted and not timed: reading the counters takes time of its own. Adds to a row
 *   "counters": {"passes": n, "parts": {"norm": {"cycles": per pass, …}, …}}
 * of the layers that ran, all threads together.
 */
ffl_status ffl_serve_count(ffl_serve_session *s, ffl_encoder *e, json_t *row);

/* The tables of it, and a line per reason why some events are missing. */
void ffl_print_counters(const json_t *model, const json_t *rows);

#endif
