/*
 * --problems FILE: one case per line in the words of the command line, # for comments. Every line is read
 * and validated before the first one runs.
 */
#ifndef FFL_HARNESS_PROBLEMS_H
#define FFL_HARNESS_PROBLEMS_H

#include "harness/cli.h"

/* Runs the command once, or once per line of its problem file; the exit code is the gravest of all. */
ffl_status ffl_problems_run(const ffl_options *options, int *exit_code);

/* A failed check outranks everything; "nothing ran" holds only if it holds for all. */
int ffl_exit_graver(int a, int b);

#endif
