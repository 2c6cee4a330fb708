/*
 * The ladder: one page from the naive kernel to the best one, step by step. What each step tries and what it
 * was predicted to bring is written here (ladder_steps.c), by hand; what it brought comes from the rows
 * of one run.
 */
#ifndef FFL_REPORTS_LADDER_H
#define FFL_REPORTS_LADDER_H

#include "reports/speedup.h"
#include <stdio.h>

typedef struct ffl_ladder_step {
    const char *variant;   /* NULL ends a ladder */
    const char *idea;      /* what is new against `from` */
    const char *predicted; /* gain over `from`, and why */
    const char *from;      /* the step that this one improves on; NULL for the first */
} ffl_ladder_step;

typedef struct ffl_ladder {
    const char *title; /* NULL ends the ladders */
    const char *shape; /* "1x11": rows of FFF; of FF with as many neurons, where the steps are dense */
    const char *clazz;
    const ffl_ladder_step *steps;
} ffl_ladder;

extern const ffl_ladder ffl_ladders[];

/* True when the rows hold at least three steps of some ladder. */
bool ffl_ladder_worthwhile(const ffl_rows *rows);

/* The page, as Markdown. */
ffl_status ffl_ladder_write(const ffl_rows *rows, FILE *file);

#endif
