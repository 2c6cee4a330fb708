#include "harness/check/compare.h"
#include <math.h>

enum { LANES = 8 };

static double largest(const double *lanes)
{
    double peak = 0;
    for (size_t k = 0; k < LANES; k++)
        peak = lanes[k] > peak ? lanes[k] : peak;
    return peak;
}

ffl_errors ffl_compare(const float *got, const double *y, const float *statistical, const float *worst,
                       size_t count)
{
    double s[LANES] = {0}, w[LANES] = {0}, poison[LANES] = {0};
    for (size_t j = 0; j < count; j += LANES) {
        const size_t lanes = count - j < LANES ? count - j : LANES;
        for (size_t k = 0; k < lanes; k++) {
            const double error = fabs((double)got[j + k] - y[j + k]);
            const double es = error / (double)statistical[j + k], ew = error / (double)worst[j + k];
            s[k] = es > s[k] ? es : s[k];
            w[k] = ew > w[k] ? ew : w[k];
            /* 0 for a finite error, NaN otherwise: the maxima above lose a NaN. */
            poison[k] += error - error;
        }
    }
    for (size_t k = 0; k < LANES; k++)
        if (!(poison[k] == 0))
            return (ffl_errors){INFINITY, INFINITY};
    return (ffl_errors){largest(s), largest(w)};
}

size_t ffl_compare_exact(const float *got, const double *y, size_t count)
{
    size_t j = 0;
    while (j < count && got[j] == (float)y[j])
        j++;
    return j;
}
