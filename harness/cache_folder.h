/* Where measurements of this machine are kept between runs: $FFLAB_CACHE_DIR, $XDG_CACHE_HOME/fflab or
 * ~/.cache/fflab. */
#ifndef FFL_HARNESS_CACHE_FOLDER_H
#define FFL_HARNESS_CACHE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

/* Path of `name` there, "" when there is no such place. `make`: makes the folder, so a fresh home works. */
void ffl_cache_file(const char *name, bool make, char *out, size_t size);

#endif
