/*
 * From kernel speed to model speed, out of paired passes of an encoder: a pass with the fastest dense kernel
 * and one with the variant, one right behind the other, and the variant's feedforward layers alone, a pair
 * per round. A machine that changes its speed changes both sides of a pair; every quantity below is worked
 * out within each pair, and the median over the pairs is what is told.
 *
 *     D, V      a dense pass, the variant's pass; d_p, v_p their parts; d, v the feedforward part
 *     a         the variant's feedforward layers alone, each layer's weights as cold as the others leave them
 *     k         time in place / alone of the dense layers, measured once per model: d / k is the dense layers
 * alone
 *
 *     f        = d / D                 the feedforward layers' share of the dense pass, by time
 *     s        = (d / k) / a           how much faster the kernel is alone
 *     ceiling  = 1 / ((1 - f) + f / s) what the pass gains from that: D / (D - d + k·a)
 *     limit    = 1 / (1 - f)           what it could gain from a kernel that takes no time
 *     speed_up = D / V,   of_ceiling = speed_up / ceiling = (D - d + k·a) / V
 *
 * What is missing to the ceiling is V - (D - d + k·a): v_p - d_p in each other part and v - k·a in the
 * feedforward layers. `whole` is the pass with the logits, `body` without.
 */
#ifndef FFL_REPORTS_PASSES_H
#define FFL_REPORTS_PASSES_H

#include "kernels/status.h"
#include <jansson.h>
#include <stddef.h>

enum { FFL_PASS_PARTS_MAX = 16, FFL_PASS_PAIRS_MAX = 256 };

/* The median over the pairs, and the pair of order statistics that holds the true one with at least 95 %;
 * with fewer than 6 pairs these are the extremes, which hold it less often. NaN each for one pair. */
typedef struct ffl_spread {
    double median, low, high;
} ffl_spread;

typedef struct ffl_pass_view {
    ffl_spread pass_ns, dense_ns; /* V, D */
    ffl_spread share, limit, ceiling, speed_up, of_ceiling;
} ffl_pass_view;

typedef struct ffl_pass_answer {
    size_t pairs, parts, feedforward;     /* feedforward: index of that part */
    const char *name[FFL_PASS_PARTS_MAX]; /* point into the JSON */
    ffl_spread own_ns[FFL_PASS_PARTS_MAX], dense_ns[FFL_PASS_PARTS_MAX];
    ffl_spread
        missing_ns[FFL_PASS_PARTS_MAX];   /* to the ceiling, by part; negative: faster than beside dense */
    ffl_spread alone_ns, kernel_speed_up; /* a, s */
    ffl_spread context_penalty;           /* v / a */
    double dense_penalty;                 /* k */
    ffl_pass_view whole, body;
    /* By arithmetic: the feedforward layers' share of the dense pass's FLOPs, and the limit that it sets. NaN
     * when the line does not say. */
    double whole_share, body_share;
} ffl_pass_answer;

/* Sorts `values`. count >= 1. */
ffl_spread ffl_spread_of(double *values, size_t count);

/* Chance that the interval of so many pairs holds the true median: 0.75 for 3, 0.969 for 6. */
double ffl_spread_coverage(size_t count);

/*
 * `encoder` is the object of a journal line (record.h): "parts", "dense_ns", "own_ns", "alone_ns",
 * "dense_penalty", "flops". FFL_BAD_INPUT names what is missing or has the wrong form. The names stay valid
 * as long as the object.
 */
ffl_status ffl_pass_answer_of(const json_t *encoder, ffl_pass_answer *out);

#endif
