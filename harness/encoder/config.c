#include "harness/encoder/config.h"
#include <stdint.h>
#include <string.h>

/* crammedBERT's shape: arXiv:2212.14034 and arXiv:2311.10770; the table is longer than the published 128
 * rows, which are computed, not learned. */
#define CRAMMED                                                                                              \
    .family = FFL_CRAMMEDBERT, .layers = 16, .width = 768, .heads = 12, .vocabulary = 32768,                 \
    .embedding_width = 768, .positions = FFL_SINUSOIDAL, .position_rows = 512, .pre_norm = true,             \
    .final_norm = true, .norm_eps = 1e-12, .tied = true

#define TREES(trees_, depth_)                                                                                \
    {                                                                                                        \
        CRAMMED, .operation = FFL_FFF, .trees = (trees_), .levels = (depth_) + 1,                            \
                 .neurons = (trees_) * ((2u << (depth_)) - 1), .in_bias = true                               \
    }

#define POST_NORM                                                                                            \
    .norm_eps = 1e-12, .qkv_bias = true, .projection_bias = true, .in_bias = true, .out_bias = true,         \
    .head_transform = true, .logits_bias = true, .tied = true

#define BASE                                                                                                 \
    POST_NORM, .layers = 12, .width = 768, .heads = 12, .embedding_width = 768, .neurons = 3072,             \
               .positions = FFL_LEARNED, .position_rows = 512, .vocabulary = 30522, .token_types = 2

typedef struct preset {
    const char *name, *summary;
    ffl_encoder_config config;
} preset;

static const preset presets[] = {
    {"ultrafastbert-3072x0", "3072 trees that decide nothing", TREES(3072, 0)},
    {"ultrafastbert-1536x1", "1536 trees of 2 levels", TREES(1536, 1)},
    {"ultrafastbert-512x2", "512 trees of 3 levels", TREES(512, 2)},
    {"ultrafastbert-256x3", "256 trees of 4 levels", TREES(256, 3)},
    {"ultrafastbert-128x4", "128 trees of 5 levels", TREES(128, 4)},
    {"ultrafastbert-64x5", "64 trees of 6 levels", TREES(64, 5)},
    {"ultrafastbert-32x6", "32 trees of 7 levels", TREES(32, 6)},
    {"ultrafastbert-16x7", "16 trees of 8 levels", TREES(16, 7)},
    {"ultrafastbert-8x8", "8 trees of 9 levels", TREES(8, 8)},
    {"ultrafastbert-4x9", "4 trees of 10 levels", TREES(4, 9)},
    {"ultrafastbert-2x10", "2 trees of 11 levels", TREES(2, 10)},
    {"ultrafastbert-1x11", "1 tree of 12 levels", TREES(1, 11)},
    {"crammedbert-3072",
     "the dense layer of crammedBERT and BERT-base, 3072 neurons, against 1x11",
     {CRAMMED, .neurons = 3072}},
    {"crammedbert-4095", "as many neurons as 1x11 has, all evaluated", {CRAMMED, .neurons = 4095}},
    {"bert-base", "12 layers of width 768, 3072 neurons, post-norm", {BASE, .family = FFL_BERT}},
    {"bert-large",
     "24 layers of width 1024, 4096 neurons, post-norm",
     {POST_NORM, .family = FFL_BERT, .layers = 24, .width = 1024, .heads = 16, .embedding_width = 1024,
      .neurons = 4096, .positions = FFL_LEARNED, .position_rows = 512, .vocabulary = 30522,
      .token_types = 2}},
    {"roberta-base",
     "12 layers of width 768, positions from row 2",
     {.layers = 12,
      .width = 768,
      .heads = 12,
      .embedding_width = 768,
      .neurons = 3072,
      .norm_eps = 1e-5,
      .qkv_bias = true,
      .projection_bias = true,
      .in_bias = true,
      .out_bias = true,
      .head_transform = true,
      .logits_bias = true,
      .tied = true,
      .family = FFL_ROBERTA,
      .vocabulary = 50265,
      .token_types = 1,
      .positions = FFL_LEARNED_SKIPPING_PADDING,
      .position_rows = 514,
      .position_offset = 2,
      .padding_id = 1}},
    {"distilbert",
     "6 layers of width 768, no token types",
     {POST_NORM, .family = FFL_DISTILBERT, .layers = 6, .width = 768, .heads = 12, .embedding_width = 768,
      .neurons = 3072, .positions = FFL_LEARNED, .position_rows = 512, .vocabulary = 30522}},
    {"albert-base",
     "12 layers that share one layer's weights, embedding of width 128, tanh GELU (version 2)",
     {POST_NORM, .family = FFL_ALBERT, .activation = FFL_GELU_TANH, .layers = 12, .shared_layers = true,
      .width = 768, .heads = 12, .embedding_width = 128, .neurons = 3072, .positions = FFL_LEARNED,
      .position_rows = 512, .vocabulary = 30000, .token_types = 2}},
};

size_t ffl_encoder_preset_count(void)
{
    return sizeof presets / sizeof *presets;
}

