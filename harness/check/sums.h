/*
 * The loops that bounds are made of, in double, with the widest vectors of this machine. They decide how
 * long a judge takes to make: a dense one runs each of them over all weights for every row.
 */
#ifndef FFL_HARNESS_SUMS_H
#define FFL_HARNESS_SUMS_H

#include <stddef.h>

/* Σ|x_i·w_i| and Σ(x_i·w_i)²; the products are exact. */
void ffl_sum_products(const float *x, const float *w, size_t n, double *absolute, double *squares);

/* Σx_i·w_i over the products with |x_i| <= x_limit or |w_i| <= w_limit. */
double ffl_sum_small(const float *x, const float *w, size_t n, double x_limit, double w_limit);

/* Largest |v_i|, Σ|v_i| and Σv_i². */
void ffl_sum_norms(const float *v, size_t n, double *peak, double *absolute, double *squares);

/*
 * What one neuron adds to the bounds of every output j, w being its row of w_out.
 *   worst_j += worst·|w_j|    squares_j += value²·w_j²    deviations_j += deviation²·w_j²
 * A negative sign takes the same away again.
 */
typedef struct ffl_spread {
    double value, worst, deviation, sign;
} ffl_spread;

void ffl_sum_spread(const ffl_spread *spread, const float *w, size_t n, double *worst, double *squares,
                    double *deviations);

/* y_j += factor·w_j, everywhere or where |w_j| <= limit */
void ffl_sum_axpy(double factor, const float *w, size_t n, double *y);
void ffl_sum_axpy_small(double factor, double limit, const float *w, size_t n, double *y);

#endif
