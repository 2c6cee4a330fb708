/*
 * The products of an encoder with its fixed matrices: q, k and v, the projection behind attention, the
 * embedding's, and the head's. By the fastest means there is for the model's shape: the sgemm of a BLAS
 * provider, or matrices packed for register tiles (kernels/product.h).
 */
#ifndef FFL_HARNESS_ENCODER_PROJECTION_H
#define FFL_HARNESS_ENCODER_PROJECTION_H

#include "kernels/blas.h"
#include "kernels/product.h"

/* One of the two; both NULL: not chosen yet. */
typedef struct ffl_projection {
    ffl_blas *blas;
    const ffl_tiled *tiles;
} ffl_projection;

/* Measured on tokens x width times width x width: tens of milliseconds, once per shape and process.
 * FFL_UNSUPPORTED when this machine has neither. */
ffl_status ffl_projection_choose(size_t tokens, size_t width, int threads, ffl_projection *out);

/* "openblas", "blis", …, "packed tiles" */
const char *ffl_projection_name(const ffl_projection *projection);

/* Matrices packed so far, by the address of their weights; zero-initialised, owned by those weights' owner.
 */
typedef struct ffl_packed_set {
    struct ffl_packed_matrix *matrix;
    size_t count;
} ffl_packed_set;

/* Packs w [outputs][inputs], if the choice wants that and the set does not hold it yet. */
ffl_status ffl_packed_set_add(ffl_packed_set *set, const ffl_projection *projection, const float *w,
                              size_t outputs, size_t inputs);
void ffl_packed_set_free(ffl_packed_set *set);

/* Bytes of scratch for a product of at most `tokens` rows. */
size_t ffl_projection_scratch(const ffl_projection *projection, size_t tokens, size_t inputs, int threads);

/* y [tokens][outputs] = x [tokens][inputs] · wᵀ + bias, if there is one; w [outputs][inputs], in the set
 * where the choice is to pack. */
void ffl_project(const ffl_projection *projection, const ffl_packed_set *set, const float *x, size_t inputs,
                 size_t tokens, const float *w, const float *bias, size_t outputs, float *y, void *scratch,
                 int threads);

#endif
