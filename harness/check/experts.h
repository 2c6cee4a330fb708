/*
 * One row of a leaf FFF or a mixture of experts: its gates, and what comes out of any choice of experts, with
 * both bounds. An expert is a dense layer; a gate's logit is a logit. What a share may be off by:
 * harness/check/README.md. Holds the buffers of one row; used again for row after row.
 */
#ifndef FFL_HARNESS_EXPERTS_H
#define FFL_HARNESS_EXPERTS_H

#include "harness/check/bounds.h"

/* One expert alone: FF(x) with its output bias, arrays of width_out. */
typedef struct ffl_expert_output {
    size_t expert;
    double *y, *statistical, *worst;
    double flat; /* what underflows whatever its share is */
    bool overflows;
} ffl_expert_output;

typedef struct ffl_experts {
    const ffl_layer *layer;
    const ffl_arithmetic *arithmetic;
    ffl_layer gate_layer; /* the gates read as a dense layer: only their logits count */
    ffl_arithmetic gate_arithmetic;
    ffl_input input;
    bool bounded;             /* finite inputs, no gate that decides may overflow */
    ffl_node *gates;          /* mixture: [experts]; leaf FFF: NULL */
    double *logits;           /* mixture: of the gates */
    int32_t *chosen;          /* [chosen]: the reference's choice */
    double *share;            /* [chosen] */
    ffl_expert_output *known; /* of this row so far */
    size_t known_count, capacity;
    double *neuron_logits; /* [expert_width] */
    ffl_node *neurons;     /* [expert_width] */
    ffl_sums sums;
} ffl_experts;

ffl_status ffl_experts_new(const ffl_layer *layer, const ffl_arithmetic *arithmetic, ffl_experts *out);

/* Gates and choice of one row. Without a bound everything but `bounded` is unspecified. */
ffl_status ffl_experts_row(ffl_experts *experts, const float *x);

/* Gate i with its bounds. */
ffl_node ffl_experts_gate(const ffl_experts *experts, size_t gate);

/* One expert alone; valid until the next expert of a layer that chooses one, else until the next row. */
ffl_status ffl_experts_alone(ffl_experts *experts, size_t expert, const ffl_expert_output **out);

/* Where a choice's outputs go: arrays of width_out. */
typedef struct ffl_outcome {
    double *y;
    float *statistical, *worst; /* rounded up, never 0 */
    bool overflows;
} ffl_outcome;

/* What comes out of these experts ([chosen], in any order), weighted as the gates say. */
ffl_status ffl_experts_outcome(ffl_experts *experts, const int32_t *set, ffl_outcome *out);

/* got equals y rounded to float; in mixtures of several also up to 2^-100: a share of e^-128 need not be 0.
 */
bool ffl_experts_exact(const ffl_layer *layer, const float *got, const double *y);

void ffl_experts_free(ffl_experts *experts);

#endif
