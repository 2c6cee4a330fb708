/*
 * Exact self-attention, one of the fixed parts of the encoder: for each sequence and head
 *
 *     out = softmax(scale · q·kᵀ + mask)·v
 *
 *   qkv  [batch · sequence][ldq] float, read only: per token q, k and v of all heads, `heads · head_width`
 * each out  [batch · sequence][ldo] float, overwritten: heads · head_width per token mask [batch][sequence]
 * float, added to every score of that key; NULL: none
 *
 * ldq >= 3 · heads · head_width, ldo >= heads · head_width; out must not overlap qkv. The score matrix is
 * never held whole (kernels/simd/attention_head.h). Rows of one sequence depend on no other sequence, and the
 * result not on the number of threads.
 */
#ifndef FFL_KERNELS_ATTENTION_H
#define FFL_KERNELS_ATTENTION_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Queries and keys in a tile: 48 KB of scores. Multiples of every instruction set's rows and lanes. */
enum { FFL_ATTENTION_QUERIES = 48, FFL_ATTENTION_KEYS = 256 };

typedef struct ffl_attention {
    size_t batch, sequence, heads, head_width; /* all >= 1 */
    float scale;
    const float *bias; /* [3][heads · head_width], added to q, k and v; NULL: none */
} ffl_attention;

/* Bytes of scratch, 64-byte aligned, that ffl_attention_run needs. */
size_t ffl_attention_scratch(const ffl_attention *attention, int threads);

void ffl_attention_run(const ffl_attention *attention, const float *qkv, size_t ldq, const float *mask,
                       float *out, size_t ldo, void *scratch, int threads);

/* One head of one sequence, per instruction set: only for attention.c, which knows what the machine has. */
typedef void ffl_attention_head_function(const ffl_attention *attention, const float *qkv, size_t ldq,
                                         const float *mask, size_t head, float *out, size_t ldo,
                                         float *scratch);
ffl_attention_head_function ffl_attention_head_avx2, ffl_attention_head_avx512;

#ifdef __cplusplus
}
#endif
#endif
