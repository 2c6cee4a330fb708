/*
 * Layers that spell out which nodes they visit, and relatives of them whose outputs follow from theirs
 * without any reference: what --properties runs.
 *
 * Each tree and level has columns of y of its own: 127·g, and one per base-16 digit of the visited node's
 * number d, d·g. No two visited nodes share a column, so y holds single products, and 127·y_digit/y_first is
 * the digit, in any arithmetic that holds integers up to 127. A dense layer has one column per neuron.
 */
#ifndef FFL_HARNESS_SPELLED_H
#define FFL_HARNESS_SPELLED_H

#include "harness/check/guard.h"
#include "harness/workload/weights.h"
#include <stdbool.h>

/* What row n of w_out holds in the first column of its tree and level. */
#define FFL_SPELLED_PEAK 127.0

typedef enum ffl_relative {
    FFL_SPELLED = 0,
    FFL_MIRRORED,   /* rows of w_in and biases negated, subtrees swapped at every node; names go along */
    FFL_SCALED_OUT, /* w_out·2^FFL_SCALED_BITS */
    FFL_SCALED_IN,  /* w_in·2^FFL_SCALED_BITS, for x·2^-FFL_SCALED_BITS */
    FFL_SILENT,     /* w_out zero in the last level; dense: in the last neuron */
    FFL_SHORTER,    /* without that level or neuron, columns as before; empty where there is no other */
    FFL_RELABELLED, /* trees in reverse order; dense: neurons; names go along */
    FFL_RELATIVES
} ffl_relative;

enum { FFL_SCALED_BITS = 3 };

typedef struct ffl_spelled {
    size_t trees, levels, nodes; /* of every relative but FFL_SHORTER; dense: neurons, 1, 1 */
    size_t columns;              /* of each tree and level */
    ffl_weights relative[FFL_RELATIVES];
    ffl_guarded_layer guarded[FFL_RELATIVES]; /* copies that no variant can write */
} ffl_spelled;

/* `shape` gives everything but the width of outputs. Weights and biases lie well inside the normal numbers of
 * f16. */
ffl_status ffl_spelled_new(const ffl_layer *shape, bool bias, uint64_t seed, ffl_spelled *out);
void ffl_spelled_free(ffl_spelled *spelled);

/* Width of y for a shape: what its width_out is set to. */
size_t ffl_spelled_width(const ffl_layer *shape);

/* x with unit variance, [tokens][width], inside the normal numbers of f16 even after division by
 * 2^FFL_SCALED_BITS. */
void ffl_spelled_inputs(float *x, size_t tokens, size_t width, uint64_t seed);

/* Node (within its tree) that y [width] spells for a tree and level; -1 when nothing is there to be read, -2
 * when what is there is no name. */
long ffl_spelled_node(const ffl_spelled *spelled, const float *y, size_t tree, size_t level);

/* The first column of a tree and level. */
size_t ffl_spelled_column(const ffl_spelled *spelled, size_t tree, size_t level);

/* Row of a relative's weights where a tree's node of the spelled layer lies; not for FFL_SHORTER. */
size_t ffl_spelled_row(const ffl_spelled *spelled, ffl_relative relative, size_t tree, size_t node);

#endif
