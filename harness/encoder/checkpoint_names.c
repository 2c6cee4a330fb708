/* How each family names its tensors (checkpoint.h). */
#include "harness/encoder/checkpoint.h"
#include <stdio.h>
#include <string.h>

/* A name under the prefix of the layer or the whole: "encoder.layer.3." + "output.dense". */
typedef struct scope {
    ffl_checkpoint *checkpoint;
    char prefix[96];
    bool optional; /* the next ones */
} scope;

static void want(const scope *s, const char *name, ffl_slot_kind kind, void *to, size_t rows, size_t width)
{
    ffl_slot slot = {.kind = kind, .to = to, .rows = rows, .width = width, .optional = s->optional};
    snprintf(slot.name, sizeof slot.name, "%s%s", s->prefix, name);
    ffl_checkpoint_want(s->checkpoint, &slot);
}

static void want_linear(const scope *s, const char *name, size_t outputs, size_t inputs, bool bias,
                        ffl_linear *to)
{
    char full[128];
    snprintf(full, sizeof full, "%s.weight", name);
    want(s, full, FFL_SLOT_VIEW, &to->weight, outputs, inputs);
    snprintf(full, sizeof full, "%s.bias", name);
    if (bias)
        want(s, full, FFL_SLOT_VIEW, &to->bias, outputs, 0);
}

/* Old files call them gamma and beta. */
static void want_norm(const scope *s, const char *name, size_t width, ffl_norm *to)
{
    char full[128], old[256];
    snprintf(old, sizeof old, "%s%s.gamma", s->prefix, name);
    const bool is_old = ffl_shards_find(&s->checkpoint->shards, old) != NULL;
    snprintf(full, sizeof full, "%s.%s", name, is_old ? "gamma" : "weight");
    want(s, full, FFL_SLOT_VIEW, &to->weight, width, 0);
    snprintf(full, sizeof full, "%s.%s", name, is_old ? "beta" : "bias");
    want(s, full, FFL_SLOT_VIEW, &to->bias, width, 0);
}

static void want_feedforward(const scope *s, const char *in, const char *out, ffl_weights *to)
{
    const ffl_encoder_config *c = &s->checkpoint->weights->config;
    char full[128];
    snprintf(full, sizeof full, "%s.weight", in);
    want(s, full, FFL_SLOT_COPY, to->w_in, c->neurons, c->width);
    snprintf(full, sizeof full, "%s.bias", in);
    if (c->in_bias)
        want(s, full, FFL_SLOT_COPY, to->b_in, c->neurons, 0);
    snprintf(full, sizeof full, "%s.weight", out);
    want(s, full, FFL_SLOT_TRANSPOSED, to->w_out, c->width, c->neurons);
    snprintf(full, sizeof full, "%s.bias", out);
    if (c->out_bias)
        want(s, full, FFL_SLOT_COPY, to->b_out, c->width, 0);
}

/* q, k and v apart, one under the other. */
static void want_apart(const scope *s, const char *const names[3], float *weight, float *bias)
{
    const size_t width = s->checkpoint->weights->config.width;
    for (size_t part = 0; part < 3; part++) {
        char full[128];
        snprintf(full, sizeof full, "%s.weight", names[part]);
        want(s, full, FFL_SLOT_COPY, weight + part * width * width, width, width);
        snprintf(full, sizeof full, "%s.bias", names[part]);
        want(s, full, FFL_SLOT_COPY, bias + part * width, width, 0);
    }
}

/* Memory for q, k and v in one; NULL: ffl_checkpoint_want has been told. */
static ffl_status make_qkv(ffl_encoder_weights *w, ffl_encoder_layer *l, float **weight, float **bias)
{
    const size_t width = w->config.width;
    *bias = NULL;
    *weight = ffl_encoder_weights_floats(w, 3 * width, width);
    if (!*weight || (w->config.qkv_bias && !(*bias = ffl_encoder_weights_floats(w, 3, width))))
        return FFL_NO_MEMORY;
    l->qkv = (ffl_linear){*weight, *bias};
    return FFL_OK;
}

