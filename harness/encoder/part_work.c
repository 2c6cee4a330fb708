#include "harness/encoder/part_work.h"
#include <stdint.h>
#include <stdlib.h>

static const double element = sizeof(float);

/* y = x·wᵀ: x [rows][inputs], w [outputs][inputs]. */
static ffl_work product(double rows, double inputs, double outputs)
{
    return (ffl_work){2 * rows * inputs * outputs, element * (rows * (inputs + outputs) + inputs * outputs)};
}

static ffl_work sum(ffl_work a, ffl_work b)
{
    return (ffl_work){a.flops + b.flops, a.bytes + b.bytes};
}

/* Added where y is written anyway. */
static ffl_work bias(double rows, double width)
{
    return (ffl_work){rows * width, element * width};
}

/* y = norm(x), in place or not. */
static ffl_work norm(double rows, double width)
{
    return (ffl_work){7 * rows * width, element * (2 * rows + 2) * width};
}

/* x += add (+ bias) within a norm: x is read there anyway; `kept`: and written back. */
static ffl_work residual(double rows, double width, bool with_bias, bool kept)
{
    return (ffl_work){(1 + with_bias) * rows * width, element * ((1 + kept) * rows + with_bias) * width};
}

ffl_status ffl_distinct_words(const ffl_encoder_config *config, const ffl_encoder_input *input, size_t *out)
{
    unsigned char *seen = calloc(config->vocabulary, 1);
    if (!seen)
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu words", config->vocabulary);
    *out = 0;
    for (size_t i = 0; i < input->batch * input->sequence; i++) {
        *out += !seen[input->ids[i]];
        seen[input->ids[i]] = 1;
    }
    free(seen);
    return FFL_OK;
}

static ffl_work embedding(const ffl_encoder_config *c, const ffl_encoder_input *input, size_t words)
{
    const double rows = (double)(input->batch * input->sequence), width = (double)c->embedding_width;
    const double tables = (double)words + (double)input->sequence + (c->token_types ? 1 : 0);
    ffl_work all = {rows * width * (c->token_types ? 2 : 1), element * (tables + rows) * width};
    all = sum(all, norm(rows, width));
    if (c->embedding_width != c->width)
        all = sum(all, sum(product(rows, width, (double)c->width), bias(rows, (double)c->width)));
    return all;
}

/* All norms of a layer, or the one behind the last. The first pre-norm finds nothing to add. */
static ffl_work norms(const ffl_encoder_config *c, double rows, size_t layer)
{
    const double width = (double)c->width;
    const ffl_work plain = norm(rows, width);
    if (layer == SIZE_MAX && !c->pre_norm)
        return (ffl_work){0};
    if (layer == SIZE_MAX)
        return c->final_norm ? sum(plain, residual(rows, width, false, false))
                             : (ffl_work){rows * width, element * 3 * rows * width};
    const ffl_work middle = sum(plain, residual(rows, width, c->projection_bias, true));
    if (c->pre_norm && layer == 0)
        return sum(plain, middle);
    return sum(middle, sum(plain, residual(rows, width, false, true)));
}

static ffl_work attention(const ffl_encoder_config *c, const ffl_encoder_input *input)
{
    const double rows = (double)(input->batch * input->sequence), keys = (double)input->sequence;
    const double width = (double)c->width, scores = rows * keys * (double)c->heads;
    return (ffl_work){4 * rows * keys * width + 5 * scores + rows * width * (1 + (c->qkv_bias ? 3 : 0)),
                      element *
                          (4 * rows * width + (c->qkv_bias ? 3 * width : 0) + (input->mask ? rows : 0))};
}

static ffl_work logits(const ffl_encoder_config *c, double rows)
{
    const double width = (double)c->embedding_width, words = (double)c->vocabulary;
    ffl_work all = product(rows, width, words);
    if (c->logits_bias)
        all = sum(all, bias(rows, words));
    if (c->head_transform) {
        const ffl_work activation = {rows * width, element * 2 * rows * width};
        all = sum(all, sum(product(rows, (double)c->width, width), bias(rows, width)));
        all = sum(all, sum(activation, norm(rows, width)));
    }
    return all;
}

static ffl_work work_in_floats(const ffl_encoder_weights *weights, const ffl_encoder_input *input,
                               size_t words, ffl_part part, size_t layer)
{
    const ffl_encoder_config *c = &weights->config;
    const double rows = (double)(input->batch * input->sequence), width = (double)c->width;
    const bool inside = layer != SIZE_MAX;
    switch (part) {
    case FFL_PART_EMBEDDING:
        return inside ? (ffl_work){0} : embedding(c, input, words);
    case FFL_PART_NORM:
        return norms(c, rows, layer);
    case FFL_PART_QKV:
        return inside ? product(rows, width, 3 * width) : (ffl_work){0};
    case FFL_PART_ATTENTION:
        return inside ? attention(c, input) : (ffl_work){0};
    case FFL_PART_PROJECTION:
        return inside ? product(rows, width, width) : (ffl_work){0};
    case FFL_PART_LOGITS:
        return inside || !weights->has_head ? (ffl_work){0} : logits(c, rows);
    default:
        return (ffl_work){0};
    }
}

/* Bytes per element of rows as stored, or of weights as multiplied. */
static double type_bytes(ffl_type type)
{
    switch (type) {
    case FFL_BF16:
    case FFL_F16:
    case FFL_INT16:
        return 2;
    case FFL_INT8:
        return 1;
    default:
        return 4;
    }
}

ffl_work ffl_part_work(const ffl_encoder_weights *weights, const ffl_encoder_input *input, size_t words,
                       ffl_part part, size_t layer, ffl_type storage)
{
    ffl_work work = work_in_floats(weights, input, words, part, layer);
    work.bytes *= type_bytes(storage) / element;
    return work;
}

ffl_work ffl_feedforward_work(const ffl_layer *l, ffl_type type, ffl_type storage, size_t tokens,
                              double weight_bytes)
{
    const double neurons = l->operation == FFL_FFF ? (double)(l->trees * l->levels) : (double)l->neurons;
    const double rows = (double)tokens, widths = (double)(l->width_in + l->width_out);
    return (ffl_work){2 * rows * neurons * widths,
                      weight_bytes * type_bytes(type) / element + type_bytes(storage) * rows * widths};
}
