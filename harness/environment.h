/*
 * The environment that BLAS libraries and OpenMP read when they are loaded. main calls this first: it works
 * out the best settings, sets them and re-executes the program once, so that a variable left over in the
 * user's shell (OPENBLAS_CORETYPE=Haswell halves OpenBLAS) cannot handicap the dense baseline.
 */
#ifndef FFL_HARNESS_ENVIRONMENT_H
#define FFL_HARNESS_ENVIRONMENT_H

#include "kernels/status.h"
#include <stdbool.h>

/* Returns FFL_OK in the right environment, or does not return (re-executes argv). keep: obey the user's. */
ffl_status ffl_environment_enter(char **argv, bool keep);

#endif
