/*
 * The architecture of an encoder: everything that decides which weights it has and what they mean, and
 * nothing else. It comes from a preset or from a checkpoint's config.json, which is hostile until validated:
 * every error names file, key and value, and what this lab would compute wrongly is refused, not ignored.
 *
 *   embedding   norm(word + position (+ token type)), projected to `width` where embedding_width differs
 *   layer       pre-norm:   s += proj(attention(norm1(s)));  s += ff(norm2(s));  final_norm after the last
 *               post-norm:  s = norm1(s + proj(attention(s)));  s = norm2(s + ff(s))
 *   logits      (norm(act(dense s)) ·) word_embeddingᵀ (+ bias)
 */
#ifndef FFL_HARNESS_ENCODER_CONFIG_H
#define FFL_HARNESS_ENCODER_CONFIG_H

#include "kernels/layer.h"

/* How a checkpoint names its tensors, and which config.json describes it. */
typedef enum ffl_encoder_family {
    FFL_CRAMMEDBERT = 0, /* UltraFastBERT, too */
    FFL_BERT,
    FFL_ROBERTA,
    FFL_DISTILBERT,
    FFL_ALBERT,
    FFL_ENCODER_FAMILY_COUNT
} ffl_encoder_family;

typedef enum ffl_positions {
    FFL_SINUSOIDAL = 0, /* scale_factor · (sin on even, cos on odd columns, base 10000) */
    FFL_LEARNED,        /* a table; position p reads row p + position_offset */
    /* A table; the p-th token that is no padding reads row p + position_offset, padding reads row padding_id:
     * RoBERTa's. */
    FFL_LEARNED_SKIPPING_PADDING
} ffl_positions;

typedef struct ffl_encoder_config {
    ffl_encoder_family family;
    size_t layers, width, heads; /* heads divide width */
    bool shared_layers;          /* one layer's weights, applied `layers` times */

    size_t vocabulary, embedding_width; /* embedding_width != width: a projection with bias follows */
    ffl_positions positions;
    size_t position_rows, position_offset, padding_id; /* rows of the table: longest sequence + offset */
    size_t token_types; /* 0: none; tokens are of type 0 unless said otherwise */

    bool pre_norm, final_norm; /* final_norm only with pre_norm */
    double norm_eps;
    bool qkv_bias, projection_bias;

    ffl_operation operation; /* of the feedforward layers, with their sizes; trees are 0 for FF */
    ffl_activation activation;
    size_t neurons, trees, levels;
    bool in_bias, out_bias;

    bool head_transform; /* norm(act(dense(s) + bias)) before the logits, to embedding_width */
    bool logits_bias;
    bool tied; /* the logits' matrix is the word embedding */
} ffl_encoder_config;

size_t ffl_encoder_preset_count(void);
const char *ffl_encoder_preset_name(size_t i);    /* "ultrafastbert-1x11", …, "albert-base" */
const char *ffl_encoder_preset_summary(size_t i); /* one line */

/* False when no preset has that name. */
bool ffl_encoder_preset(const char *name, ffl_encoder_config *out);

/*
 * An architecture in one word: "layers=4,width=256,heads=4,tree=1x7,norm=post". Of crammedBERT's form with
 * norm=pre (the default), of BERT's with norm=post. layers, width, heads and one of neurons and tree must be
 * there; vocab, positions, types, embedding (its width), activation may be. FFL_BAD_INPUT names the part.
 */
ffl_status ffl_encoder_custom(const char *text, ffl_encoder_config *out);

/* Reads config.json: crammedBERT's ("arch"), or that of BERT, RoBERTa, DistilBERT or ALBERT ("model_type").
 */
ffl_status ffl_encoder_config_read(const char *path, ffl_encoder_config *out);

/* Sizes that fit together and this machine's address space. FFL_BAD_INPUT names the field and its value. */
ffl_status ffl_encoder_config_check(const ffl_encoder_config *config);

/* The feedforward layer's shape; config must have passed the check. */
ffl_layer ffl_encoder_layer_shape(const ffl_encoder_config *config);

/* Of the head's transform: the layers', but RoBERTa's is always the exact GELU. */
ffl_activation ffl_encoder_head_activation(const ffl_encoder_config *config);

/* Longest sequence that the position table takes. */
size_t ffl_encoder_longest(const ffl_encoder_config *config);

/* Trainable parameters, each shared or tied weight counted once. */
size_t ffl_encoder_parameters(const ffl_encoder_config *config);

/* "crammedBERT", "BERT", … */
const char *ffl_encoder_family_name(ffl_encoder_family family);

#endif
