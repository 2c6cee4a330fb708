/* --trace: one pass per variant as a timeline in Chrome's trace event format (chrome://tracing, Perfetto). */
#ifndef FFL_HARNESS_ENCODER_TIMELINE_H
#define FFL_HARNESS_ENCODER_TIMELINE_H

#include "kernels/status.h"
#include <jansson.h>

/* FFL_BAD_INPUT when such a file cannot be written. */
ffl_status ffl_timeline_check(const char *path);

/* rows: as the worker sends them (serve.h), those with "events". Every variant gets a track, beginning at 0.
 */
ffl_status ffl_timeline_write(const char *path, const json_t *rows);

#endif
