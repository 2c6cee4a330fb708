/*
 * The two products of a layer, in the form that each library does best for few tokens, few rows or many of
 * both. Measured with 4095 neurons of width 768 on one thread (Xeon, AVX-512), both products, µs/token:
 *
 *   tokens                  2     4     8    16    24    32    64
 *   OpenBLAS  one sgemm  2888  1717   957   558   422   284   213
 *             32 rows    1257   826   489   326   275   182   191
 *   BLIS skx  one sgemm  5572  2777  1401   756   511   420   258
 *             sgemv      1329   888   646   512   471   446   408   per token, 64 rows at a time
 */
#ifndef FFL_KERNELS_BLAS_PRODUCTS_H
#define FFL_KERNELS_BLAS_PRODUCTS_H

#include "kernels/blas.h"

/* Rows of the weights to take at once, both products before the next rows; SIZE_MAX: all. */
size_t ffl_blas_row_block(const ffl_blas *blas, size_t tokens, size_t width, int threads);

/* out[t][r] = x[t]·w[r] for `rows` rows; out need not be initialised. */
void ffl_blas_multiply_in(const ffl_blas *blas, const float *x, size_t ldx, size_t tokens, const float *w,
                          size_t width, size_t rows, float *out, size_t ldo);

/* y[t] += Σ_r hidden[t][r]·w[r] */
void ffl_blas_multiply_out(const ffl_blas *blas, const float *hidden, size_t ldh, size_t tokens,
                           const float *w, size_t width, size_t rows, float *y, size_t ldy);

#endif
