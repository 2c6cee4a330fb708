/* config.json to ffl_encoder_config (config.h). */
#include "harness/encoder/config.h"
#include "harness/files/file.h"
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An object of the file, and where it is: "arch.embedding.". */
typedef struct place {
    const char *path, *prefix;
    const json_t *object;
} place;

enum { CONFIG_BYTES_MAX = 1 << 20 };
static const size_t any_size = (size_t)INT32_MAX;

/* "config.json: arch.intermed_type is "moe"; expected …" */
static ffl_status refuse(const place *at, const char *key, const char *expected)
{
    const json_t *value = json_object_get(at->object, key);
    if (!value)
        return ffl_fail(FFL_BAD_INPUT, "%s: no %s%s; expected %s", at->path, at->prefix, key, expected);
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    const ffl_status status = ffl_fail(FFL_BAD_INPUT, "%s: %s%s is %.60s; expected %s", at->path, at->prefix,
                                       key, text ? text : "unreadable", expected);
    free(text);
    return status;
}

/* Absent, or null: *out keeps its value. */
static ffl_status read_size(const place *at, const char *key, size_t min, size_t max, size_t *out)
{
    const json_t *value = json_object_get(at->object, key);
    char expected[96];
    snprintf(expected, sizeof expected, "a whole number from %zu to %zu", min, max);
    if (!value || json_is_null(value))
        return FFL_OK;
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) < min || (uint64_t)json_integer_value(value) > max)
        return refuse(at, key, expected);
    *out = (size_t)json_integer_value(value);
    return FFL_OK;
}

static ffl_status need_size(const place *at, const char *key, size_t *out)
{
    if (!json_is_integer(json_object_get(at->object, key)))
        return refuse(at, key, "a whole number");
    return read_size(at, key, 1, any_size, out);
}

static ffl_status read_flag(const place *at, const char *key, bool *out)
{
    const json_t *value = json_object_get(at->object, key);
    if (!value || json_is_null(value))
        return FFL_OK;
    if (!json_is_boolean(value))
        return refuse(at, key, "true or false");
    *out = json_is_true(value);
    return FFL_OK;
}

/* Something that this lab computes in one way only. */
static ffl_status must_be(const place *at, const char *key, const char *only)
{
    const json_t *value = json_object_get(at->object, key);
    if (!value || json_is_null(value) ||
        (json_is_string(value) && strcmp(json_string_value(value), only) == 0))
        return FFL_OK;
    return refuse(at, key, only);
}

static ffl_status must_not(const place *at, const char *key)
{
    bool set = false;
    FFL_TRY(read_flag(at, key, &set));
    return set ? refuse(at, key, "false") : FFL_OK;
}

static ffl_status read_eps(const place *at, const char *key, double *out)
{
    const json_t *value = json_object_get(at->object, key);
    if (!value || json_is_null(value))
        return FFL_OK;
    if (!json_is_number(value) || !(json_number_value(value) >= 0 && json_number_value(value) <= 1))
        return refuse(at, key, "a number from 0 to 1");
    *out = json_number_value(value);
    return FFL_OK;
}

static ffl_status read_activation(const place *at, const char *key, ffl_activation *out)
{
    static const struct {
        const char *name;
        ffl_activation activation;
    } known[] = {{"gelu", FFL_GELU},
                 {"GELU", FFL_GELU},
                 {"gelu_python", FFL_GELU},
                 {"relu", FFL_RELU},
                 {"ReLU", FFL_RELU},
                 {"gelu_new", FFL_GELU_TANH},
                 {"gelu_fast", FFL_GELU_TANH}, /* the same, multiplied out */
                 {"gelu_pytorch_tanh", FFL_GELU_TANH}};
    const char *name = json_string_value(json_object_get(at->object, key));
    if (!json_object_get(at->object, key))
        return FFL_OK;
    for (size_t i = 0; name && i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].name, name) == 0) {
            *out = known[i].activation;
            return FFL_OK;
        }
    }
    return refuse(at, key, "gelu, gelu_new, gelu_fast, gelu_pytorch_tanh or relu");
}

static ffl_status inner(const place *at, const char *key, const char *prefix, place *out)
{
    *out = (place){at->path, prefix, json_object_get(at->object, key)};
    return json_is_object(out->object) ? FFL_OK : refuse(at, key, "an object");
}

