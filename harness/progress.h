/*
 * Progress on standard error: on a terminal one line that rewrites itself, with time left; in a pipe a plain
 * line every few seconds. Results go to standard output and are never mixed into it.
 */
#ifndef FFL_HARNESS_PROGRESS_H
#define FFL_HARNESS_PROGRESS_H

#include <stddef.h>

typedef struct ffl_progress ffl_progress;

/* `what` is a verb phrase, "checking"; `total` in units of any size. NULL on lack of memory is harmless. */
ffl_progress *ffl_progress_new(const char *what, double total);

/* `done` of total, and what is at work now. */
void ffl_progress_show(ffl_progress *progress, double done, const char *label);

/* Clears the line before something else is printed to the terminal. */
void ffl_progress_clear(ffl_progress *progress);

void ffl_progress_free(ffl_progress *progress);

#endif
