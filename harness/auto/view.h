/*
 * What the tuning table says about one layer: per batch and routing, how much slower each candidate is than
 * the best one. Taken from the nearest tuned layer and number of threads.
 */
#ifndef FFL_HARNESS_AUTO_VIEW_H
#define FFL_HARNESS_AUTO_VIEW_H

#include "harness/auto/choice.h"

enum { FFL_VIEW_CANDIDATES = 128 };

typedef struct ffl_view_routing {
    const ffl_tuned_cell *cell, *alone; /* alone: the same on one thread; NULL without */
    double regret[FFL_VIEW_CANDIDATES]; /* time over the best candidate's, minus 1 */
} ffl_view_routing;

typedef struct ffl_view_batch {
    size_t tokens;
    ffl_view_routing routing[FFL_AUTO_ROUTINGS]; /* by `shared`, ascending */
    size_t routings;
    bool looks; /* the routing can be observed */
} ffl_view_batch;

typedef struct ffl_view {
    const ffl_variant *self;
    const ffl_layer *shape;
    size_t max_tokens;
    int threads;
    ffl_view_batch batch[FFL_AUTO_RANGES]; /* ascending; those that max_tokens reaches */
    size_t batches;
    const ffl_variant *candidate[FFL_VIEW_CANDIDATES];
    size_t candidates;
} ffl_view;

/* Fills batches and candidates, none when nothing tuned is near; the first four fields are given. */
void ffl_view_look_up(ffl_view *view, const ffl_tuned_table *table);

#endif
