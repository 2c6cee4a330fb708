/*
 * What the rows of a group share, and a worker keeps from group to group while it still fits: weights, the
 * ring of input rows, output rows, scratch, the eviction buffer, and judges.
 *
 * Inputs are a ring of distinct tokens that every call advances on, so that at one token per call none comes
 * again soon; all of it is written before anything is timed.
 */
#ifndef FFL_HARNESS_STAGE_H
#define FFL_HARNESS_STAGE_H

#include "harness/bench/cache.h"
#include "harness/bench/groups.h"
#include "harness/check/judge.h"
#include "harness/workload/weights.h"

typedef struct ffl_stage_judge ffl_stage_judge;
typedef struct ffl_device_stage ffl_device_stage; /* harness/bench/device_stage.h */

typedef struct ffl_stage {
    ffl_group made; /* the group that the fields below were made for; its rows are not kept */
    size_t neurons; /* of the weights: the most that any row needs */
    ffl_weights weights;
    ffl_weights gates; /* w_gate, b_gate and b_out of leaf trees and mixtures; none without such rows */
    float *x;
    size_t x_rows;
    float *y, *y_warm; /* outputs of timed calls, a ring; of warm-up calls */
    size_t y_rows, y_warm_rows;
    ffl_routing_report routing; /* of the whole ring */
    double unique_bytes;        /* of one call of unique_tokens tokens, once it was asked for */
    size_t unique_tokens;
    ffl_eviction eviction;
    void *scratch;
    size_t scratch_bytes;
    ffl_stage_judge *judges;
    double clock_ns;
    ffl_device_stage *device; /* while a group of device rows runs; its owner's */
} ffl_stage;

/* Rows that a case of `tokens` tokens per call cycles through: inputs, and outputs; the second divides the
 * first, and `tokens` divides the second. */
typedef struct ffl_ring {
    size_t x_rows, y_rows;
} ffl_ring;

/* The rings for calls of `tokens` tokens in this stage. */
ffl_ring ffl_stage_ring(const ffl_stage *stage, size_t tokens);

/* Makes what the group needs, keeping what is there already. */
ffl_status ffl_stage_set(ffl_stage *stage, const ffl_group *group);

/* The layer of a row, with weights. */
ffl_layer ffl_stage_layer(const ffl_stage *stage, const ffl_layer *shape);

/* At least `bytes` of scratch in stage->scratch. */
ffl_status ffl_stage_scratch(ffl_stage *stage, size_t bytes);

/* False when something was written beside the outputs or the scratch. What was damaged is replaced: the old
 * buffer stays behind, since nobody knows what else lies broken around it. */
ffl_status ffl_stage_intact(ffl_stage *stage, bool *intact);

/*
 * The judge of input rows `first … first + count - 1` for this layer and contract; made once, kept until the
 * inputs change. Trees are judged in every row; dense layers in the first, the last and up to 126 seeded
 * ones (fewer where one row alone takes tenths of a second).
 */
ffl_status ffl_stage_judge_of(ffl_stage *stage, const ffl_layer *layer, const ffl_contract *contract,
                              size_t first, size_t count, const ffl_judge **out);

/* Weight bytes that one call of `tokens` tokens touches in the tree, each row once. */
ffl_status ffl_stage_unique_bytes(ffl_stage *stage, size_t tokens, double *bytes);

void ffl_stage_free(ffl_stage *stage);

#endif
