/* check --result: judges rows that were computed elsewhere (Triton, Rust, JAX, a notebook). */
#ifndef FFL_HARNESS_EXTERNAL_H
#define FFL_HARNESS_EXTERNAL_H

#include "harness/cli.h"

/* FFL_BAD_INPUT when --result, --weights, --input and --contract do not fit together. */
ffl_status ffl_external_validate(const ffl_options *options);

/* Reads weights, inputs and result, judges all rows, prints one line or the JSON document. */
ffl_status ffl_external_check(const ffl_options *options, int *exit_code);

#endif