const char *ffl_encoder_preset_name(size_t i)
{
    return presets[i].name;
}

const char *ffl_encoder_preset_summary(size_t i)
{
    return presets[i].summary;
}

bool ffl_encoder_preset(const char *name, ffl_encoder_config *out)
{
    for (size_t i = 0; i < ffl_encoder_preset_count(); i++) {
        if (strcmp(presets[i].name, name) == 0) {
            *out = presets[i].config;
            return true;
        }
    }
    return false;
}

const char *ffl_encoder_family_name(ffl_encoder_family family)
{
    static const char *const names[] = {"crammedBERT", "BERT", "RoBERTa", "DistilBERT", "ALBERT"};
    return names[family];
}

static ffl_status read_shape(const ffl_encoder_config *c, ffl_layer *out)
{
    if (c->operation == FFL_FFF)
        FFL_TRY(ffl_layer_fff(c->width, c->width, c->trees, c->levels, out));
    else
        FFL_TRY(ffl_layer_ff(c->width, c->width, c->neurons, out));
    out->activation = c->activation;
    return FFL_OK;
}

ffl_status ffl_encoder_config_check(const ffl_encoder_config *c)
{
    enum { WIDTH_MAX = 1 << 20, LAYERS_MAX = 1000 };
    static const size_t table_max = (size_t)1 << 40; /* elements of one embedding table */
    ffl_layer shape;
    if (c->layers < 1 || c->layers > LAYERS_MAX)
        return ffl_fail(FFL_BAD_INPUT, "%zu layers; expected 1 to %d", c->layers, LAYERS_MAX);
    if (c->width < 1 || c->width > WIDTH_MAX)
        return ffl_fail(FFL_BAD_INPUT, "width %zu; expected 1 to %d", c->width, WIDTH_MAX);
    if (c->embedding_width < 1 || c->embedding_width > WIDTH_MAX)
        return ffl_fail(FFL_BAD_INPUT, "embedding width %zu; expected 1 to %d", c->embedding_width,
                        WIDTH_MAX);
    if (c->heads < 1 || c->width % c->heads != 0)
        return ffl_fail(FFL_BAD_INPUT, "%zu heads do not divide the width %zu", c->heads, c->width);
    if (c->vocabulary < 1 || c->vocabulary > INT32_MAX || c->vocabulary > table_max / c->embedding_width)
        return ffl_fail(FFL_BAD_INPUT, "a vocabulary of %zu words of width %zu", c->vocabulary,
                        c->embedding_width);
    if (c->position_rows <= c->position_offset || c->position_rows > INT32_MAX)
        return ffl_fail(FFL_BAD_INPUT, "a table of %zu positions, the first at row %zu", c->position_rows,
                        c->position_offset);
    if (c->position_rows > table_max / c->embedding_width || c->token_types > table_max / c->embedding_width)
        return ffl_fail(FFL_BAD_INPUT, "%zu positions and %zu token types of width %zu", c->position_rows,
                        c->token_types, c->embedding_width);
    if (!(c->norm_eps >= 0 && c->norm_eps <= 1))
        return ffl_fail(FFL_BAD_INPUT, "a norm eps of %g; expected 0 to 1", c->norm_eps);
    if (c->operation == FFL_FFF && c->out_bias)
        return ffl_fail(FFL_BAD_INPUT, "trees with an output bias");
    FFL_TRY(read_shape(c, &shape));
    return shape.neurons == c->neurons ? FFL_OK
                                       : ffl_fail(FFL_BAD_INPUT, "%zu neurons; %zux%zu takes %zu", c->neurons,
                                                  c->trees, c->levels - 1, shape.neurons);
}

ffl_layer ffl_encoder_layer_shape(const ffl_encoder_config *config)
{
    ffl_layer shape = {0};
    read_shape(config, &shape);
    return shape;
}

ffl_activation ffl_encoder_head_activation(const ffl_encoder_config *config)
{
    return config->family == FFL_ROBERTA ? FFL_GELU : config->activation;
}

size_t ffl_encoder_longest(const ffl_encoder_config *config)
{
    return config->position_rows - config->position_offset;
}

size_t ffl_encoder_parameters(const ffl_encoder_config *c)
{
    const size_t h = c->width, e = c->embedding_width, n = c->neurons;
    const size_t layer = 3 * h * (h + c->qkv_bias) + h * (h + c->projection_bias) + 4 * h +
                         n * (2 * h + c->in_bias) + (c->out_bias ? h : 0);
    size_t all = c->vocabulary * e + c->token_types * e + 2 * e + (c->shared_layers ? 1 : c->layers) * layer;
    all += c->positions == FFL_SINUSOIDAL ? 1 : c->position_rows * e;
    all += (e != h ? h * (e + 1) : 0) + (c->final_norm ? 2 * h : 0);
    all += (c->head_transform ? e * (h + 3) : 0) + (c->logits_bias ? c->vocabulary : 0);
    return all + (c->tied ? 0 : c->vocabulary * e);
}
