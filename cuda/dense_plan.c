#include "cuda/dense_plan.h"
#include "cuda/gemm.h"

enum { PITCH_BYTES = 16, NEURON_UNIT = 8, ROW_UNIT = 128, CHUNK_LEAST = 1024, BIAS_PARTS = 3 };

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

ffl_dense_sizes ffl_dense_sizes_of(const ffl_layer *l, const ffl_dense_types *types)
{
    const size_t in = PITCH_BYTES / ffl_gemm_element(types->product);
    const size_t out = PITCH_BYTES / ffl_gemm_element(types->storage);
    ffl_dense_sizes s = {.width_in = round_up(l->width_in, in),
                         .width_out = round_up(round_up(l->width_out, in), out)};
    s.bias_neurons = l->b_out && ffl_gemm_element(types->storage) == 2 ? BIAS_PARTS : 0;
    s.neurons = round_up(l->neurons + s.bias_neurons, NEURON_UNIT);
    return s;
}

/* Bytes of activations that a chunk keeps warm per token. Logits of the product's size become hidden values
 * in place. */
static size_t warm_bytes(const ffl_dense_sizes *s, const ffl_dense_types *types, bool whole)
{
    const size_t logit = ffl_gemm_element(types->logit), hidden = ffl_gemm_element(types->product);
    if (types->fused || logit == hidden)
        return s->neurons * hidden;
    return s->neurons * (whole ? logit : logit + hidden);
}

static size_t add_chunk(ffl_dense_chunk *out, size_t count, size_t tokens, bool whole, size_t max_tokens)
{
    if (tokens == 0 || tokens >= max_tokens || count == FFL_CHUNKS_MOST)
        return count;
    for (size_t i = 0; i < count; i++)
        if (out[i].tokens == tokens && out[i].whole == whole)
            return count;
    out[count] = (ffl_dense_chunk){tokens, whole};
    return count + 1;
}

size_t ffl_dense_chunks(const ffl_dense_sizes *s, const ffl_dense_types *types, size_t max_tokens,
                        size_t l2_bytes, size_t multiprocessors, ffl_dense_chunk out[FFL_CHUNKS_MOST])
{
    size_t count = 1;
    out[0] = (ffl_dense_chunk){max_tokens, false};
    const size_t columns = (s->width_out + ROW_UNIT - 1) / ROW_UNIT;
    const size_t wave = multiprocessors > columns ? multiprocessors / columns * ROW_UNIT : ROW_UNIT;
    for (int whole = 0; whole < 2; whole++) {
        if (whole && types->fused)
            break; /* nothing between the products */
        /* A fifth is left for weights and x on their way through. */
        const size_t most = l2_bytes / 5 * 4 / warm_bytes(s, types, whole) / ROW_UNIT * ROW_UNIT;
        const size_t least = most < CHUNK_LEAST ? ROW_UNIT : CHUNK_LEAST;
        for (size_t tokens = least; tokens <= most; tokens *= 2)
            count = add_chunk(out, count, tokens, whole, max_tokens);
        if (wave <= most)
            count = add_chunk(out, count, wave, whole, max_tokens);
    }
    return count;
}

ffl_dense_scratch ffl_dense_scratch_of(const ffl_dense_sizes *s, const ffl_dense_types *types,
                                       const ffl_dense_chunk *chunk, size_t max_tokens, size_t workspace)
{
    const size_t logit = ffl_gemm_element(types->logit), product = ffl_gemm_element(types->product);
    const size_t hidden_tokens = chunk->whole ? max_tokens : chunk->tokens;
    const bool in_place = types->fused || logit == product;
    ffl_dense_scratch at = {.x = 0};
    at.logits = round_up(at.x + chunk->tokens * s->width_in * product, 256);
    at.hidden = in_place ? at.logits : round_up(at.logits + chunk->tokens * s->neurons * logit, 256);
    at.y = round_up(at.hidden + hidden_tokens * s->neurons * product, 256);
    at.workspace = round_up(at.y + (chunk->whole ? max_tokens : chunk->tokens) * s->width_out *
                                       ffl_gemm_element(types->storage),
                            256);
    at.total = at.workspace + round_up(workspace, 256);
    return at;
}

bool ffl_dense_in_place(const void *address, size_t ld, size_t width, size_t padded)
{
    return (uintptr_t)address % PITCH_BYTES == 0 && width == padded && ld == padded;
}
