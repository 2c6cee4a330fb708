/*
 * The list in variants/meson.build: one sorted line per file, which is all the build needs to know of it.
 */
#ifndef FFL_HARNESS_VARIANT_LIST_H
#define FFL_HARNESS_VARIANT_LIST_H

#include "kernels/status.h"

/*
 * Adds the line  ['stem', 'isa', 'library'],  where it belongs, and replaces the file at once: it is either
 * as before or complete. FFL_BAD_INPUT when there is such a line already, or no list to add it to.
 */
ffl_status ffl_variant_list_add(const char *path, const char *stem, const char *isa, const char *library);

#endif