static ffl_status want_crammed(ffl_checkpoint *f)
{
    ffl_encoder_weights *w = f->weights;
    const ffl_encoder_config *c = &w->config;
    scope s = {.checkpoint = f, .prefix = "encoder."};
    want(&s, "embedding.word_embedding.weight", FFL_SLOT_VIEW, &w->words, c->vocabulary, c->width);
    want(&s, "embedding.pos_embedding.scale_factor", FFL_SLOT_SCALAR, &f->position_scale, 1, 0);
    want_norm(&s, "embedding.norm", c->width, &w->embedding_norm);
    if (c->final_norm)
        want_norm(&s, "final_norm", c->width, &w->final_norm);
    for (size_t i = 0; i < c->layers; i++) {
        ffl_encoder_layer *l = &w->layer[i];
        float *weight, *bias;
        FFL_TRY(make_qkv(w, l, &weight, &bias));
        snprintf(s.prefix, sizeof s.prefix, "encoder.layers.%zu.", i);
        want_norm(&s, "norm1", c->width, &l->norm1);
        want_norm(&s, "norm2", c->width, &l->norm2);
        want(&s, "attn.self_attention.norm_factor", FFL_SLOT_SCALAR, &l->scale, 1, 0);
        want(&s, "attn.self_attention.query_key_value.weight", FFL_SLOT_GROUPED, weight, 3 * c->width,
             c->width);
        if (c->qkv_bias)
            want(&s, "attn.self_attention.query_key_value.bias", FFL_SLOT_GROUPED, bias, 3 * c->width, 0);
        want_linear(&s, "attn.dense", c->width, c->width, c->projection_bias, &l->projection);
        if (c->operation == FFL_FFF)
            want_feedforward(&s, "ffn.linear_in", "ffn.linear_out", &l->feedforward);
        else
            want_feedforward(&s, "ffn.dense_in", "ffn.dense_out", &l->feedforward);
    }
    s.prefix[0] = '\0';
    s.optional = c->tied;
    want(&s, "decoder.weight", FFL_SLOT_VIEW, &w->logits.weight, c->vocabulary, c->width);
    s.optional = false;
    if (c->logits_bias)
        want(&s, "decoder.bias", FFL_SLOT_VIEW, &w->logits.bias, c->vocabulary, 0);
    w->has_head = true;
    return FFL_OK;
}

/* What BERT and its relatives call the same things. */
typedef struct bert_names {
    const char *prefix; /* optional in files */
    const char *layer;  /* with the number, unless shared */
    const char *qkv[3], *projection, *norm1, *in, *out, *norm2;
    const char *transform, *transform_norm, *decoder, *logits_bias;
} bert_names;

static const bert_names names_of[FFL_ENCODER_FAMILY_COUNT] = {
    [FFL_BERT] = {"bert.",
                  "encoder.layer.%zu.",
                  {"attention.self.query", "attention.self.key", "attention.self.value"},
                  "attention.output.dense",
                  "attention.output.LayerNorm",
                  "intermediate.dense",
                  "output.dense",
                  "output.LayerNorm",
                  "cls.predictions.transform.dense",
                  "cls.predictions.transform.LayerNorm",
                  "cls.predictions.decoder.weight",
                  "cls.predictions.bias"},
    [FFL_ROBERTA] = {"roberta.",
                     "encoder.layer.%zu.",
                     {"attention.self.query", "attention.self.key", "attention.self.value"},
                     "attention.output.dense",
                     "attention.output.LayerNorm",
                     "intermediate.dense",
                     "output.dense",
                     "output.LayerNorm",
                     "lm_head.dense",
                     "lm_head.layer_norm",
                     "lm_head.decoder.weight",
                     "lm_head.bias"},
    [FFL_DISTILBERT] = {"distilbert.",
                        "transformer.layer.%zu.",
                        {"attention.q_lin", "attention.k_lin", "attention.v_lin"},
                        "attention.out_lin",
                        "sa_layer_norm",
                        "ffn.lin1",
                        "ffn.lin2",
                        "output_layer_norm",
                        "vocab_transform",
                        "vocab_layer_norm",
                        "vocab_projector.weight",
                        "vocab_projector.bias"},
    [FFL_ALBERT] = {"albert.",
                    "encoder.albert_layer_groups.%zu.albert_layers.0.",
                    {"attention.query", "attention.key", "attention.value"},
                    "attention.dense",
                    "attention.LayerNorm",
                    "ffn",
                    "ffn_output",
                    "full_layer_layer_norm",
                    "predictions.dense",
                    "predictions.LayerNorm",
                    "predictions.decoder.weight",
                    "predictions.bias"},
};

