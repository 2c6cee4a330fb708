/* What a process variant does when it is prepared, run and released: the fields of its row
 * (kernels/variant.h). */
#ifndef FFL_HARNESS_PEER_INSTANCE_H
#define FFL_HARNESS_PEER_INSTANCE_H

#include "kernels/variant.h"

ffl_status ffl_peer_prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan);
ffl_status ffl_peer_run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                        size_t ldy, size_t tokens);
ffl_status ffl_peer_run_calls(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx,
                              float *y, size_t ldy, size_t tokens, size_t calls, double *ns);
void ffl_peer_release(ffl_plan *plan);

#endif
