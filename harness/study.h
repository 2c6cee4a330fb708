/*
 * Studies: named lists of command lines that belong together and share one results folder. A step is written
 * in the words of the command line, so whoever reads a study can run any part of it by hand.
 */
#ifndef FFL_HARNESS_STUDY_H
#define FFL_HARNESS_STUDY_H

#include <stdbool.h>
#include <stddef.h>

typedef struct ffl_study_step {
    const char *command; /* NULL ends the steps */
    const char *line;    /* options, over those given to `fflab study` */
    double share; /* of the time budget, in parts: "calibrate", which may be skipped, leaves its part */
    bool device;  /* only where one can be timed; elsewhere it is left out, reason told, and its share too */
} ffl_study_step;

typedef struct ffl_study {
    const char *name, *summary;
    double budget_s; /* unless --budget or --full says otherwise */
    const ffl_study_step *steps;
} ffl_study;

/* All studies, the default one first, ended by {NULL} (harness/studies.c). */
extern const ffl_study ffl_studies[];

#endif
