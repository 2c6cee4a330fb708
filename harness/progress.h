/*
 * Progress on standard error: on a terminal a view that rewrites itself: what is at work and the time left,
 * and below it the notes of whoever works (verdicts so far, best so far); in a pipe a plain line every few
 * seconds. Results go to standard output and are never mixed into it.
 */
#ifndef FFL_HARNESS_PROGRESS_H
#define FFL_HARNESS_PROGRESS_H

#include <stddef.h>

typedef struct ffl_progress ffl_progress;

/* `what` is a verb phrase, "checking"; `total` in units of any size. NULL on lack of memory is harmless. */
ffl_progress *ffl_progress_new(const char *what, double total);

/* `done` of total, and what is at work now. */
void ffl_progress_show(ffl_progress *progress, double done, const char *label);

/* The text of a note from now on, "" for none; it appears with the next show, on a terminal only. */
enum { FFL_PROGRESS_NOTES = 2 };
void ffl_progress_note(ffl_progress *progress, size_t note, const char *text);

/* Clears the view before something else is printed to the terminal. */
void ffl_progress_clear(ffl_progress *progress);

void ffl_progress_free(ffl_progress *progress);

#endif
