/* Single values of a manifest that is being read: each of its type and within its bounds, or a message that
 * says where it stands and what was expected. A key that is not there leaves *out as it is. */
#ifndef FFL_HARNESS_MANIFEST_VALUES_H
#define FFL_HARNESS_MANIFEST_VALUES_H

#include "harness/peers/manifest.h"

enum { FFL_MANIFEST_TEXT_MAX = 400 };

/* Where a value stands, for messages. */
typedef struct ffl_manifest_place {
    const char *path, *name; /* of the entry; "" before it is known */
    const json_t *object;
} ffl_manifest_place;

/* FFL_BAD_INPUT: "FILE: NAME: KEY: …". */
ffl_status ffl_manifest_refuse(const ffl_manifest_place *at, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Refuses what is not among the known keys. */
ffl_status ffl_manifest_check_keys(const ffl_manifest_place *at, const char *const *known, size_t count);

/* A text of one line, which must be there; a copy (free). */
ffl_status ffl_manifest_text(const ffl_manifest_place *at, const char *key, char **out);

ffl_status ffl_manifest_flag(const ffl_manifest_place *at, const char *key, bool *out);
ffl_status ffl_manifest_number(const ffl_manifest_place *at, const char *key, double least, double most,
                               double *out);

/* The index of a word in `names`. */
ffl_status ffl_manifest_word(const ffl_manifest_place *at, const char *key, const char *const *names,
                             size_t count, int *out);

/* Copies (free) of 1 to `most` words. */
ffl_status ffl_manifest_list(const ffl_manifest_place *at, const char *key, bool needed, char **out,
                             size_t most);

#endif
