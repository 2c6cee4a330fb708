/*
 * Regret: how much longer a dispatcher takes than the fastest single variant timed in the same group.
 */
#ifndef FFL_HARNESS_REGRET_H
#define FFL_HARNESS_REGRET_H

#include "reports/rows.h"

typedef struct ffl_regret {
    const ffl_row *dispatcher, *best; /* of one group and layer */
    double regret;                    /* ratio of medians - 1 */
    const char *picked;               /* what the dispatcher runs there, if it observes the nominal routing */
} ffl_regret;

/* Cells in which a dispatcher and another variant may be ranked, in the rows' order; *out is freed by the
 * caller. */
ffl_status ffl_regret_cells(const ffl_rows *rows, ffl_regret **out, size_t *count);

/* The cells, mean and worst regret, and the noise: the regret where the dispatcher ran the best one itself.
 */
void ffl_regret_print(const ffl_regret *cells, size_t count);
void ffl_regret_print_json(const ffl_regret *cells, size_t count);

#endif
