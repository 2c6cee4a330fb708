/*
 * Which kernel family of a BLAS is the fastest here: sgemm is timed with each candidate, in a spawned worker
 * of its own, because a family is chosen when the library is loaded and a wrong one may kill the process.
 * One result is a JSON object:
 *
 *   path, version   of the shared object; path "" when the library cannot be had (nothing else is there)
 *   rates           {"SkylakeX": 117.5, "Haswell": 75.0}: GFLOP/s of one thread, best of several
 *   best            the family to use: the fastest, or the library's own choice when within 3 % of that
 *   variable        "OPENBLAS_CORETYPE", "BLIS_ARCH_TYPE" or "" when families cannot be chosen
 *   setting         its value for the best family
 */
#ifndef FFL_HARNESS_BLAS_PROBE_H
#define FFL_HARNESS_BLAS_PROBE_H

#include "harness/worker.h"
#include "kernels/variant.h"
#include <jansson.h>

/* Measures all candidates; the caller has cleaned the environment. `path`: of FFL_CBLAS, else NULL. */
ffl_status ffl_blas_probe(ffl_library library, const char *path, json_t **result);

/* GFLOP/s in the environment as it is, best of `rounds`; 0 when the library does not work in it. */
ffl_status ffl_blas_probe_here(ffl_library library, const char *path, int rounds, double *gflops);

/* The worker's side: {library, path} → {path, version, family, gflops, families}. */
ffl_status ffl_blas_rate_job(const json_t *request, ffl_answer *answer);

#endif
