/* The fastest FFF of a race against the fastest dense layer: the number a user lives with. */
#ifndef FFL_REPORTS_DUEL_H
#define FFL_REPORTS_DUEL_H

#include "reports/speedup.h"

typedef struct ffl_duel {
    const ffl_row *fff, *dense; /* the fastest of each, a reduced one only where no full one is; or NULL */
    int64_t neurons;            /* of the dense side */
    ffl_speedup speedup;        /* ratio NAN when a side is missing */
} ffl_duel;

/* `race` as from ffl_races; `neurons` of the dense side: the race's own, or one of ffl_other_sizes. */
ffl_duel ffl_duel_of(const ffl_rows *rows, const ffl_row *race, int64_t neurons);

#endif
