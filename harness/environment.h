/*
 * The environment that BLAS libraries and OpenMP read when they are loaded. main calls this first: it works
 * out the best settings, sets them and re-executes the program once, so that a variable left over in the
 * user's shell (OPENBLAS_CORETYPE=Haswell halves OpenBLAS) cannot handicap the dense baseline.
 *
 *   removed   everything that begins with OPENBLAS_, GOTO, BLIS_, OMP_, GOMP_, KMP_ or MKL_
 *   set       OPENBLAS_CORETYPE, BLIS_ARCH_TYPE: the fastest family (harness/blas_probe.h), measured once and
 *             cached (harness/blas_cache.h); OPENBLAS_THREAD_TIMEOUT=4 and GOMP_SPINCOUNT=0: idle threads
 *             sleep instead of burning a core for 80 ms after each call
 *   FFLAB_BLAS   what was measured and what was overridden, for workers and for the questions below; its
 *             presence is what stops a second round
 *
 * Commands without the option --keep-blas-environment call no BLAS and are left alone.
 */
#ifndef FFL_HARNESS_ENVIRONMENT_H
#define FFL_HARNESS_ENVIRONMENT_H

#include "harness/cli.h"
#include "kernels/blas.h"
#include <jansson.h>
#include <stdbool.h>

/*
 * Returns FFL_OK in the right environment, or does not return (re-executes argv). With
 * --keep-blas-environment the user's variables stay; how fast the libraries are under them is measured.
 */
ffl_status ffl_environment_enter(char **argv, const ffl_options *options);

/*
 * True when the family that the provider runs was measured below 90 % of the best family it has here; *why
 * names both with their rates. Such a result is never a denominator. False when nothing was measured (in a
 * program that did not come through ffl_environment_enter).
 */
bool ffl_blas_handicapped(const ffl_blas *blas, const char **why);

/* What the user's environment asked for in vain: "OPENBLAS_CORETYPE=Haswell OMP_NUM_THREADS=1"; or "". */
const char *ffl_environment_overridden(void);

/* The open providers, an array: library, path, version, family, gflops, best_family, best_gflops,
 * handicapped, reason. A new reference. */
json_t *ffl_environment_providers(void);

#endif
