/*
 * Device memory between two fences: bytes before and after it that hold a canary, NaN in every float type.
 * Reading a fence shows in the result, writing it is found, with its place.
 */
#ifndef FFL_HARNESS_FENCED_H
#define FFL_HARNESS_FENCED_H

#include "kernels/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FFL_DEVICE_FENCE = 4096 }; /* bytes of each fence, at least */

typedef struct ffl_fenced {
    const char *name;    /* "y", "w_in": for messages */
    uint16_t canary;     /* its own */
    unsigned char *base; /* device memory as allocated */
    unsigned char *data; /* the buffer: on the device, after the front fence */
    size_t bytes, before;
} ffl_fenced;

/*
 * `bytes` of memory, all 0xFF, that begin `offset` (below 256) bytes after a multiple of 256. FFL_DEVICE, or
 * FFL_NO_MEMORY when the device has not so much.
 */
ffl_status ffl_fenced_new(const char *name, size_t bytes, size_t offset, ffl_fenced *out);

/* FFL_DEVICE "wrote 4 bytes before y" or "wrote byte 12 past the end of y" when a fence changed. */
ffl_status ffl_fenced_intact(const ffl_fenced *fenced);

/* FFL_DEVICE "changed w_in at byte 128" when the buffer no longer holds these bytes. */
ffl_status ffl_fenced_unchanged(const ffl_fenced *fenced, const void *bytes);

/* Writes the fences again, for a caller that has reported the damage. */
ffl_status ffl_fenced_restore(const ffl_fenced *fenced);

/* The canary, `bytes` (even) times one. */
void ffl_fenced_pattern(const ffl_fenced *fenced, void *out, size_t bytes);

void ffl_fenced_free(ffl_fenced *fenced);

#endif
