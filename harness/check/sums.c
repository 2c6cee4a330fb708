#include "harness/check/sums.h"
#include "kernels/cpu.h"
#include <math.h>

#define LANES 16
#define INLINE static inline __attribute__((always_inline))

INLINE void products(const float *x, const float *w, size_t n, double *absolute, double *squares)
{
    /* Independent sums per lane: without them the additions may not be reordered, and nothing vectorises. */
    double a[LANES] = {0}, s[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            const double p = (double)x[i + k] * (double)w[i + k];
            a[k] += fabs(p);
            s[k] += p * p;
        }
    for (; i < n; i++) {
        const double p = (double)x[i] * (double)w[i];
        a[0] += fabs(p);
        s[0] += p * p;
    }
    for (size_t k = 1; k < LANES; k++) {
        a[0] += a[k];
        s[0] += s[k];
    }
    *absolute = a[0];
    *squares = s[0];
}

INLINE double small_products(const float *x, const float *w, size_t n, double x_limit, double w_limit)
{
    double s[LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        const double a = x[i], b = w[i];
        const bool small = (fabs(a) <= x_limit) | (fabs(b) <= w_limit);
        s[i % LANES] += small ? a * b : 0;
    }
    for (size_t k = 1; k < LANES; k++)
        s[0] += s[k];
    return s[0];
}

INLINE void spread_over(const ffl_spread *c, const float *w, size_t n, double *restrict worst,
                        double *restrict squares, double *restrict deviations)
{
    const double cw = c->sign * c->worst, cs = c->sign * c->value * c->value,
                 cd = c->sign * c->deviation * c->deviation;
    for (size_t j = 0; j < n; j++) {
        const double v = w[j], square = v * v;
        worst[j] += cw * fabs(v);
        squares[j] += cs * square;
        deviations[j] += cd * square;
    }
}

/* The same bodies once per instruction set; the inlined copy takes over the target of its caller. */
#define DEFINE(suffix, target)                                                                               \
    target static void products_##suffix(const float *x, const float *w, size_t n, double *absolute,         \
                                         double *squares)                                                    \
    {                                                                                                        \
        products(x, w, n, absolute, squares);                                                                \
    }                                                                                                        \
    target static double small_##suffix(const float *x, const float *w, size_t n, double x_limit,            \
                                        double w_limit)                                                      \
    {                                                                                                        \
        return small_products(x, w, n, x_limit, w_limit);                                                    \
    }                                                                                                        \
    target static void spread_##suffix(const ffl_spread *c, const float *w, size_t n, double *worst,         \
                                       double *squares, double *deviations)                                  \
    {                                                                                                        \
        spread_over(c, w, n, worst, squares, deviations);                                                    \
    }

DEFINE(base, )
#if defined(__x86_64__)
DEFINE(avx2, __attribute__((target("avx2,fma"))))
DEFINE(avx512, __attribute__((target("avx512f,avx512dq,avx512vl,avx2,fma"))))
#endif

void ffl_sum_products(const float *x, const float *w, size_t n, double *absolute, double *squares)
{
#if defined(__x86_64__)
    const ffl_machine *machine = ffl_machine_host();
    if (machine->isa[FFL_ISA_AVX512]) {
        products_avx512(x, w, n, absolute, squares);
        return;
    }
    if (machine->isa[FFL_ISA_AVX2]) {
        products_avx2(x, w, n, absolute, squares);
        return;
    }
#endif
    products_base(x, w, n, absolute, squares);
}

double ffl_sum_small(const float *x, const float *w, size_t n, double x_limit, double w_limit)
{
#if defined(__x86_64__)
    const ffl_machine *machine = ffl_machine_host();
    if (machine->isa[FFL_ISA_AVX512])
        return small_avx512(x, w, n, x_limit, w_limit);
    if (machine->isa[FFL_ISA_AVX2])
        return small_avx2(x, w, n, x_limit, w_limit);
#endif
    return small_base(x, w, n, x_limit, w_limit);
}

void ffl_sum_norms(const float *v, size_t n, double *peak, double *absolute, double *squares)
{
    double p[LANES] = {0}, a[LANES] = {0}, s[LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        const size_t k = i % LANES;
        const double magnitude = fabs((double)v[i]);
        p[k] = magnitude > p[k] ? magnitude : p[k];
        a[k] += magnitude;
        s[k] += magnitude * magnitude;
    }
    for (size_t k = 1; k < LANES; k++) {
        p[0] = p[k] > p[0] ? p[k] : p[0];
        a[0] += a[k];
        s[0] += s[k];
    }
    *peak = p[0];
    *absolute = a[0];
    *squares = s[0];
}

void ffl_sum_spread(const ffl_spread *c, const float *w, size_t n, double *worst, double *squares,
                    double *deviations)
{
#if defined(__x86_64__)
    const ffl_machine *machine = ffl_machine_host();
    if (machine->isa[FFL_ISA_AVX512]) {
        spread_avx512(c, w, n, worst, squares, deviations);
        return;
    }
    if (machine->isa[FFL_ISA_AVX2]) {
        spread_avx2(c, w, n, worst, squares, deviations);
        return;
    }
#endif
    spread_base(c, w, n, worst, squares, deviations);
}

void ffl_sum_axpy(double factor, const float *w, size_t n, double *y)
{
    for (size_t j = 0; j < n; j++)
        y[j] += factor * (double)w[j];
}

void ffl_sum_axpy_small(double factor, double limit, const float *w, size_t n, double *y)
{
    for (size_t j = 0; j < n; j++) {
        const double v = w[j];
        y[j] += fabs(v) <= limit ? factor * v : 0;
    }
}
