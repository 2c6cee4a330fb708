/*
 * What the two kernels of the hybrid FFF share: arguments, element formats, and tiles of 128-byte rows in
 * shared memory.
 *
 * A tile row holds 128 bytes of an input or weight row (64 bf16 or 32 floats), eight chunks of 16; chunk c of
 * row r lies at place c ^ (r % 8), so that ldmatrix and 16-byte copies meet no bank twice. ldmatrix moves
 * 16-byte rows whatever they hold: fragments of bf16 and of tf32 are loaded by the same code.
 */
#ifndef FFL_CUDA_HYBRID_CUH
#define FFL_CUDA_HYBRID_CUH

#include "cuda/activation.h"
#include "cuda/async.cuh"
#include "cuda/bf16.cuh"
#include "cuda/hybrid.h"
#include "cuda/mma.cuh"

enum {
    FFL_TILE_ROW = 128, /* bytes */
    FFL_TILE_STEPS = 4, /* matrix instructions along a tile row: 32 bytes each */
    FFL_SHARED_MOST = 227 << 10,
    FFL_NO_TOKEN = -1
};

/* One tree of one run. x, y: arrays of the format's storage type. */
struct ffl_hybrid_args {
    ffl_hybrid_cut cut;
    ffl_activation activation;
    const unsigned char *w_in, *w_out; /* packed rows of this tree */
    const float *b_in;
    size_t pitch_in, pitch_out; /* bytes of a packed row: multiples of FFL_TILE_ROW */
    const void *x;
    void *y;
    size_t ldx, ldy, width_in, width_out;
    unsigned tokens;
    bool aligned_x, aligned_y; /* rows start at multiples of 16 bytes and fill whole chunks */

    unsigned *totals; /* [buckets] tokens, then how many blocks have read them; zero before and after a run */
    unsigned *list;   /* [buckets][tokens]: a bucket's tokens */
    float *hidden;    /* [tokens][8] activations of the upper levels */
    float *sums;      /* [tokens][pitch_out / element]: outputs of the trees so far; unused with one tree */
    bool first, last; /* tree */

    /* For a trace instead of outputs: [tokens][trees][levels]; nodes NULL: outputs. */
    int32_t *nodes;
    float *logits;
    unsigned tree, trees;
};

__device__ static inline void ffl_hybrid_record(const ffl_hybrid_args &a, unsigned token, unsigned level,
                                                int node, float z)
{
    const size_t at = ((size_t)token * a.trees + a.tree) * (a.cut.top + a.cut.bottom) + level;
    a.nodes[at] = node;
    a.logits[at] = z;
}

/* ---- Formats ---- */

struct ffl_format_bf16 {
    typedef uint16_t element;
    static constexpr int ELEMENT = 2;
    static constexpr bool PROMOTES = false;

    template <int WORDS>
    struct operand {
        uint32_t bits[WORDS];
        __device__ void set(const uint32_t *raw)
        {
#pragma unroll
            for (int i = 0; i < WORDS; i++)
                bits[i] = raw[i];
        }
    };

    __device__ static void multiply(float d[4], const operand<4> &a, const operand<2> &b)
    {
        ffl_mma_bf16(d, a.bits, b.bits);
    }

    /* A weight: finite stays finite, since masked activations of 0 meet it. */
    __device__ static element pack(float w)
    {
        const uint16_t bits = ffl_bf16_from_float(w);
        return (bits & 0x7fff) == 0x7f80 ? (uint16_t)(bits - 1) : bits;
    }
};

/* To nearest, ties away from zero. NaN and infinity may change into each other or into zero. */
__device__ static inline uint32_t ffl_tf32(uint32_t bits)
{
    return (bits + 0x1000u) & 0xffffe000u;
}

/* The weight stays a float: both products round it when it becomes an operand. */
struct ffl_format_float {
    typedef float element;
    static constexpr int ELEMENT = 4;

    __device__ static element pack(float w)
    {
        return w;
    }
};

struct ffl_format_tf32 : ffl_format_float {
    static constexpr bool PROMOTES = false;

    template <int WORDS>
    struct operand {
        uint32_t bits[WORDS];
        __device__ void set(const uint32_t *raw)
        {
#pragma unroll
            for (int i = 0; i < WORDS; i++)
                bits[i] = ffl_finite(raw[i]) ? ffl_tf32(raw[i]) : raw[i] | 0x2000u;
        }
        __device__ static bool ffl_finite(uint32_t bits)
        {
            return (bits & 0x7f800000u) != 0x7f800000u;
        }
    };

    __device__ static void multiply(float d[4], const operand<4> &a, const operand<2> &b)
    {
        ffl_mma_tf32(d, a.bits, b.bits);
    }
};

/*
 * float products from three tf32 ones: v = high + low, each rounded to 11 bits, so |v - high - low| <= 2u|v|
 * with u = 2^-24, and low·low, at most 4u of the product, is left out: less than 8u per product in all.
 * Tensor cores truncate as they accumulate, so a tile row's sum starts at zero and is added to the rest in
 * float.
 */
struct ffl_format_split : ffl_format_float {
    static constexpr bool PROMOTES = true;

    template <int WORDS>
    struct operand {
        uint32_t high[WORDS], low[WORDS];
        __device__ void set(const uint32_t *raw)
        {
#pragma unroll
            for (int i = 0; i < WORDS; i++) {
                high[i] = ffl_tf32(raw[i]);
                low[i] = __float_as_uint(__uint_as_float(raw[i]) - __uint_as_float(high[i]));
            }
        }
    };

