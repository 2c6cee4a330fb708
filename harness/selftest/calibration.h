/*
 * Calibration of the statistical bound: honest computations of every kind, on data of every kind, as many
 * logits as asked for, each compared with the bound that `check` would hold it to. An honest logit beyond the
 * statistical bound is a false alarm waiting to happen; method and results: harness/check/README.md.
 */
#ifndef FFL_HARNESS_CALIBRATION_H
#define FFL_HARNESS_CALIBRATION_H

#include "harness/selftest/block_sums.h"
#include "kernels/status.h"
#include "kernels/variant.h"
#include <stdbool.h>
#include <stdint.h>

/* What was asked of a run. */
typedef struct ffl_calibration_request {
    size_t logits; /* of each kernel, shared by kinds of data and widths; rounded up */
    uint64_t seed;
    int threads;
} ffl_calibration_request;

/* How a value is rounded before it is multiplied. */
typedef enum ffl_form {
    FFL_FORM_F32 = 0,
    FFL_FORM_TF32,
    FFL_FORM_BF16,
    FFL_FORM_F16,
    FFL_FORM_INT8,        /* codes; a scale per token, or per row of weights */
    FFL_FORM_INT8_TENSOR, /* codes; one scale for all weights */
    FFL_FORM_INT16,       /* codes; the step is a power of two */
    FFL_FORM_COUNT
} ffl_form;

/* An honest way to compute. */
typedef struct ffl_honest_kernel {
    const char *name;
    ffl_form x, w;
    ffl_sum_order order;
    bool bias_first; /* the sum begins with the bias */
    ffl_contract contract;
} ffl_honest_kernel;

extern const ffl_honest_kernel ffl_honest_kernels[]; /* ended by a row without a name */

enum { FFL_HONEST_KERNELS_MAX = 24 };

/* What the data is like: the sums that a bound must hold for. */
typedef enum ffl_calibration_data {
    FFL_CALIBRATE_ZERO_MEAN = 0,
    FFL_CALIBRATE_SAME_SIGN, /* inputs and weights positive: partial sums grow */
    FFL_CALIBRATE_OUTLIERS,  /* every 97th input 300 times larger */
    FFL_CALIBRATE_CANCELLED, /* positive, and biases that take the sum of one token away */
    FFL_CALIBRATE_BOTH,      /* positive with outliers: what is quantised to zero has one sign */
    FFL_CALIBRATE_KINDS
} ffl_calibration_data;

extern const char *const ffl_calibration_data_names[FFL_CALIBRATE_KINDS];

/* Widths that are tried: from worst-case territory to long sums. Ended by 0. */
extern const size_t ffl_calibration_widths[];

/* What was seen of one kernel on one kind of data. */
typedef struct ffl_calibrated {
    uint64_t logits, beyond, beyond_worst; /* beyond: of the statistical bound; of the worst case */
    double statistical, worst;             /* largest error / bound; statistical: where it is the smaller */
    size_t width;                          /* where the largest of them was */
} ffl_calibrated;

typedef struct ffl_calibration {
    ffl_calibrated found[FFL_HONEST_KERNELS_MAX][FFL_CALIBRATE_KINDS];
} ffl_calibration;

/*
 * One unit of work: FFL_UNIT_TOKENS tokens, `blocks` blocks of neurons, all kernels; adds what it finds. The
 * same seed and index give the same numbers everywhere. FFL_NO_MEMORY says so.
 */
enum { FFL_UNIT_TOKENS = 128 };
ffl_status ffl_calibration_unit(ffl_calibration_data kind, size_t width, size_t blocks, uint64_t seed,
                                uint64_t index, ffl_calibration *into);

/* All of it, with progress. FFL_INTERRUPTED after Ctrl-C. */
ffl_status ffl_calibration_run(const ffl_calibration_request *request, ffl_calibration *out);

/* Prints the table, or JSON; the exit code. */
int ffl_calibration_report(const ffl_calibration *calibration, double seconds, bool json);

#endif
