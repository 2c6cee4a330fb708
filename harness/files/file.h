/* Files from outside, opened; files for outside, replaced whole or not at all. */
#ifndef FFL_HARNESS_FILE_H
#define FFL_HARNESS_FILE_H

#include "kernels/status.h"
#include <stdio.h>

/* A regular file for reading, and its size. FFL_BAD_INPUT names the path when it is missing, unreadable, a
 * directory or a device. The caller closes *descriptor. */
ffl_status ffl_file_open(const char *path, int *descriptor, size_t *bytes);

/* A file on its way: written beside `path` and renamed by ffl_file_commit, so that a failure, a crash or
 * Ctrl-C leaves what was there before. */
typedef struct ffl_new_file {
    FILE *stream;
    char path[4096], temporary[4096 + 16]; /* links resolved */
} ffl_new_file;

ffl_status ffl_file_begin(const char *path, ffl_new_file *out);

/* Renames when everything written since ffl_file_begin reached the file; otherwise removes it and fails. */
ffl_status ffl_file_commit(ffl_new_file *file);

/* Gives up: removes the temporary file. */
void ffl_file_abandon(ffl_new_file *file);

#endif