static ffl_status read_crammed_feedforward(const place *arch, ffl_encoder_config *out)
{
    const char *type = json_string_value(json_object_get(arch->object, "intermed_type"));
    size_t size = 0, depth = 0;
    FFL_TRY(need_size(arch, "intermed_size", &size));
    FFL_TRY(read_activation(arch, "nonlin", &out->activation));
    if (type && strcmp(type, "fff") == 0) {
        if (!json_object_get(arch->object, "intermed_depth"))
            return refuse(arch, "intermed_depth", "the depth of the trees");
        FFL_TRY(read_size(arch, "intermed_depth", 0, FFL_DEPTH_MAX, &depth));
        out->operation = FFL_FFF;
        out->trees = size;
        out->levels = ffl_levels_from_depth(depth);
        out->neurons = size * (((size_t)1 << out->levels) - 1);
        out->in_bias = true;
        out->out_bias = false;
        return FFL_OK;
    }
    if (!type || strcmp(type, "ff") != 0)
        return refuse(arch, "intermed_type", "\"ff\" or \"fff\"");
    out->neurons = size;
    return FFL_OK;
}

/* What else the original could do with these keys would be another network. */
static ffl_status check_crammed(const place *arch, const place *embedding, const place *attention)
{
    FFL_TRY(must_be(arch, "norm", "LayerNorm"));
    FFL_TRY(must_be(arch, "norm_scheme", "pre"));
    bool skip_head_transform = true;
    size_t frequency = 1;
    FFL_TRY(read_flag(arch, "skip_head_transform", &skip_head_transform));
    if (!skip_head_transform)
        return refuse(arch, "skip_head_transform", "true");
    FFL_TRY(read_size(arch, "ffn_layer_frequency", 1, 1, &frequency));
    FFL_TRY(must_be(embedding, "pos_embedding", "scaled-sinusoidal"));
    bool normalised = true;
    FFL_TRY(read_flag(embedding, "normalization", &normalised));
    if (!normalised)
        return refuse(embedding, "normalization", "true");
    FFL_TRY(must_be(attention, "type", "self-attention"));
    FFL_TRY(must_be(attention, "sequence_op", "torch-softmax"));
    FFL_TRY(must_not(attention, "causal_attention"));
    FFL_TRY(must_not(attention, "rotary_embedding"));
    return must_not(attention, "skip_output_projection");
}

static ffl_status read_crammed(const place *root, ffl_encoder_config *out)
{
    place arch, embedding, attention;
    bool bias = false;
    *out = (ffl_encoder_config){
        .family = FFL_CRAMMEDBERT, .norm_eps = 1e-12, .pre_norm = true, .final_norm = true, .tied = true};
    FFL_TRY(inner(root, "arch", "arch.", &arch));
    FFL_TRY(inner(&arch, "embedding", "arch.embedding.", &embedding));
    FFL_TRY(inner(&arch, "attention", "arch.attention.", &attention));
    FFL_TRY(check_crammed(&arch, &embedding, &attention));
    FFL_TRY(need_size(&arch, "num_transformer_layers", &out->layers));
    FFL_TRY(need_size(&arch, "hidden_size", &out->width));
    FFL_TRY(need_size(&attention, "num_attention_heads", &out->heads));
    FFL_TRY(need_size(&embedding, "vocab_size", &out->vocabulary));
    FFL_TRY(need_size(&embedding, "max_seq_length", &out->position_rows));
    out->embedding_width = out->width;
    FFL_TRY(read_size(&embedding, "embedding_dim", out->width, out->width, &out->embedding_width));
    FFL_TRY(read_eps(&arch, "norm_eps", &out->norm_eps));
    FFL_TRY(read_flag(&arch, "final_norm", &out->final_norm));
    FFL_TRY(read_flag(&arch, "use_bias", &bias));
    out->projection_bias = out->in_bias = out->out_bias = bias;
    FFL_TRY(read_flag(&attention, "qkv_bias", &out->qkv_bias));
    FFL_TRY(read_flag(&arch, "decoder_bias", &out->logits_bias));
    FFL_TRY(read_flag(&arch, "tie_weights", &out->tied));
    return read_crammed_feedforward(&arch, out);
}

/* The keys of one family; NULL: it has no such key. */
typedef struct keys {
    const char *type; /* model_type */
    ffl_encoder_family family;
    const char *layers, *width, *heads, *neurons, *activation, *token_types, *eps;
    double norm_eps; /* when the file does not say */
} keys;

