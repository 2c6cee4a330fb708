/*
 * The lines of a journal, one at a time, whatever the file holds: no more than one line is in memory, and of
 * one above FFL_LINE_MAX only the beginning.
 */
#ifndef FFL_REPORTS_LINES_H
#define FFL_REPORTS_LINES_H

#include "kernels/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { FFL_LINE_MAX = 64 << 20 };

typedef struct ffl_lines {
    const char *path;
    FILE *file;
    char *text;              /* the line, without its newline, until the next call */
    size_t length, capacity; /* of the text */
    size_t number;           /* of the line, from 1 */
    bool torn, too_long;     /* no newline at its end; above FFL_LINE_MAX */
} ffl_lines;

/* FFL_BAD_INPUT names the file when it cannot be opened, or is larger than the memory that is left. */
ffl_status ffl_lines_open(const char *path, ffl_lines *out);

/* *more: there was a line. FFL_BAD_INPUT when reading fails. */
ffl_status ffl_lines_next(ffl_lines *lines, bool *more);

void ffl_lines_close(ffl_lines *lines);

#endif
