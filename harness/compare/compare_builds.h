/* Rows of this program and of another build's, timed in turns. */
#ifndef FFL_HARNESS_COMPARE_BUILDS_H
#define FFL_HARNESS_COMPARE_BUILDS_H

#include "harness/cli.h"
#include "reports/comparison.h"

/* FFL_BAD_INPUT names a bad option; nothing runs. */
ffl_status ffl_compare_builds_check(const ffl_options *options);

/* *failed: rows that did not PASS on one of the sides; they are among those left out. */
ffl_status ffl_compare_builds(const ffl_options *options, double margin, ffl_comparison *out, size_t *failed);

#endif
