/*
 * One head of one sequence (kernels/attention.h). Keys are laid out transposed once, so that both products
 * are the same outer-product tile: ROWS queries by VECTORS vectors of keys, or of the head's columns.
 * Queries go in blocks, keys in tiles; a block keeps the largest score, the sum and the weighted values so
 * far ("online softmax"), hence no more than QUERIES x KEYS scores exist at a time.
 *
 * Bound by FMA: 4·d per score; the exponential adds about a fifth.
 */
#ifndef FFL_KERNELS_SIMD_ATTENTION_HEAD_H
#define FFL_KERNELS_SIMD_ATTENTION_HEAD_H

#include "kernels/attention.h"
#include "kernels/simd/vectors.h"
#include <math.h>
#include <string.h>

enum {
    /* As many accumulators as registers allow: 32 with AVX-512, else 16. */
    FFL_ATTENTION_ROWS = FFL_VECTOR_LANES == 4 ? 4 : 6,
    FFL_ATTENTION_VECTORS = FFL_VECTOR_LANES == 16 ? 4 : 2,
};

typedef struct ffl_attention_block {
    size_t width, columns;   /* of a head; columns: rounded up to whole vectors */
    float *keys, *values;    /* [width][ld], [sequence][columns] */
    float *bias;             /* [ld], -inf behind the sequence */
    float *q, *scores, *out; /* [QUERIES][width], [QUERIES][KEYS], [QUERIES][columns] */
    size_t ld;
} ffl_attention_block;

static inline size_t ffl_vector_round(size_t n)
{
    return (n + FFL_VECTOR_LANES - 1) / FFL_VECTOR_LANES * FFL_VECTOR_LANES;
}

/* c[i][j] (+)= Σ_k a[i][k]·b[k][j]: FFL_ATTENTION_ROWS rows, `vectors` (a constant) vectors of columns. */
static inline __attribute__((always_inline)) void ffl_attention_tile(const float *a, size_t lda,
                                                                     const float *b, size_t ldb, size_t depth,
                                                                     float *c, size_t ldc, size_t vectors,
                                                                     int add)
{
    ffl_vector sum[FFL_ATTENTION_ROWS][FFL_ATTENTION_VECTORS];
    for (size_t i = 0; i < FFL_ATTENTION_ROWS; i++)
        for (size_t v = 0; v < vectors; v++)
            sum[i][v] = add ? ffl_vector_load(c + i * ldc + v * FFL_VECTOR_LANES) : (ffl_vector){0};
    for (size_t k = 0; k < depth; k++) {
        ffl_vector row[FFL_ATTENTION_VECTORS];
        for (size_t v = 0; v < vectors; v++)
            row[v] = ffl_vector_load(b + k * ldb + v * FFL_VECTOR_LANES);
        for (size_t i = 0; i < FFL_ATTENTION_ROWS; i++)
            for (size_t v = 0; v < vectors; v++)
                sum[i][v] += a[i * lda + k] * row[v];
    }
    for (size_t i = 0; i < FFL_ATTENTION_ROWS; i++)
        for (size_t v = 0; v < vectors; v++)
            ffl_vector_store(c + i * ldc + v * FFL_VECTOR_LANES, sum[i][v]);
}

/* rows: a multiple of FFL_ATTENTION_ROWS; columns: whole vectors. */
static inline void ffl_attention_product(const float *a, size_t lda, const float *b, size_t ldb, size_t depth,
                                         float *c, size_t ldc, size_t rows, size_t columns, int add)
{
    enum { WIDE = FFL_ATTENTION_VECTORS * FFL_VECTOR_LANES };
    size_t j = 0;
    for (; j + WIDE <= columns; j += WIDE)
        for (size_t i = 0; i < rows; i += FFL_ATTENTION_ROWS)
            ffl_attention_tile(a + i * lda, lda, b + j, ldb, depth, c + i * ldc + j, ldc,
                               FFL_ATTENTION_VECTORS, add);
    for (; j < columns; j += FFL_VECTOR_LANES)
        for (size_t i = 0; i < rows; i += FFL_ATTENTION_ROWS)
            ffl_attention_tile(a + i * lda, lda, b + j, ldb, depth, c + i * ldc + j, ldc, 1, add);
}

/* scores become exp(scores + bias - largest): the largest so far, their sum, and what earlier sums and
 * outputs must be multiplied with. */
static inline float ffl_attention_softmax(float *scores, const float *bias, size_t keys, float *largest,
                                          float *sum)
{
    ffl_vector top = FFL_VECTOR_SPLAT(-INFINITY), total = {0};
    for (size_t j = 0; j < keys; j += FFL_VECTOR_LANES) {
        const ffl_vector s = ffl_vector_load(scores + j) + ffl_vector_load(bias + j);
        ffl_vector_store(scores + j, s);
        top = ffl_vector_max(s, top);
    }
    const float tile = ffl_vector_largest(top), before = *largest;
    *largest = tile > before ? tile : before;
    for (size_t j = 0; j < keys; j += FFL_VECTOR_LANES) {
        const ffl_vector e = ffl_vector_exp(ffl_vector_load(scores + j) - *largest);
        ffl_vector_store(scores + j, e);
        total += e;
    }
    const float shrink = before == *largest ? 1.0f : expf(before - *largest);
    *sum = *sum * shrink + ffl_vector_sum(total);
    return shrink;
}