    __device__ static void multiply(float d[4], const operand<4> &a, const operand<2> &b)
    {
        ffl_mma_tf32(d, a.low, b.high);
        ffl_mma_tf32(d, a.high, b.low);
        ffl_mma_tf32(d, a.high, b.high);
    }
};

/* ---- Tiles ---- */

__device__ static inline unsigned ffl_tile_place(unsigned row, unsigned chunk)
{
    return row * FFL_TILE_ROW + ((chunk ^ (row & 7)) << 4);
}

/* 128 bytes at `offset` of each of ROWS packed rows. */
template <int ROWS, int THREADS>
__device__ static inline void ffl_tile_weights(unsigned char *tile, const unsigned char *rows, size_t pitch,
                                               size_t offset)
{
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < ROWS * 8; i += THREADS)
        ffl_copy_async(tile + ffl_tile_place(i / 8, i % 8), rows + i / 8 * pitch + offset + i % 8 * 16);
}

/* The chunk of a row that begins at `column`, with zeros past the row's end; any alignment. */
template <class F>
__device__ static inline uint4 ffl_chunk_gather(const typename F::element *row, size_t column, size_t width)
{
    uint32_t words[4] = {0, 0, 0, 0};
#pragma unroll
    for (unsigned e = 0; e < 16 / F::ELEMENT; e++)
        if (column + e < width) {
            if constexpr (F::ELEMENT == 2)
                words[e / 2] |= (uint32_t)row[column + e] << e % 2 * 16;
            else
                words[e] = __float_as_uint(row[column + e]);
        }
    return make_uint4(words[0], words[1], words[2], words[3]);
}

/* A slice of the inputs of ROWS tokens, of_row(row) or FFL_NO_TOKEN for a row of zeros. */
template <class F, int ROWS, int THREADS, class Tokens>
__device__ static inline void ffl_tile_inputs(unsigned char *tile, const ffl_hybrid_args &a, size_t slice,
                                              Tokens of_row)
{
    const typename F::element *x = (const typename F::element *)a.x;
    constexpr size_t PER_CHUNK = 16 / F::ELEMENT;
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < ROWS * 8; i += THREADS) {
        const int token = of_row(i / 8);
        const size_t column = (slice * 8 + i % 8) * PER_CHUNK;
        unsigned char *to = tile + ffl_tile_place(i / 8, i % 8);
        const bool valid = token >= 0 && column < a.width_in;
        const typename F::element *row = x + (valid ? (size_t)token * a.ldx : 0);
        if (a.aligned_x)
            ffl_copy_async_or_zero(to, valid ? row + column : x, valid);
        else
            *(uint4 *)to = valid ? ffl_chunk_gather<F>(row, column, a.width_in) : make_uint4(0, 0, 0, 0);
    }
}

/*
 * z += rows of `inputs` from first_row on, times rows of `weights` from first_column on: MI tiles of 16 by NI
 * tiles of 8, steps `step`, step + steps, … of the tile row.
 */
template <class F, int MI, int NI>
__device__ static inline void ffl_tile_steps(float (&z)[MI][NI][4], const unsigned char *inputs,
                                             unsigned first_row, const unsigned char *weights,
                                             unsigned first_column, int step, int steps)
{
    const unsigned lane = threadIdx.x % 32;
    for (; step < FFL_TILE_STEPS; step += steps) {
        typename F::template operand<4> rows[MI];
#pragma unroll
        for (int i = 0; i < MI; i++) {
            uint32_t raw[4];
            ffl_load_matrices(raw,
                              inputs + ffl_tile_place(first_row + 16 * i + lane % 16, 2 * step + lane / 16));
            rows[i].set(raw);
        }
#pragma unroll
        for (int n = 0; n < NI; n += 2) {
            uint32_t raw[4];
            ffl_load_matrices(raw, weights + ffl_tile_place(first_column + 8 * n + lane % 8 + lane / 16 * 8,
                                                            2 * step + lane / 8 % 2));
            typename F::template operand<2> columns[2];
            columns[0].set(raw);
            columns[1].set(raw + 2);
#pragma unroll
            for (int i = 0; i < MI; i++) {
                F::multiply(z[i][n], rows[i], columns[0]);
                F::multiply(z[i][n + 1], rows[i], columns[1]);
            }
        }
    }
}

template <class F, int MI, int NI>
__device__ static inline void ffl_tile_product(float (&z)[MI][NI][4], const unsigned char *inputs,
                                               unsigned first_row, const unsigned char *weights,
                                               unsigned first_column, int step, int steps)
{
    if constexpr (!F::PROMOTES) {
        ffl_tile_steps<F>(z, inputs, first_row, weights, first_column, step, steps);
    } else {
        float part[MI][NI][4] = {};
        ffl_tile_steps<F>(part, inputs, first_row, weights, first_column, step, steps);
#pragma unroll
        for (int i = 0; i < MI; i++)
#pragma unroll
            for (int n = 0; n < NI; n++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    z[i][n][e] += part[i][n][e];
    }
}

/* z into `logits`, rows of `stride` floats. */
template <int MI, int NI>
__device__ static inline void ffl_tile_store(const float (&z)[MI][NI][4], float *logits, unsigned stride,
                                             unsigned first_row, unsigned first_column)
{
    const unsigned g = threadIdx.x % 32 / 4, q = threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
        for (int n = 0; n < NI; n++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                logits[(first_row + 16 * i + g + e / 2 * 8) * stride + first_column + 8 * n + 2 * q + e % 2] =
                    z[i][n][e];
}

#endif