static const keys families[] = {
    {"bert", FFL_BERT, "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size",
     "hidden_act", "type_vocab_size", "layer_norm_eps", 1e-12},
    {"roberta", FFL_ROBERTA, "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size",
     "hidden_act", "type_vocab_size", "layer_norm_eps", 1e-12},
    {"distilbert", FFL_DISTILBERT, "n_layers", "dim", "n_heads", "hidden_dim", "activation", NULL, NULL,
     1e-12},
    {"albert", FFL_ALBERT, "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size",
     "hidden_act", "type_vocab_size", "layer_norm_eps", 1e-12},
};

static ffl_status read_albert(const place *at, ffl_encoder_config *out)
{
    size_t one = 1;
    out->shared_layers = true;
    FFL_TRY(need_size(at, "embedding_size", &out->embedding_width));
    FFL_TRY(read_size(at, "num_hidden_groups", 1, 1, &one));
    FFL_TRY(read_size(at, "inner_group_num", 1, 1, &one));
    /* The model's own default: a file that says nothing means that. */
    if (!json_object_get(at->object, "hidden_act"))
        out->activation = FFL_GELU_TANH;
    return FFL_OK;
}

static ffl_status read_bert(const place *at, const keys *k, ffl_encoder_config *out)
{
    *out = (ffl_encoder_config){.family = k->family,
                                .norm_eps = k->norm_eps,
                                .qkv_bias = true,
                                .projection_bias = true,
                                .in_bias = true,
                                .out_bias = true,
                                .head_transform = true,
                                .logits_bias = true,
                                .tied = true,
                                .positions = FFL_LEARNED,
                                .token_types = k->token_types ? 2 : 0};
    FFL_TRY(need_size(at, k->layers, &out->layers));
    FFL_TRY(need_size(at, k->width, &out->width));
    FFL_TRY(need_size(at, k->heads, &out->heads));
    FFL_TRY(need_size(at, k->neurons, &out->neurons));
    FFL_TRY(need_size(at, "vocab_size", &out->vocabulary));
    FFL_TRY(need_size(at, "max_position_embeddings", &out->position_rows));
    FFL_TRY(read_activation(at, k->activation, &out->activation));
    if (k->token_types)
        FFL_TRY(read_size(at, k->token_types, 0, any_size, &out->token_types));
    if (k->eps)
        FFL_TRY(read_eps(at, k->eps, &out->norm_eps));
    FFL_TRY(read_flag(at, "tie_word_embeddings", &out->tied));
    FFL_TRY(must_be(at, "position_embedding_type", "absolute"));
    FFL_TRY(must_not(at, "is_decoder"));
    out->embedding_width = out->width;
    if (k->family == FFL_ALBERT)
        return read_albert(at, out);
    if (k->family == FFL_ROBERTA) {
        out->positions = FFL_LEARNED_SKIPPING_PADDING;
        out->padding_id = 1;
        FFL_TRY(read_size(at, "pad_token_id", 0, any_size, &out->padding_id));
        out->position_offset = out->padding_id + 1;
    }
    return FFL_OK;
}

static ffl_status read_root(const char *path, const json_t *json, ffl_encoder_config *out)
{
    const place root = {path, "", json};
    if (!json_is_object(json))
        return ffl_fail(FFL_BAD_INPUT, "%s: no JSON object", path);
    if (json_object_get(json, "arch"))
        return read_crammed(&root, out);
    const char *type = json_string_value(json_object_get(json, "model_type"));
    for (size_t i = 0; type && i < sizeof families / sizeof *families; i++)
        if (strcmp(families[i].type, type) == 0)
            return read_bert(&root, &families[i], out);
    return refuse(&root, "model_type", "bert, roberta, distilbert or albert, or crammedBERT's arch");
}

ffl_status ffl_encoder_config_read(const char *path, ffl_encoder_config *out)
{
    int descriptor;
    size_t bytes;
    json_error_t error;
    FFL_TRY(ffl_file_open(path, &descriptor, &bytes));
    if (bytes > CONFIG_BYTES_MAX) {
        close(descriptor);
        return ffl_fail(FFL_BAD_INPUT, "%s: %zu bytes; a configuration takes at most %d", path, bytes,
                        CONFIG_BYTES_MAX);
    }
    json_t *json = json_loadfd(descriptor, JSON_REJECT_DUPLICATES, &error);
    close(descriptor);
    if (!json)
        return ffl_fail(FFL_BAD_INPUT, "%s: line %d: %s", path, error.line, error.text);
    ffl_status status = read_root(path, json, out);
    json_decref(json);
    if (status == FFL_OK && (status = ffl_encoder_config_check(out)) != FFL_OK)
        status = ffl_fail(status, "%s: %s", path, ffl_error());
    return status;
}