/* One block of `rows` (rounded up) queries against all keys: block->out, not yet divided by sum. */
static inline void ffl_attention_queries(const ffl_attention_block *b, size_t sequence, size_t rows,
                                         float *sum)
{
    float largest[FFL_ATTENTION_QUERIES];
    for (size_t i = 0; i < rows; i++) {
        largest[i] = -INFINITY;
        sum[i] = 0;
    }
    for (size_t first = 0; first < sequence; first += FFL_ATTENTION_KEYS) {
        const size_t left = sequence - first, keys = left < FFL_ATTENTION_KEYS ? left : FFL_ATTENTION_KEYS;
        const size_t padded = ffl_vector_round(keys);
        ffl_attention_product(b->q, b->width, b->keys + first, b->ld, b->width, b->scores, FFL_ATTENTION_KEYS,
                              rows, padded, 0);
        for (size_t i = 0; i < rows; i++) {
            const float shrink = ffl_attention_softmax(b->scores + i * FFL_ATTENTION_KEYS, b->bias + first,
                                                       padded, &largest[i], &sum[i]);
            if (first && shrink != 1.0f)
                for (size_t c = 0; c < b->columns; c++)
                    b->out[i * b->columns + c] *= shrink;
        }
        ffl_attention_product(b->scores, FFL_ATTENTION_KEYS, b->values + first * b->columns, b->columns, keys,
                              b->out, b->columns, rows, b->columns, first != 0);
    }
}

/* Lays out keys, values and mask of sequence and head. qkv: the sequence's first row. */
static inline void ffl_attention_pack(const ffl_attention *a, const float *qkv, size_t ld, const float *mask,
                                      size_t head, ffl_attention_block *b)
{
    enum { TOKENS = 16 };
    const size_t d = a->head_width, width = a->heads * d;
    const float *k = qkv + width + head * d, *v = k + width;
    const float *k_bias = a->bias ? a->bias + width + head * d : NULL,
                *v_bias = k_bias ? k_bias + width : NULL;
    for (size_t s = 0; s < a->sequence; s += TOKENS)
        for (size_t c = 0; c < d; c++)
            for (size_t t = s; t < a->sequence && t < s + TOKENS; t++)
                b->keys[c * b->ld + t] = k[t * ld + c] + (k_bias ? k_bias[c] : 0.0f);
    for (size_t c = 0; c < d; c++)
        for (size_t t = a->sequence; t < b->ld; t++)
            b->keys[c * b->ld + t] = 0;
    for (size_t t = 0; t < a->sequence; t++) {
        float *to = b->values + t * b->columns;
        for (size_t c = 0; c < d; c++)
            to[c] = v[t * ld + c] + (v_bias ? v_bias[c] : 0.0f);
        memset(to + d, 0, (b->columns - d) * sizeof *to);
    }
    for (size_t t = 0; t < b->ld; t++)
        b->bias[t] = t >= a->sequence ? -INFINITY : mask ? mask[t] : 0.0f;
}

static inline ffl_attention_block ffl_attention_place(const ffl_attention *a, float *scratch)
{
    ffl_attention_block b = {.width = a->head_width,
                             .columns = ffl_vector_round(a->head_width),
                             .ld = ffl_vector_round(a->sequence)};
    b.keys = scratch;
    b.values = b.keys + b.width * b.ld;
    b.bias = b.values + a->sequence * b.columns;
    b.scores = b.bias + b.ld;
    b.out = b.scores + FFL_ATTENTION_QUERIES * FFL_ATTENTION_KEYS;
    b.q = b.out + FFL_ATTENTION_QUERIES * b.columns;
    return b;
}

/* qkv and out: rows of this sequence. */
static inline void ffl_attention_head(const ffl_attention *a, const float *qkv, size_t ld, const float *mask,
                                      size_t head, float *out, size_t ldo, float *scratch)
{
    const size_t d = a->head_width;
    ffl_attention_block b = ffl_attention_place(a, scratch);
    ffl_attention_pack(a, qkv, ld, mask, head, &b);
    for (size_t first = 0; first < a->sequence; first += FFL_ATTENTION_QUERIES) {
        const size_t left = a->sequence - first,
                     rows = left < FFL_ATTENTION_QUERIES ? left : FFL_ATTENTION_QUERIES;
        const size_t padded = (rows + FFL_ATTENTION_ROWS - 1) / FFL_ATTENTION_ROWS * FFL_ATTENTION_ROWS;
        float sum[FFL_ATTENTION_QUERIES];
        for (size_t i = 0; i < padded; i++)
            for (size_t c = 0; c < d; c++)
                b.q[i * d + c] = i >= rows ? 0.0f
                                           : a->scale * (qkv[(first + i) * ld + head * d + c] +
                                                         (a->bias ? a->bias[head * d + c] : 0.0f));
        ffl_attention_queries(&b, a->sequence, padded, sum);
        for (size_t i = 0; i < rows; i++)
            for (size_t c = 0; c < d; c++)
                out[(first + i) * ldo + head * d + c] = b.out[i * b.columns + c] / sum[i];
    }
}

#endif
