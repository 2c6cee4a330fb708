/* From rows of bench to cells of the tuning table (harness/auto/table.h). */
#ifndef FFL_HARNESS_DERIVE_H
#define FFL_HARNESS_DERIVE_H

#include "harness/auto/table.h"
#include "reports/rows.h"

/*
 * One cell for each layer, batch, threads, routing and class with a row that may be ranked; dispatchers, cold
 * caches and kernels that this build lacks are left out. Times are lower quartiles: what comes from outside
 * only ever adds. On success to be freed.
 */
ffl_status ffl_derive_table(const ffl_rows *rows, ffl_tuned_table *out);

/* Share of pairs of tokens that meet in one leaf under this routing, less chance; as observed at run time. */
double ffl_derive_shared(const ffl_record *record);

#endif
