/* What `bench` prints about a finished group. */
#ifndef FFL_HARNESS_TABLE_H
#define FFL_HARNESS_TABLE_H

#include "harness/bench/groups.h"
#include "reports/rows.h"

/* Rows first … first + count - 1 of `rows` are the group's: a heading, the routing, and a line per row, the
 * fastest first. A row that cannot run here is named with its reason, once in a run. */
void ffl_table_print(const ffl_group *group, const ffl_rows *rows, size_t first, size_t count);

/* {"results": […]}: the records with both speed-ups and what they were taken against. */
ffl_status ffl_table_print_json(const ffl_rows *rows);

#endif
