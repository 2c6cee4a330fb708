/*
 * How a dense layer is cut for the device: padded sizes, scratch, and how many tokens at a time. Plain C:
 * checked without a GPU by tests/test_dense_cuda.c.
 *
 * y = act(x·w_inᵀ + b_in)·w_out + b_out is two matrix products with the activations between them. Those of
 * all tokens are far larger than the L2 cache, so the tokens go through in chunks whose activations stay
 * there; or the first product and the activation do, and the second product, which is short of tiles for few
 * tokens, takes all at once.
 */
#ifndef FFL_CUDA_DENSE_PLAN_H
#define FFL_CUDA_DENSE_PLAN_H

#include "kernels/variant.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FFL_CHUNKS_MOST = 16 };

/* The types of a method; its contract says the same. */
typedef struct ffl_dense_types {
    ffl_type product; /* of x, weights and hidden values as multiplied */
    ffl_type logit;   /* of z in memory: FFL_F32, or product where that has 16 bits */
    ffl_type storage; /* of x and y */
    bool fused;       /* the activation is an epilogue of the first product: no z */
} ffl_dense_types;

/* Padded with zeros so that every row starts at a multiple of 16 bytes. All in elements. */
typedef struct ffl_dense_sizes {
    size_t width_in, neurons, width_out;
    /*
     * Of `neurons`, the last few give b_out where y has 16 bits, because the library would round b_out to
     * them: their activation is 1 and their rows of w_out are b_out in parts of the type that add up to it.
     * Else 0.
     */
    size_t bias_neurons;
} ffl_dense_sizes;

ffl_dense_sizes ffl_dense_sizes_of(const ffl_layer *layer, const ffl_dense_types *types);

typedef struct ffl_dense_chunk {
    size_t tokens; /* at a time */
    bool whole;    /* the second product takes all tokens at once */
} ffl_dense_chunk;

/*
 * Ways worth timing, for at most max_tokens: all at once first, then chunks whose activations fit into
 * l2_bytes. Chunks are multiples of 128 tokens, among them the one for which the second product's tiles of
 * 128x128 fill all multiprocessors once. Returns how many.
 */
size_t ffl_dense_chunks(const ffl_dense_sizes *sizes, const ffl_dense_types *types, size_t max_tokens,
                        size_t l2_bytes, size_t multiprocessors, ffl_dense_chunk out[FFL_CHUNKS_MOST]);

/* Places in scratch, in bytes, multiples of 256; the last is the total. */
typedef struct ffl_dense_scratch {
    size_t x, logits, hidden, y, workspace, total;
} ffl_dense_scratch;

ffl_dense_scratch ffl_dense_scratch_of(const ffl_dense_sizes *sizes, const ffl_dense_types *types,
                                       const ffl_dense_chunk *chunk, size_t max_tokens, size_t workspace);

/* Rows at `address`, ld elements apart, can be an operand as they are: their pitch is the padded width's. */
bool ffl_dense_in_place(const void *address, size_t ld, size_t width, size_t padded);

#ifdef __cplusplus
}
#endif
#endif
