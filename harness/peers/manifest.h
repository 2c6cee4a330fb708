/*
 * Manifests of process variants: JSON files that say what a program computes, and how, so that it joins the
 * table of variants (README.md has the keys). They come from outside: everything is validated before use.
 */
#ifndef FFL_HARNESS_MANIFEST_H
#define FFL_HARNESS_MANIFEST_H

#include "kernels/variant.h"
#include <jansson.h>

enum { FFL_PEER_WORDS_MAX = 32, FFL_PEER_NEEDS_MAX = 8 };

/* One entry. Strings are owned; command and needs end with NULL. */
typedef struct ffl_peer_manifest {
    ffl_variant variant; /* name to contract; its functions are for peers.c to fill in */
    char *name, *summary, *source;
    char *folder; /* of the file: where the program runs */
    char *command[FFL_PEER_WORDS_MAX + 1];
    char *needs[FFL_PEER_NEEDS_MAX + 1]; /* Python modules without which it is not started */
    json_t *arguments;                   /* object, handed to the program as it is; NULL: none */
    bool activations[3];                 /* that it takes, by ffl_activation */
    double prepare_s, run_s;             /* without a reply for so long, it counts as hung */
} ffl_peer_manifest;

/*
 * Reads a file of one entry, an array of them, or {"common": …, "variants": […]}, where entries take from
 * "common" what they do not say themselves. FFL_BAD_INPUT names file, entry and key. The entries are
 * allocated one by one, *out (free) holds pointers to them.
 */
ffl_status ffl_peer_manifests_read(const char *path, ffl_peer_manifest ***out, size_t *count);

void ffl_peer_manifest_free(ffl_peer_manifest *manifest);

#endif
