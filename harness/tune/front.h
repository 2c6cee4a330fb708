/* Which kernels the probe sends on to the grid. */
#ifndef FFL_HARNESS_FRONT_H
#define FFL_HARNESS_FRONT_H

#include "harness/bench/groups.h"
#include "reports/rows.h"

/* Among the first in the probe's cells around this group's batch; in any cell, when the group's routing was
 * not probed. True for layers that were not probed at all. */
bool ffl_front_has(const ffl_rows *probe, const ffl_group *group, const ffl_group_row *row);

#endif
