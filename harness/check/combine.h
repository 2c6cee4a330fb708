/*
 * Which alternatives did the kernel take? Least squares over the changes of the outputs proposes one
 * combination, enumeration tries all; either way a combination counts only when every element of the row
 * is verified against the bounds of exactly that combination.
 */
#ifndef FFL_HARNESS_COMBINE_H
#define FFL_HARNESS_COMBINE_H

#include "harness/check/admissible.h"
#include "harness/check/compare.h"

/* Outcome of trying combinations of at most one alternative per tree. */
typedef struct ffl_combination {
    ffl_errors errors; /* of the best one, infinite when none was within the worst-case bounds */
    double margin;     /* largest among its alternatives, -1 for the reference path itself */
    bool decided;      /* nothing else can match: all were tried, or the equations have one answer */
} ffl_combination;

/* Errors of the combination item[chosen[0 … count)]; infinite as soon as one exceeds its worst-case bound. */
ffl_errors ffl_combination_errors(const ffl_walk *walk, const ffl_alternatives *alternatives,
                                  const size_t *chosen, size_t count, const float *got);

/* Value and bounds of output j under that combination. */
typedef struct ffl_element {
    double y, statistical, worst;
} ffl_element;
ffl_element ffl_combination_element(const ffl_walk *walk, const ffl_alternatives *alternatives,
                                    const size_t *chosen, size_t count, size_t j);

ffl_status ffl_combination_search(const ffl_walk *walk, const ffl_alternatives *alternatives,
                                  const float *got, ffl_combination *out);

/* False when no combination whatever reaches some element: a bound from below on what can be excluded. */
bool ffl_combination_reachable(const ffl_walk *walk, const ffl_alternatives *alternatives, const float *got);

#endif