/* A model without head is one that has no trace of it. */
static bool head_present(ffl_checkpoint *f, const bert_names *names)
{
    char name[128];
    snprintf(name, sizeof name, "%s.weight", names->transform);
    return ffl_shards_find(&f->shards, name) || ffl_shards_find(&f->shards, names->logits_bias) ||
           ffl_shards_find(&f->shards, names->decoder);
}

static void want_head(ffl_checkpoint *f, const bert_names *names)
{
    ffl_encoder_weights *w = f->weights;
    const ffl_encoder_config *c = &w->config;
    scope s = {.checkpoint = f};
    w->has_head = true;
    want_linear(&s, names->transform, c->embedding_width, c->width, true, &w->transform);
    want_norm(&s, names->transform_norm, c->embedding_width, &w->transform_norm);
    want(&s, names->logits_bias, FFL_SLOT_VIEW, &w->logits.bias, c->vocabulary, 0);
    s.optional = c->tied;
    want(&s, names->decoder, FFL_SLOT_VIEW, &w->logits.weight, c->vocabulary, c->embedding_width);
}

static ffl_status want_bert(ffl_checkpoint *f, const bert_names *names)
{
    ffl_encoder_weights *w = f->weights;
    const ffl_encoder_config *c = &w->config;
    const size_t e = c->embedding_width, layers = c->shared_layers ? 1 : c->layers;
    char probe[128];
    scope s = {.checkpoint = f};
    snprintf(probe, sizeof probe, "%sembeddings.word_embeddings.weight", names->prefix);
    const char *prefix = ffl_shards_find(&f->shards, probe) ? names->prefix : "";
    snprintf(s.prefix, sizeof s.prefix, "%s", prefix);
    want(&s, "embeddings.word_embeddings.weight", FFL_SLOT_VIEW, &w->words, c->vocabulary, e);
    want(&s, "embeddings.position_embeddings.weight", FFL_SLOT_VIEW, &w->positions, c->position_rows, e);
    if (c->token_types)
        want(&s, "embeddings.token_type_embeddings.weight", FFL_SLOT_VIEW, &w->types, c->token_types, e);
    want_norm(&s, "embeddings.LayerNorm", e, &w->embedding_norm);
    if (c->family == FFL_ALBERT)
        want_linear(&s, "encoder.embedding_hidden_mapping_in", c->width, e, true, &w->embedding_projection);
    for (size_t i = 0; i < layers; i++) {
        ffl_encoder_layer *l = &w->layer[i];
        float *weight, *bias;
        FFL_TRY(make_qkv(w, l, &weight, &bias));
        const int length = snprintf(s.prefix, sizeof s.prefix, "%s", prefix);
        snprintf(s.prefix + length, sizeof s.prefix - (size_t)length, names->layer, i);
        want_apart(&s, names->qkv, weight, bias);
        want_linear(&s, names->projection, c->width, c->width, true, &l->projection);
        want_norm(&s, names->norm1, c->width, &l->norm1);
        want_feedforward(&s, names->in, names->out, &l->feedforward);
        want_norm(&s, names->norm2, c->width, &l->norm2);
    }
    if (head_present(f, names))
        want_head(f, names);
    return FFL_OK;
}

ffl_status ffl_checkpoint_want_all(ffl_checkpoint *checkpoint)
{
    const ffl_encoder_family family = checkpoint->weights->config.family;
    return family == FFL_CRAMMEDBERT ? want_crammed(checkpoint) : want_bert(checkpoint, &names_of[family]);
}

bool ffl_checkpoint_other_head(const char *name)
{
    /* Of heads that this lab does not compute, buffers, and second copies of the logits' bias. */
    static const char *const parts[] = {"position_ids",          "pooler.",
                                        "cls.seq_relationship.", "sop_classifier.",
                                        "lm_head.decoder.bias",  "predictions.decoder.bias",
                                        "pos_embedding.pe",      "token_type_ids"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(name, parts[i]))
            return true;
    return false;
}
