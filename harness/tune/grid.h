/*
 * What `fflab tune` measures: groups of bench (harness/bench/groups.h) over shapes, batches, threads,
 * routings and classes. Two rounds: a probe of all kernels in a few cells, then the whole grid with those
 * that were near the front at a neighbouring batch.
 */
#ifndef FFL_HARNESS_GRID_H
#define FFL_HARNESS_GRID_H

#include "harness/bench/groups.h"
#include "reports/rows.h"

/* The dispatcher of an operation and class; NULL when there is none. */
const ffl_variant *ffl_grid_dispatcher(ffl_operation operation, ffl_type clazz);

/* One thread, the first routing, the smallest, a middle and the largest batch of each shape. */
ffl_status ffl_grid_probe(const ffl_options *options, ffl_group_list *out);

/* The grid, with what the probe's rows recommend; `report`: the dispatchers join. */
ffl_status ffl_grid_main(const ffl_options *options, const ffl_rows *probe, bool report, ffl_group_list *out);

/* Drops groups of which the journal in `rows` holds any finished row: they are written whole. Returns how
 * many. */
size_t ffl_grid_drop(const ffl_rows *rows, ffl_group_list *groups);

#endif
