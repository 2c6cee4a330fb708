/*
 * The encoder wholly on the device: what its files share.
 *
 *   encoder_device.c          life: buffers, products, the variant's scratch
 *   encoder_device_pass.c     a pass, enqueued part by part
 *   encoder_device_time.c     passes and feedforward layers as graphs, and their times
 *   encoder_device_rows.c     rows on their way to the host and back
 *   encoder_device_none.c     instead of all these, in a build without CUDA
 *
 * Rows between two operations are of the variant's storage type (cuda/device_encoder.h), so that its layers
 * read and write them in place; the residual stream and the logits are float.
 */
#ifndef FFL_HARNESS_ENCODER_DEVICE_H
#define FFL_HARNESS_ENCODER_DEVICE_H

#include "cuda/device_encoder.h"
#include "cuda/gemm.h"
#include "harness/encoder/device_weights.h"
#include "harness/encoder/encoder_host.h"

/* What a captured pass depends on. */
typedef struct ffl_pass_key {
    size_t batch, sequence;
    bool masked, logits;
} ffl_pass_key;

/* The end of a stretch of work, as the device saw it. */
typedef struct ffl_pass_mark {
    void *event;
    ffl_part part;
    size_t layer;
} ffl_pass_mark;

typedef struct ffl_encoder_device {
    const ffl_device_weights *weights;
    ffl_type storage;
    void *stream;
    char name[160]; /* what multiplies, and where */

    /* [tokens][width] each, and wide [tokens][3 · width]. input: what q, k and v are made of; in the end,
     * what the head reads. mixed: attention's output, then the feedforward layer's. */
    ffl_fenced state, input, hidden, mixed, wide;
    ffl_fenced transformed;  /* float, of the head's transform; without one: none */
    ffl_fenced logits, mask; /* float */
    ffl_fenced id, position, type;
    ffl_fenced scratch; /* of all instances */
    size_t logits_ld;

    ffl_gemm *qkv, *projection, *embedding, *transform, *words; /* NULL: no such product */
    void *workspace;                                            /* of all of them, one at a time */

    void *start, *end;   /* events around a whole launch */
    bool marking;        /* stretches are being marked */
    ffl_pass_mark *mark; /* [mark_capacity]; the first one is where the pass begins */
    size_t mark_count, mark_capacity;

    /* The pass as two graphs: bare, and with its marks. */
    ffl_pass_key key;
    void *bare, *marked; /* NULL: not captured yet, or it cannot be */
    bool plain;          /* the variant cannot be captured: passes are enqueued piece by piece */

    ffl_fenced alone_rows; /* [layers][tokens][width]: what the feedforward layers alone are given */
    void *alone;           /* their graph */
    size_t alone_tokens;   /* that both are for; 0: none */
} ffl_encoder_device;

/* ---- encoder_device_pass.c: all only enqueue ---- */

ffl_status ffl_encoder_device_embed(ffl_encoder *e);
ffl_status ffl_encoder_device_layer(ffl_encoder *e, size_t layer);
ffl_status ffl_encoder_device_finish(ffl_encoder *e);

/* rows NULL: nothing but enqueued; else each block is waited for, fetched and handed over. */
ffl_status ffl_encoder_device_logits(ffl_encoder *e, ffl_logits_rows *rows, void *user);
ffl_status ffl_encoder_device_pass(ffl_encoder *e, bool logits);

/* The variant's layer on rows of the storage type. */
ffl_status ffl_encoder_device_feed(const ffl_encoder *e, size_t layer, const void *x, void *y);

/* Marks the end of a stretch, if stretches are being marked. */
ffl_status ffl_encoder_device_mark(ffl_encoder *e, ffl_part part);

/* ---- encoder_device_time.c ---- */

ffl_status ffl_encoder_device_run(ffl_encoder *e, const ffl_encoder_input *input, bool logits);
ffl_status ffl_encoder_device_alone(ffl_encoder *e, const float *x, double *ns);
void ffl_encoder_device_drop_graphs(ffl_encoder_device *d);

/* ---- encoder_device_rows.c ---- */

/* Ids, rows of tables and mask of the input; waits until they are there. */
ffl_status ffl_encoder_device_take(ffl_encoder *e, const ffl_encoder_input *input);

/* Rows of the storage type from float ones, and back; wait. */
ffl_status ffl_encoder_device_put(const ffl_encoder *e, void *to, const float *from, size_t count);
ffl_status ffl_encoder_device_fetch(const ffl_encoder *e, const void *from, size_t count, float *to);

ffl_status ffl_encoder_device_fetch_state(ffl_encoder *e, float *to);
ffl_status ffl_encoder_device_put_state(ffl_encoder *e, const float *from);

#endif
