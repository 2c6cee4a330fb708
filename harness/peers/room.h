/*
 * A private folder for the files that travel to a program and back: in memory (/dev/shm) while there is room,
 * else in $TMPDIR or /tmp. Folders that a killed process left behind are removed with the next one made.
 */
#ifndef FFL_HARNESS_ROOM_H
#define FFL_HARNESS_ROOM_H

#include "kernels/status.h"
#include <stddef.h>

typedef struct ffl_room {
    char path[256]; /* "" when there is none */
} ffl_room;

/* For files of about so many bytes. FFL_IO, naming the folder, when there is no room for them. */
ffl_status ffl_room_new(double bytes, ffl_room *out);

/* Path of a file in it. */
void ffl_room_file(const ffl_room *room, const char *name, char *out, size_t size);

/* Removes it with all files in it. */
void ffl_room_free(ffl_room *room);

#endif
