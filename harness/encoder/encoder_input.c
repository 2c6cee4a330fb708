/* What a pass is given: the same for every encoder, wherever it runs. */
#include "harness/encoder/encoder.h"

ffl_encoder_input ffl_encoder_input_part(const ffl_encoder_input *input, size_t first, size_t count)
{
    const size_t at = first * input->sequence;
    return (ffl_encoder_input){.batch = count,
                               .sequence = input->sequence,
                               .ids = input->ids + at,
                               .mask = input->mask ? input->mask + at : NULL,
                               .types = input->types ? input->types + at : NULL};
}

const float *ffl_encoder_type_row(const ffl_encoder_weights *w, const ffl_encoder_input *input, size_t index)
{
    const size_t row = input->types ? (size_t)input->types[index] : 0;
    return w->types ? w->types + row * w->config.embedding_width : NULL;
}

/* A model without types takes none but 0. */
static ffl_status check_type(const ffl_encoder_config *config, const ffl_encoder_input *input, size_t b,
                             size_t s)
{
    const int32_t type = input->types ? input->types[b * input->sequence + s] : 0;
    const size_t count = config->token_types ? config->token_types : 1;
    return type >= 0 && (size_t)type < count
               ? FFL_OK
               : ffl_fail(FFL_BAD_INPUT, "sequence %zu, position %zu: token type %d; the model has %zu", b, s,
                          (int)type, config->token_types);
}

ffl_status ffl_encoder_input_check(const ffl_encoder_config *config, const ffl_encoder_input *input)
{
    if (input->batch == 0 || input->sequence == 0)
        return ffl_fail(FFL_BAD_INPUT, "%zu sequences of %zu tokens: nothing to do", input->batch,
                        input->sequence);
    if (input->sequence > ffl_encoder_longest(config))
        return ffl_fail(FFL_BAD_INPUT, "sequences of %zu tokens; the position table takes %zu",
                        input->sequence, ffl_encoder_longest(config));
    for (size_t b = 0; b < input->batch; b++) {
        size_t tokens = 0;
        for (size_t s = 0; s < input->sequence; s++) {
            const size_t at = b * input->sequence + s;
            if (input->ids[at] < 0 || (size_t)input->ids[at] >= config->vocabulary)
                return ffl_fail(FFL_BAD_INPUT,
                                "sequence %zu, position %zu: token id %d; the vocabulary has %zu words", b, s,
                                (int)input->ids[at], config->vocabulary);
            FFL_TRY(check_type(config, input, b, s));
            tokens += !input->mask || input->mask[at];
        }
        if (tokens == 0)
            return ffl_fail(FFL_BAD_INPUT, "sequence %zu is nothing but padding", b);
    }
    return FFL_OK;
}

size_t ffl_encoder_position(const ffl_encoder_config *c, const int32_t *ids, size_t s, size_t *seen)
{
    if (c->positions != FFL_LEARNED_SKIPPING_PADDING)
        return s + c->position_offset;
    if ((size_t)ids[s] == c->padding_id)
        return c->padding_id;
    return (*seen)++ + c->position_offset;
}
