/*
 * check --properties: what follows from the equations of a layer without any reference (spelled.h has the
 * layers):
 *
 *   path        the nodes that y spells are a path from the root: right after a positive activation, left
 * after a negative one mirror      y moves by -z·w_out of the visited nodes, and these stay the same: act(z)
 * - act(-z) = z for GELU, its tanh form and ReLU scaled-out  y·2^k, bit for bit scaled-in   the same y, bit
 * for bit last-level  zeros there give what one level less gives (dense: one neuron less) relabelled  trees
 * (dense: neurons) in another order give the same y
 *
 * z is one double-precision product of x with the row that y named. Where rounding leaves a decision open
 * (|z| within the bound that the contract earns) both children are right, and what lies below is not
 * compared. Differences of two outputs are held to the sum of their bounds: beyond the statistical ones
 * SUSPECT, beyond the worst case FAILED.
 */
#ifndef FFL_HARNESS_PROPERTIES_H
#define FFL_HARNESS_PROPERTIES_H

#include "harness/check/trial.h"

/* The fixture's name of such a case. */
#define FFL_PROPERTIES "properties"

typedef struct ffl_properties ffl_properties;

/* The width of outputs in the case is replaced by the one that names need. */
ffl_status ffl_properties_new(const ffl_check_case *check_case, ffl_properties **out);

/* Fills verdict, reason and outcomes. A failure status is the lab's own trouble, never the variant's. */
ffl_status ffl_properties_run(ffl_properties *properties, const ffl_variant *variant, ffl_judgement *out);

void ffl_properties_free(ffl_properties *properties);

#endif
