/*
 * The judge: is this output right? It holds the double reference of some rows and the error bounds that the
 * numerics contract earns, and compares outputs with them. One judge serves every variant of a contract on
 * the same data. Equations and their derivation: harness/check/README.md.
 *
 *   PASSED   every judged row matches the reference within the statistical bound, along an admissible path
 *   SUSPECT  some row matches only within the worst-case bound, or only along a path open under it
 *   FAILED   some row matches along no admissible path
 */
#ifndef FFL_HARNESS_JUDGE_H
#define FFL_HARNESS_JUDGE_H

#include "harness/check/ways.h"
#include "kernels/variant.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ffl_verdict {
    FFL_PASSED = 0,
    FFL_SUSPECT,
    FFL_FAILED,
    FFL_CRASHED,
    FFL_TIMEOUT,
    FFL_UNSUPPORTED_HERE,
    FFL_SKIPPED,
    FFL_VERDICT_COUNT
} ffl_verdict;

/* "PASSED", … */
const char *ffl_verdict_name(ffl_verdict verdict);

/* "so far: 81 PASSED, 2 SKIPPED" */
void ffl_verdict_counts(const size_t counts[FFL_VERDICT_COUNT], char *out, size_t size);

/* What is known about the data beyond the bounds. */
typedef enum ffl_data {
    FFL_DATA_GENERAL = 0,
    FFL_DATA_EXACT_LOGITS,   /* every logit is computed without error: branches follow the exact sign */
    FFL_DATA_EXACT,          /* outputs too: they equal the reference rounded to f32, -0 = +0 */
    FFL_DATA_EQUAL_PRODUCTS, /* rounding errors do not average out: only the worst case bounds them */
} ffl_data;

typedef struct ffl_judge ffl_judge;

/*
 * Reference and bounds for the rows `rows[0 … row_count)` of x [tokens][ldx]; rows = NULL judges all.
 * FFF uses the double walk plus admissible alternatives, leaf FFF and MoE the experts their gates choose plus
 * admissible others; FF every neuron. A row with a non-finite input or
 * whose f32 sums may overflow has no bound: its output is not judged. Layer and x must outlive the judge.
 */
ffl_status ffl_judge_new(const ffl_layer *layer, const ffl_contract *contract, ffl_data data, const float *x,
                         size_t ldx, size_t tokens, const size_t *rows, size_t row_count, ffl_judge **out);

/* What the judge found; `reason` names row, element, got, expected and bound of the first bad one. */
typedef struct ffl_judgement {
    ffl_verdict verdict;
    bool weak;   /* passed, but proves little: see reason */
    size_t rows; /* judged against a bound */
    size_t unbounded_rows;
    size_t suspect_rows, failed_rows;
    size_t flips;             /* rows on another admissible path than the reference's */
    double flip_margin;       /* largest |z| / statistical bound among flipped decisions, NaN without */
    double error_statistical; /* largest |error| / bound over judged elements, NaN for exact data */
    double error_worst;
    bool located; /* the reason is about this row and element */
    size_t row, element;
    ffl_way_outcomes outcomes; /* of --invariance and --properties; nothing tried otherwise */
    char reason[512];
} ffl_judgement;

/*
 * got [tokens][ldy], the same rows as x. trace [tokens][trees][levels] (nodes visited) or NULL: used only
 * where several trees leave too many combinations, and each of its branches must be admissible itself.
 */
ffl_status ffl_judge_rows(const ffl_judge *judge, const float *got, size_t ldy, const int32_t *trace,
                          ffl_judgement *out);

void ffl_judge_free(ffl_judge *judge);

#endif
