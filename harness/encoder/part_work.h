/*
 * What the parts of a pass compute and move, from their shapes alone. The counting rule:
 *
 *   FLOP    2 per multiply-add of a product; 7 per element that is normalised; 5 per attention score (scale,
 *           maximum, difference, exponential, sum) and 1 per element divided by the sum; 1 per element added
 *           (residual, bias, embedding) or activated outside the feedforward layers, whose biases and
 *           activations do not count, as in `bench`. Padding is computed like any token, and counts.
 *   bytes   every weight and every activation that an operation reads or writes, once: what has to move when
 *           nothing stays in a cache from one operation to the next, and nothing is read twice within one.
 *           Scores of attention never leave their tile. Only the rows of an embedding table that the ids name
 *           count, and only the rows of trees that some token visits.
 *
 * Rows and matrices are counted in the type that the pass stores rows in, the residual stream, too.
 *
 * Source of the FLOP of norms and scores: the operations in kernels/layernorm.c and kernels/simd.
 */
#ifndef FFL_HARNESS_PART_WORK_H
#define FFL_HARNESS_PART_WORK_H

#include "harness/encoder/encoder.h"

typedef struct ffl_work {
    double flops, bytes;
} ffl_work;

/* Distinct ids of the input. */
ffl_status ffl_distinct_words(const ffl_encoder_config *config, const ffl_encoder_input *input, size_t *out);

/*
 * One part in one layer (SIZE_MAX: before and behind the layers) of a pass over batch x sequence tokens;
 * words: distinct ids. Zero where the part has nothing to do there, and for the feedforward part: below.
 */
ffl_work ffl_part_work(const ffl_encoder_weights *weights, const ffl_encoder_input *input, size_t words,
                       ffl_part part, size_t layer, ffl_type storage);

/* The feedforward layer on `tokens` rows: all neurons, or those on the paths; weight_bytes: of the f32 rows
 * that any token needs (harness/workload/routing.h), which are moved as `type`; rows as `storage`. */
ffl_work ffl_feedforward_work(const ffl_layer *layer, ffl_type type, ffl_type storage, size_t tokens,
                              double weight_bytes);

#endif
