/*
 * Many duels at a glance: how many times as fast the fastest FFF is as the fastest dense layer of as many
 * neurons. One grid per tree shape (batches down; class, cache state and threads across), and, where three
 * or more shapes were timed, one per class, cache state and threads (shapes down; batches across).
 */
#ifndef FFL_REPORTS_GRID_H
#define FFL_REPORTS_GRID_H

#include "reports/speedup.h"
#include <stdio.h>

typedef enum ffl_grid_style { FFL_GRID_TEXT, FFL_GRID_MARKDOWN } ffl_grid_style;

/* `races` as from ffl_races. Prints nothing where fewer than two duels can be compared. */
void ffl_grids_print(const ffl_rows *rows, const ffl_row *const *races, size_t count, ffl_grid_style style,
                     FILE *file);

#endif
