/*
 * The forward pass of an encoder (config.h), with any variant as its feedforward layers and one fixed
 * implementation of everything else. Only the feedforward variant is under test. A pass runs where its
 * variant does, wholly: on the host with products by projection.h, attention and norms from kernels/; on the
 * device with cuda/gemm.h and cuda/device_encoder.h (encoder_device.h).
 *
 *     ffl_encoder_embed(e, &input);
 *     for (i = 0; i < layers; i++) ffl_encoder_layer_run(e, i);
 *     ffl_encoder_finish(e);  ffl_encoder_logits(e, …);
 *
 * A dense variant in an encoder with trees evaluates all their neurons, or the first of them that
 * weights.dense_neurons asks for: another function.
 */
#ifndef FFL_HARNESS_ENCODER_H
#define FFL_HARNESS_ENCODER_H

#include "harness/encoder/encoder_weights.h"
#include "harness/encoder/pass_clock.h"
#include "harness/instance.h"

typedef struct ffl_encoder_input {
    size_t batch, sequence;
    const int32_t *ids;        /* [batch][sequence] */
    const unsigned char *mask; /* [batch][sequence], 1: a token, 0: padding; NULL: no padding */
    const int32_t *types;      /* [batch][sequence], rows of the token types; NULL: all of type 0 */
} ffl_encoder_input;

/* `count` of its sequences, from `first` on. */
ffl_encoder_input ffl_encoder_input_part(const ffl_encoder_input *input, size_t first, size_t count);

/* Row of the token types for the token at `index` of the batch: weights [width], NULL when there are none. */
const float *ffl_encoder_type_row(const ffl_encoder_weights *weights, const ffl_encoder_input *input,
                                  size_t index);

/* Row of the position table for the token at s; *seen counts the tokens of the sequence that are no padding.
 */
size_t ffl_encoder_position(const ffl_encoder_config *config, const int32_t *ids, size_t s, size_t *seen);

typedef struct ffl_encoder ffl_encoder;

/*
 * FFL_BAD_INPUT: an id outside the vocabulary, a type outside the table, a sequence longer than the position
 * table, a sequence of nothing but padding, no sequences. Names sequence, position and value.
 */
ffl_status ffl_encoder_input_check(const ffl_encoder_config *config, const ffl_encoder_input *input);

/*
 * Prepares the variant for every layer. batch and sequence are the most that a pass may have; weights must
 * outlive the encoder. FFL_BAD_INPUT with the variant's reason when it does not take the layer's shape.
 */
ffl_status ffl_encoder_new(const ffl_encoder_weights *weights, const ffl_variant *variant, size_t batch,
                           size_t sequence, int threads, ffl_encoder **out);

/* Starts a pass; the input must have passed the check, and live until the pass is over. */
ffl_status ffl_encoder_embed(ffl_encoder *encoder, const ffl_encoder_input *input);

ffl_status ffl_encoder_layer_run(ffl_encoder *encoder, size_t layer);

/* The final norm, where there is one. */
ffl_status ffl_encoder_finish(ffl_encoder *encoder);

/*
 * Logits of all tokens, `at_once` rows at a time: `rows` is called with each block. FFL_UNSUPPORTED when the
 * checkpoint has no head.
 */
typedef void ffl_logits_rows(void *user, size_t first, size_t count, const float *logits);
ffl_status ffl_encoder_logits(ffl_encoder *encoder, ffl_logits_rows *rows, void *user);

/* The whole pass. logits: also the head, if there is one. On a device times are filed by this call alone. */
ffl_status ffl_encoder_run(ffl_encoder *encoder, const ffl_encoder_input *input, bool logits);

/* ---- Looking inside ---- */

/* [tokens][width]: after embedding, a layer (complete, residual included), or the finish. What cannot be
 * fetched from a device is NaN; its next call fails. */
const float *ffl_encoder_state(ffl_encoder *encoder);

/* Goes on from these rows: for a layer by itself. */
ffl_status ffl_encoder_set_state(ffl_encoder *encoder, const float *state);

/* [tokens][width]: what the feedforward layer was last given. NaN as above. */
const float *ffl_encoder_feedforward_input(const ffl_encoder *encoder);

/* The layer's variant once more on that input; y [tokens][width]. On the device: what it made of it there. */
ffl_status ffl_encoder_feedforward_again(const ffl_encoder *encoder, size_t layer, float *y);

/*
 * All feedforward layers in turn, each on its own rows of x [layers][tokens][width] (what a pass gave them),
 * nothing else between them: the kernel alone, with the weights as cold as a pass leaves them. Times go to
 * *ns. A device keeps the rows until the next ffl_encoder_embed: until then x must be the same.
 */
ffl_status ffl_encoder_feedforward_alone(ffl_encoder *encoder, const float *x, double *ns);

/* Nodes that layer's variant visited for its last input, [tokens][trees][levels], and their logits. */
ffl_status ffl_encoder_trace(const ffl_encoder *encoder, size_t layer, int32_t *nodes, float *logits);

/* FLOPs and unique bytes of the layer's variant for its last input, where it says so itself (variant.h,
 * cost); otherwise left as they are. */
void ffl_encoder_feedforward_cost(const ffl_encoder *encoder, size_t layer, double *flops, double *bytes);

/* The layer that the variant evaluates: trees, or all their neurons. */
const ffl_layer *ffl_encoder_feedforward(const ffl_encoder *encoder, size_t layer);

/* Those since the last call of ffl_encoder_clear_times, as many as one pass has; their number. */
size_t ffl_encoder_events(const ffl_encoder *encoder, const ffl_encoder_event **out);

/* Nanoseconds in each part since the last call of ffl_encoder_clear_times; packing of weights. */
const double *ffl_encoder_times(const ffl_encoder *encoder);
void ffl_encoder_clear_times(ffl_encoder *encoder);

/* From the next clear on, events are counted, too, part by part; NULL ends it. They must stay open. */
void ffl_encoder_count_events(ffl_encoder *encoder, const ffl_events *events);

/* [FFL_PART_COUNT][FFL_EVENTS_MAX], in the order of the events, since the last clear; NaN: not available. */
const double (*ffl_encoder_counts(const ffl_encoder *encoder))[FFL_EVENTS_MAX];

/* What rows are stored as between two operations: FFL_F32, or FFL_BF16 on a device. */
ffl_type ffl_encoder_storage(const ffl_encoder *encoder);

double ffl_encoder_pack_ns(const ffl_encoder *encoder);
const char *ffl_encoder_projection_name(const ffl_encoder *encoder);

void ffl_encoder_free(ffl_encoder *encoder);

#endif
