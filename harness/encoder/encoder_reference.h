/*
 * The encoder in double precision, by its definition (config.h), without a thought for speed. Its feedforward
 * layers are kernels/reference.h, which reads float rows: their inputs are rounded once.
 */
#ifndef FFL_HARNESS_ENCODER_REFERENCE_H
#define FFL_HARNESS_ENCODER_REFERENCE_H

#include "harness/encoder/encoder.h"

typedef struct ffl_encoder_reference {
    size_t tokens, width, layers, visited; /* visited = trees · levels, 0 for dense */
    double *embedding;                     /* [tokens][width] */
    double *state;                         /* [layers][tokens][width]: after each layer */
    double *output;                        /* [tokens][width]: after the final norm */
    float *feedforward;                    /* [layers][tokens][width]: its inputs */
    int32_t *paths;                        /* [layers][tokens][trees][levels], or NULL */
    double *decisions;                     /* the logits of these nodes, or NULL */
    double *logits;                        /* [tokens][vocabulary], or NULL */
} ffl_encoder_reference;

/* operation: trees as trees, or all neurons of every layer. The input must have passed its check. */
ffl_status ffl_encoder_reference_run(const ffl_encoder_weights *weights, ffl_operation operation,
                                     const ffl_encoder_input *input, bool logits, ffl_encoder_reference *out);
void ffl_encoder_reference_free(ffl_encoder_reference *reference);

#endif
