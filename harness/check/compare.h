/* One row of outputs against what is expected: the loop that every verified element goes through. */
#ifndef FFL_HARNESS_COMPARE_H
#define FFL_HARNESS_COMPARE_H

#include <stddef.h>

/* Largest |got - y| / bound over the elements; infinite when some got is not finite. At most 1: within. */
typedef struct ffl_errors {
    double statistical, worst;
} ffl_errors;

ffl_errors ffl_compare(const float *got, const double *y, const float *statistical, const float *worst,
                       size_t count);

/* First element that is not y rounded to float (-0 equals +0); `count` when all are. */
size_t ffl_compare_exact(const float *got, const double *y, size_t count);

#endif
