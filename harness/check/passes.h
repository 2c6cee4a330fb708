/*
 * How a variant is called on all rows of a case, by one prepared instance:
 *
 *   forwards    full batches; buffers end flush against an unmapped page; y holds plausible old values
 *   backwards   the rows in reverse, a partial batch first; buffers start flush against an unmapped page, or
 *               0 to 3 floats after it; y holds NaN
 *   again       a few rows, and at the same addresses others behind the same first row
 *
 * so that cached outputs, rows left as they were, and sizes taken from the plan instead of the call show.
 * Around each call: canaries, read-only inputs, poisoned scratch, what must not leak (guard.h, leaks.h).
 */
#ifndef FFL_HARNESS_PASSES_H
#define FFL_HARNESS_PASSES_H

#include "harness/check/trial.h"
#include "harness/instance.h"

/* Again: the rows of one call, all but the first in reverse; a row alone is another one. */
typedef enum ffl_order { FFL_FORWARDS = 0, FFL_BACKWARDS, FFL_AGAIN } ffl_order;

typedef struct ffl_passes {
    const ffl_layer *layer; /* in guarded memory */
    const float *x;         /* [rows][width_in] */
    size_t batch, rows;     /* of one full call; of all calls of a pass */
    uint64_t seed;
    ffl_layout layout;
    float *got; /* [rows][width_out]: what the last call on each row gave */
} ffl_passes;

/* All rows once. *fine: false, with the reason in `why`, when the variant misbehaved; its outputs are for the
 * judge. A failure status is the lab's own trouble. */
ffl_status ffl_passes_run(const ffl_passes *passes, const ffl_instance *instance, ffl_order pass, bool *fine,
                          char *why, size_t size);

/*
 * nodes [rows][trees][levels]: which the variant says it visits, call by call as the pass ran them: where z
 * is next to nothing, a row's path may depend on its place in the batch, and a dispatcher takes other kernels
 * for fewer tokens. False when it does not say.
 */
bool ffl_passes_trace(const ffl_passes *passes, const ffl_instance *instance, ffl_order pass, int32_t *nodes);

#endif
