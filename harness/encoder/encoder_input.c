/* What a pass is given: the same for every encoder, wherever it runs. */
#include "harness/encoder/encoder.h"

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
