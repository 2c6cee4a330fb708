/*
 * Buffers between two unmapped pages. A buffer lies flush against the page after it or the page before it,
 * but for what a placement leaves between them (declared over-read, an odd start). What is mapped but not
 * part of the buffer holds a canary, a NaN of known bits: reading it shows in the result, writing it is
 * found.
 */
#ifndef FFL_HARNESS_GUARD_H
#define FFL_HARNESS_GUARD_H

#include "kernels/layer.h"
#include "kernels/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ffl_fence { FFL_FENCE_AFTER = 0, FFL_FENCE_BEFORE } ffl_fence;

typedef struct ffl_guarded {
    const char *name; /* "x", "y", "w_in": for messages */
    uint32_t canary;  /* its own: arithmetic carries a NaN's bits from one buffer to the next */
    float *data;      /* the buffer */
    size_t bytes;
    unsigned char *map, *pages; /* all of it; the mapped pages between the fences */
    size_t map_bytes, pages_bytes;
    bool locked;
} ffl_guarded;

typedef struct ffl_placement {
    ffl_fence fence;
    size_t before;    /* FFL_FENCE_BEFORE: bytes between the page's start and the buffer */
    size_t after;     /* bytes past the buffer that may be read, with either fence */
    size_t alignment; /* of the buffer, a power of two, at least 4 */
} ffl_placement;

/* The buffer itself holds canaries too. It is as near to its fence as the placement allows. */
ffl_status ffl_guard_new(const char *name, size_t bytes, const ffl_placement *placement, ffl_guarded *out);

/* Read-only, until the buffer is freed or unlocked. */
ffl_status ffl_guard_lock(ffl_guarded *guarded, bool locked);

/* False when a canary outside the buffer changed; *offset is then its distance in bytes: negative before the
 * buffer's start, otherwise counted from its end. */
bool ffl_guard_intact(const ffl_guarded *guarded, ptrdiff_t *offset);

void ffl_guard_free(ffl_guarded *guarded);

/*
 * Says what a faulting access at `address` broke: "4 bytes past the end of x", "at byte 0 of x, which is
 * read-only". False when the address belongs to no live guarded buffer. Safe in a signal handler.
 */
bool ffl_guard_explain(const void *address, char *out, size_t size);

/* ---- The weights of a layer in such buffers, read-only ---- */

enum { FFL_GUARDED_WEIGHTS = 6 };

typedef struct ffl_guarded_layer {
    ffl_layer layer; /* its weights are the ones below */
    ffl_guarded weights[FFL_GUARDED_WEIGHTS];
} ffl_guarded_layer;

/* A copy of `from`. */
ffl_status ffl_guarded_layer_new(const ffl_layer *from, ffl_guarded_layer *out);
void ffl_guarded_layer_free(ffl_guarded_layer *layer);

/* ---- Rows of floats inside such a buffer ---- */

typedef struct ffl_guarded_rows {
    ffl_guarded memory;
    float *data; /* [tokens][ld]; the last row ends at its width */
    size_t tokens, width, ld;
} ffl_guarded_rows;

ffl_status ffl_guarded_rows_new(const char *name, size_t tokens, size_t width, size_t ld,
                                const ffl_placement *placement, ffl_guarded_rows *out);

/* False, with what was written in `why`, when padding or surroundings lost a canary. */
bool ffl_guarded_rows_intact(const ffl_guarded_rows *rows, char *why, size_t size);

void ffl_guarded_rows_free(ffl_guarded_rows *rows);

#endif
