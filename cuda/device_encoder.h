/*
 * The fixed parts of an encoder's pass on the device; the products are gemm.h's. Two forms, by the type that
 * rows are stored in between two operations:
 *
 *   FFL_F32    float throughout, arithmetic on CUDA cores
 *   FFL_BF16   what products and attention read is bf16, all sums are float, and so is the residual stream
 *
 * All rows lie one behind the other, at addresses that are multiples of 16. Every function only enqueues on
 * `stream` (a cudaStream_t), allocates nothing and may be captured in a graph. FFL_DEVICE with file, line and
 * CUDA's words on failure. Rows depend on no other row (attention: on no other sequence), and the same call
 * gives the same bits.
 */
#ifndef FFL_CUDA_DEVICE_ENCODER_H
#define FFL_CUDA_DEVICE_ENCODER_H

#include "kernels/variant.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Elements that a thread of a norm holds, the widest row that a block can, and the widest head. */
enum { FFL_DEVICE_LANES = 8, FFL_DEVICE_WIDTH_MOST = 8192, FFL_DEVICE_HEAD_MOST = 128 };

/* Which sizes the kernels take: widths and head widths are multiples of 8. False, with a reason in *why. */
bool ffl_device_encoder_supports(size_t width, size_t embedding_width, size_t heads, ffl_type storage,
                                 const char **why);

/*
 *     v = words[id] + positions[position] (+ types[type])      where `words` is given, else
 *     v = x (+ add)      and v is written to x where `keep`
 *     v = act(v)         where `activates`
 *     y = (v - mean(v)) / sqrt(variance(v) + eps) · weight + bias, or v where weight is NULL
 *
 * y goes to `full` as float and to `narrow` in the storage type; either may be NULL, and full may be x.
 */
typedef struct ffl_device_norm {
    size_t rows, width;
    ffl_type storage;

    const float *words, *positions, *types; /* tables of `width` columns; types may be NULL */
    const int32_t *id, *position, *type;    /* [rows]: rows of the tables */

    float *x;        /* [rows][width] */
    const void *add; /* [rows][width] in the storage type, or NULL */
    bool keep;

    bool activates;
    ffl_activation activation;
    const float *weight, *bias; /* [width]; both or none */
    double eps;
    float *full;
    void *narrow;
} ffl_device_norm;

ffl_status ffl_device_norm_run(const ffl_device_norm *norm, void *stream);

/*
 *     out = softmax(scale · q·kᵀ + mask)·v      for each sequence and head, exactly
 *
 *   qkv   [batch · sequence][3 · heads · head_width]: per token q, k and v of all heads
 *   mask  [batch · sequence] float, added to every score of that key, or NULL
 *   out   [batch · sequence][heads · head_width], overwritten; not overlapping qkv
 *
 * Scores exist as tiles of 64 x 64 in registers, whatever the length: the sums run along the keys with the
 * largest score so far. bf16: scores and sums are float, the weights of the values bf16 (tensor cores).
 */
typedef struct ffl_device_attention {
    size_t batch, sequence, heads, head_width;
    ffl_type storage;
    float scale;
} ffl_device_attention;

ffl_status ffl_device_attention_run(const ffl_device_attention *attention, const void *qkv, const float *mask,
                                    void *out, void *stream);

/* ---- Sizes, for the launches and the tests of them ---- */

enum { FFL_ATTENTION_TILE = 64 }; /* queries, and keys, of a tile */

/* Columns that a head takes in a tile: 64 or 128. */
size_t ffl_device_head_columns(size_t head_width);

/* Bytes of shared memory of a block, and the blocks: tiles of queries, heads, sequences. */
size_t ffl_device_attention_shared(size_t head_width, ffl_type storage);
void ffl_device_attention_grid(const ffl_device_attention *attention, unsigned grid[3]);

/* Threads of a block that normalises one row. */
unsigned ffl_device_norm_threads(size_t width);

#ifdef __cplusplus
}
#endif
#endif
