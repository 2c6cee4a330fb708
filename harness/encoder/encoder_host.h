/*
 * What the files of the encoder on the host share: encoder.c (life), encoder_embedding.c, encoder_layers.c,
 * encoder_head.c (the pass) and encoder_inside.c. What any encoder needs, wherever it runs, is elsewhere:
 * encoder_input.c, pass_clock.h, encoder_weights.h.
 */
#ifndef FFL_HARNESS_ENCODER_HOST_H
#define FFL_HARNESS_ENCODER_HOST_H

#include "harness/encoder/encoder.h"
#include "harness/encoder/projection.h"
#include "kernels/attention.h"

struct ffl_encoder_device; /* encoder_device.h */

/*
 * A pass elsewhere: what the functions of encoder.h do instead, for an encoder whose rows are not the host's.
 * state and hidden are then where rows are fetched to. Where times are filed only by `run`.
 */
typedef struct ffl_encoder_backend {
    ffl_status (*embed)(ffl_encoder *e, const ffl_encoder_input *input); /* checked; e->input is set */
    ffl_status (*layer_run)(ffl_encoder *e, size_t layer);
    ffl_status (*finish)(ffl_encoder *e);
    ffl_status (*logits)(ffl_encoder *e, ffl_logits_rows *rows, void *user);
    ffl_status (*run)(ffl_encoder *e, const ffl_encoder_input *input, bool logits);
    ffl_status (*fetch_state)(ffl_encoder *e, float *to);
    ffl_status (*put_state)(ffl_encoder *e, const float *from);
    ffl_status (*fetch_feedforward)(const ffl_encoder *e, bool output, float *to); /* or its input */
    ffl_status (*alone)(ffl_encoder *e, const float *x, double *ns);
    ffl_type (*storage)(const ffl_encoder *e);
    const char *(*name)(const ffl_encoder *e);
    void (*close)(ffl_encoder *e);
} ffl_encoder_backend;

/* Sets backend and device for a variant of the device. FFL_UNSUPPORTED, with a reason, where a pass cannot
 * run there. */
ffl_status ffl_encoder_device_open(ffl_encoder *e);

/* Rows of logits at a time: 134 MB with 32768 words. */
enum { FFL_LOGITS_AT_ONCE = 1024 };

struct ffl_encoder {
    const ffl_encoder_weights *weights;
    const ffl_variant *variant;
    const ffl_encoder_backend *backend; /* NULL: the host */
    struct ffl_encoder_device *device;
    ffl_projection projection;
    size_t batch, sequence; /* at most */
    int threads;
    ffl_layer *feedforward; /* [layers]: what the variant evaluates */
    ffl_instance *instance; /* [layers] */
    size_t instances;
    void *scratch; /* of all instances, attention and products */

    const ffl_encoder_input *input;
    size_t tokens;
    bool pending; /* the feedforward output is not yet added to the state (pre-norm) */
    float *state, *hidden, *wide, *mixed, *mask, *logits;
    double pack_ns;
    ffl_pass_clock clock;
};

/* What e keeps of its input. */
ffl_status ffl_encoder_begin(ffl_encoder *e, const ffl_encoder_input *input);

/* Of the input's shape, or of the largest before there is one; layer NULL: sizes only. */
ffl_attention ffl_encoder_attention(const ffl_encoder *e, const ffl_encoder_layer *layer);

/* The instance of a layer: one for all where they share their weights. */
const ffl_instance *ffl_encoder_instance(const ffl_encoder *e, size_t layer);

/* y = norm(x + add + add_bias) over the rows of the input, where x += add + add_bias; both may be NULL. */
void ffl_encoder_normalise(const ffl_encoder *e, const ffl_norm *norm, size_t width, float *x,
                           const float *add, const float *add_bias, float *y);

/* y = x·weightᵀ of `tokens` rows; bias: of the product's own, or NULL where what follows adds it. */
void ffl_encoder_project(const ffl_encoder *e, const float *x, size_t inputs, size_t tokens,
                         const ffl_linear *linear, const float *bias, size_t outputs, float *y);

#endif
