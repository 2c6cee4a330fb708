/*
 * Makes a row take a given path. With the normal of every decision on the path, w, and its logit
 * z = x·w + b, a row whose sign is wrong is mirrored at the plane z = 0: for a row of independent normal
 * elements, and no bias, that is exactly the distribution of rows with the other sign: nothing looks made.
 * Mirroring at one plane can undo another; the sweep is repeated until all hold (Motzkin's relaxation).
 */
#ifndef FFL_HARNESS_IMPOSE_H
#define FFL_HARNESS_IMPOSE_H

#include "kernels/layer.h"
#include <stdbool.h>
#include <stdint.h>

/* Decisions are kept this far from their plane, in standard deviations of the logit of a unit-variance row:
 * |z| >= 0.05·‖x‖·‖w‖/√width. f32 kernels err by a ten-thousandth of that, bf16 ones by about a fifth.
 * The few rows for which that cannot be had, at widths of hardly more elements than decisions, get the last.
 */
#define FFL_IMPOSE_MARGIN 0.05
#define FFL_IMPOSE_MARGIN_LAST 0.005

/* ‖w‖² of each row of w_in, into out [neurons]. */
void ffl_impose_squares(const ffl_layer *layer, double *out);

/*
 * Corrects x [width_in] until tree t leads to leaf[t], for all t, with the margin. False when that was not
 * reached; x is then somewhere near. Its length is kept within a twentieth
 * wherever the path allows.
 */
bool ffl_impose_path(const ffl_layer *layer, const double *squares, const uint32_t *leaf, float *x);

#endif
