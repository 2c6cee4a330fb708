/* What --invariance and --properties found, for readers: lines, a table, and the journal's form. */
#ifndef FFL_HARNESS_WAYS_TABLE_H
#define FFL_HARNESS_WAYS_TABLE_H

#include "harness/check/ways.h"
#include "kernels/variant.h"

typedef struct ffl_ways_row {
    const ffl_variant *variant;
    const ffl_way_outcomes *outcomes;
} ffl_ways_row;

/* One table of the invariances and one of the properties, on standard output; nothing where none was tried.
 */
void ffl_ways_print(const ffl_ways_row *rows, size_t count);

/* "; other bits: threads, batch; broken: mirror", as the end of a line; nothing where all bits are the same.
 */
void ffl_ways_print_others(const ffl_way_outcomes *outcomes);

/* {"outcomes": …, "promised": …}; NULL where nothing was tried. */
json_t *ffl_ways_to_json(const ffl_variant *variant, const ffl_way_outcomes *outcomes);

#endif
