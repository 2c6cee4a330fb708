/*
 * y = x·wᵀ (+ bias) with one fixed matrix: what an encoder's projections are. w is packed once, as panels for
 * the register tiles of kernels/tiled.h; a block of FFL_TILED_ROWS rows of x then passes over all of it.
 *
 *   w  [outputs][inputs]     x  [rows][ldx], read only     y  [rows][ldy], overwritten
 *
 * All float, row-major, ldx >= inputs, ldy >= outputs, not overlapping; padding is untouched. Every element
 * is one sum in an order that depends on the matrix alone: not on rows, threads, or a row's place.
 */
#ifndef FFL_KERNELS_PRODUCT_H
#define FFL_KERNELS_PRODUCT_H

#include "kernels/tiled.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The tiles of this machine (AVX-512, AVX2); NULL: it has none, and products need a BLAS. */
const ffl_tiled *ffl_product_kernel(void);

typedef struct ffl_product {
    const ffl_tiled *kernel;
    size_t outputs, inputs;
    float
        *panels; /* owned: [outputs / tile][inputs / FFL_TILED_DEPTH][panels of a tile][k][FFL_TILED_PANEL] */
} ffl_product;

/* Packs w, which may go afterwards. FFL_NO_MEMORY when there is no room. */
ffl_status ffl_product_new(const ffl_tiled *kernel, const float *w, size_t outputs, size_t inputs,
                           ffl_product *out);
void ffl_product_free(ffl_product *product);

/* Bytes of scratch, 64-byte aligned, that a product of at most `rows` rows needs on so many threads. */
size_t ffl_product_scratch(size_t rows, size_t inputs, int threads);

/* bias [outputs] or NULL. */
void ffl_product_run(const ffl_product *product, const float *x, size_t ldx, size_t rows, const float *bias,
                     float *y, size_t ldy, void *scratch, int threads);

/* The twins: only for ffl_product_kernel, which knows what the machine has, and for what needs the same
 * instruction set itself. */
extern const ffl_tiled ffl_product_avx2, ffl_product_avx512;

#ifdef __cplusplus
}
#endif
#endif
