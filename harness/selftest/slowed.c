#include "harness/selftest/slowed.h"
#include "harness/bench/clock.h"
#include "harness/compare/slices.h"
#include <stdlib.h>
#include <string.h>

enum { KEPT = 1023 };

static const ffl_variant *real;
static ffl_variant slowed;
static double clock_ns;     /* of one reading */
static double shares[KEPT]; /* a ring */
static size_t calls;

/* The readings of the clock are part of what is added. */
static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const double start = ffl_clock_ns();
    const ffl_status status = real->run(plan, exec, x, ldx, y, ldy, tokens);
    const double end = ffl_clock_ns(), took = end - start;
    const double until = end + FFL_SLOWED_SHARE * took - 2 * clock_ns;
    double now = end;
    while (now < until)
        now = ffl_clock_ns();
    shares[calls++ % KEPT] = (now - end + 2 * clock_ns) / took;
    return status;
}

static const ffl_variant *slow_down(const ffl_variant *variant)
{
    real = variant;
    slowed = *variant;
    slowed.run = run;
    clock_ns = ffl_clock_overhead_ns();
    calls = 0;
    return &slowed;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double planted(void)
{
    static double sorted[KEPT];
    const size_t count = calls < KEPT ? calls : KEPT;
    memcpy(sorted, shares, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, ascending);
    return count ? sorted[count / 2] : 0;
}

ffl_status ffl_slowed_serve(const json_t *request, ffl_answer *answer)
{
    static const ffl_dress dress = {.variant = slow_down, .planted = planted};
    return ffl_slices_serve_dressed(request, answer, &dress);
}
