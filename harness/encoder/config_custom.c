/* An architecture from one word of the command line (config.h). */
#include "harness/encoder/config.h"
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What was said; 0: nothing. */
typedef struct custom {
    size_t layers, width, heads, neurons, trees, depth, vocabulary, positions, types, embedding;
    bool post, has_types, has_tree;
    ffl_activation activation;
} custom;

static ffl_status read_size(const char *key, const char *value, size_t min, size_t *out)
{
    char *end;
    errno = 0;
    const unsigned long long number = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || errno || number < min || number > INT32_MAX)
        return ffl_fail(FFL_BAD_INPUT, "%s=%.40s; expected a whole number from %zu to %d", key, value, min,
                        INT32_MAX);
    *out = (size_t)number;
    return FFL_OK;
}

static ffl_status read_tree(const char *value, custom *out)
{
    char trees[24] = "";
    const size_t length = strcspn(value, "x");
    if (value[length] != 'x' || length >= sizeof trees)
        return ffl_fail(FFL_BAD_INPUT, "tree=%.40s; expected trees x depth, as in 1x11", value);
    memcpy(trees, value, length);
    FFL_TRY(read_size("tree", trees, 1, &out->trees));
    FFL_TRY(read_size("tree", value + length + 1, 0, &out->depth));
    if (out->depth > FFL_DEPTH_MAX)
        return ffl_fail(FFL_BAD_INPUT, "tree=%.40s; trees have a depth of at most %d", value, FFL_DEPTH_MAX);
    out->has_tree = true;
    return FFL_OK;
}

static ffl_status read_word(const char *key, const char *value, custom *out)
{
    if (strcmp(key, "norm") == 0) {
        out->post = strcmp(value, "post") == 0;
        return out->post || strcmp(value, "pre") == 0
                   ? FFL_OK
                   : ffl_fail(FFL_BAD_INPUT, "norm=%.40s; expected pre or post", value);
    }
    for (size_t i = 0; ffl_activation_names[i]; i++) {
        if (strcmp(ffl_activation_names[i], value) == 0) {
            out->activation = (ffl_activation)i;
            return FFL_OK;
        }
    }
    return ffl_fail(FFL_BAD_INPUT, "activation=%.40s; expected gelu, gelu_tanh or relu", value);
}

static ffl_status take(char *part, uint64_t *seen, custom *out)
{
    struct {
        const char *key;
        size_t *to, min;
    } sizes[] = {{"layers", &out->layers, 1},
                 {"width", &out->width, 1},
                 {"heads", &out->heads, 1},
                 {"neurons", &out->neurons, 1},
                 {"vocab", &out->vocabulary, 1},
                 {"positions", &out->positions, 1},
                 {"embedding", &out->embedding, 1},
                 {"types", &out->types, 0},
                 {"tree", NULL, 0},
                 {"norm", NULL, 0},
                 {"activation", NULL, 0}};
    char *value = strchr(part, '=');
    if (!value)
        return ffl_fail(FFL_BAD_INPUT, "'%.40s'; expected NAME=VALUE", part);
    *value++ = '\0';
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (strcmp(sizes[i].key, part) != 0)
            continue;
        if (*seen & (uint64_t)1 << i)
            return ffl_fail(FFL_BAD_INPUT, "%s is there twice", part);
        *seen |= (uint64_t)1 << i;
        out->has_types = out->has_types || sizes[i].to == &out->types;
        if (sizes[i].to)
            return read_size(part, value, sizes[i].min, sizes[i].to);
        return strcmp(part, "tree") == 0 ? read_tree(value, out) : read_word(part, value, out);
    }
    return ffl_fail(FFL_BAD_INPUT,
                    "no such part: %.40s; there are layers, width, heads, neurons, tree, vocab, positions, "
                    "types, embedding, norm, activation",
                    part);
}

static ffl_status check(const custom *c)
{
    if (!c->layers || !c->width || !c->heads)
        return ffl_fail(FFL_BAD_INPUT, "%s is missing",
                        !c->layers  ? "layers"
                        : !c->width ? "width"
                                    : "heads");
    if (c->has_tree == (c->neurons > 0))
        return ffl_fail(FFL_BAD_INPUT, "give one of neurons (dense) and tree (conditional)");
    if (!c->post && c->has_types && c->types)
        return ffl_fail(FFL_BAD_INPUT, "types=%zu needs norm=post: crammedBERT has no token types", c->types);
    if (!c->post && c->embedding && c->embedding != c->width)
        return ffl_fail(FFL_BAD_INPUT,
                        "embedding=%zu needs norm=post: crammedBERT's is as wide as its layers",
                        c->embedding);
    return FFL_OK;
}

static void build(const custom *c, ffl_encoder_config *out)
{
    ffl_encoder_preset(c->post ? "bert-base" : "crammedbert-3072", out);
    out->family = c->post ? FFL_BERT : FFL_CRAMMEDBERT;
    out->layers = c->layers;
    out->width = c->width;
    out->heads = c->heads;
    out->embedding_width = c->embedding ? c->embedding : c->width;
    out->vocabulary = c->vocabulary ? c->vocabulary : out->vocabulary;
    out->position_rows = c->positions ? c->positions : out->position_rows;
    out->token_types = c->has_types ? c->types : out->token_types;
    out->activation = c->activation;
    out->neurons = c->neurons;
    if (c->has_tree) {
        out->operation = FFL_FFF;
        out->trees = c->trees;
        out->levels = ffl_levels_from_depth(c->depth);
        out->neurons = c->trees * (((size_t)1 << out->levels) - 1);
        out->in_bias = true;
        out->out_bias = false;
    }
}

ffl_status ffl_encoder_custom(const char *text, ffl_encoder_config *out)
{
    char words[256], *save = NULL;
    custom c = {.activation = FFL_GELU};
    uint64_t seen = 0;
    if (strlen(text) >= sizeof words)
        return ffl_fail(FFL_BAD_INPUT, "longer than %zu characters", sizeof words - 1);
    strcpy(words, text);
    for (char *part = strtok_r(words, ",", &save); part; part = strtok_r(NULL, ",", &save))
        FFL_TRY(take(part, &seen, &c));
    FFL_TRY(check(&c));
    build(&c, out);
    return ffl_encoder_config_check(out);
}
