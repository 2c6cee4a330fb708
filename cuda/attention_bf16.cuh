/*
 * Attention in bf16 on tensor cores. Four warps, sixteen queries each, whose fragments stay in registers;
 * keys and values come through two stages of shared memory, the next tile on its way while this one is
 * multiplied. What a warp holds of a tile of scores is, rounded to bf16, the left operand of the product
 * with the values as it stands: weights never leave the registers.
 */
#ifndef FFL_CUDA_ATTENTION_BF16_CUH
#define FFL_CUDA_ATTENTION_BF16_CUH

#include "cuda/attention_tile.cuh"
#include "cuda/mma.cuh"

template <int COLUMNS>
struct ffl_attention_bf16 {
    static constexpr int TILE = FFL_ATTENTION_TILE, WARPS = TILE / 16, THREADS = 32 * WARPS;
    /* Eight more elements: neighbouring rows of a matrix meet different banks. */
    static constexpr int PITCH = COLUMNS + 8, STEPS = COLUMNS / 16, KEY_TILES = TILE / 8;

    uint16_t *q, *stages; /* a stage: keys, then values */
    float *masks;         /* of both stages */

    __device__ explicit ffl_attention_bf16(uint16_t *shared)
        : q(shared), stages(q + TILE * PITCH), masks((float *)(stages + 4 * TILE * PITCH))
    {
    }

    __device__ uint16_t *keys(unsigned tile) const
    {
        return stages + tile % 2 * (2 * TILE * PITCH);
    }

    __device__ void load(const ffl_attention_head<uint16_t> &h, unsigned tile) const
    {
        ffl_attention_load<COLUMNS, PITCH, THREADS>(keys(tile), h.k, h.ldq, h, tile * TILE);
        ffl_attention_load<COLUMNS, PITCH, THREADS>(keys(tile) + TILE * PITCH, h.v, h.ldq, h, tile * TILE);
        ffl_attention_load_mask(masks + tile % 2 * TILE, h, tile * TILE);
    }

    __device__ void load_queries(uint32_t a[STEPS][4]) const
    {
        const unsigned lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane % 16;
#pragma unroll
        for (int step = 0; step < STEPS; step++)
            ffl_load_matrices(a[step], q + row * PITCH + 16 * step + lane / 16 * 8);
    }

    __device__ void score(const uint16_t *keys, const uint32_t a[STEPS][4], float s[KEY_TILES][4]) const
    {
        const unsigned lane = threadIdx.x % 32, key = lane / 16 * 8 + lane % 8, column = lane / 8 % 2 * 8;
#pragma unroll
        for (int step = 0; step < STEPS; step++)
#pragma unroll
            for (int n = 0; n < KEY_TILES; n += 2) {
                uint32_t b[4];
                ffl_load_matrices(b, keys + (8 * n + key) * PITCH + 16 * step + column);
                ffl_mma_bf16(s[n], a[step], b);
                ffl_mma_bf16(s[n + 1], a[step], b + 2);
            }
    }

    /* Rows g and g + 8 of the warp's queries: scores become weights; shrink: by what the sums so far do. */
    __device__ static void soften(float s[KEY_TILES][4], const float *mask, float scale, float most[2],
                                  float sum[2], float shrink[2])
    {
        const unsigned column = threadIdx.x % 4 * 2;
        float top[2] = {most[0], most[1]};
#pragma unroll
        for (int n = 0; n < KEY_TILES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                s[n][i] = s[n][i] * scale + mask[8 * n + column + i % 2];
                top[i / 2] = fmaxf(top[i / 2], s[n][i]);
            }
#pragma unroll
        for (int r = 0; r < 2; r++) {
            top[r] = fmaxf(top[r], __shfl_xor_sync(0xffffffffu, top[r], 1));
            top[r] = fmaxf(top[r], __shfl_xor_sync(0xffffffffu, top[r], 2));
            shrink[r] = exp2f(most[r] - top[r]); /* 0 for the first tile, where most is -infinity */
            most[r] = top[r];
            sum[r] *= shrink[r];
        }
#pragma unroll
        for (int n = 0; n < KEY_TILES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                s[n][i] = exp2f(s[n][i] - top[i / 2]);
                sum[i / 2] += s[n][i]; /* of this lane's keys; added up in the end */
            }
    }

    __device__ void add_values(const uint16_t *values, const float s[KEY_TILES][4],
                               float o[2 * STEPS][4]) const
    {
        const unsigned lane = threadIdx.x % 32, key = lane / 8 % 2 * 8 + lane % 8, column = lane / 16 * 8;
#pragma unroll
        for (int n = 0; n < KEY_TILES; n += 2) {
            const uint32_t a[4] = {ffl_bf16_pair(s[n][0], s[n][1]), ffl_bf16_pair(s[n][2], s[n][3]),
                                   ffl_bf16_pair(s[n + 1][0], s[n + 1][1]),
                                   ffl_bf16_pair(s[n + 1][2], s[n + 1][3])};
#pragma unroll
            for (int step = 0; step < STEPS; step++) {
                uint32_t b[4];
                ffl_load_matrices_transposed(b, values + (8 * n + key) * PITCH + 16 * step + column);
                ffl_mma_bf16(o[2 * step], a, b);
                ffl_mma_bf16(o[2 * step + 1], a, b + 2);
            }
        }
    }

    __device__ static void store(const ffl_attention_head<uint16_t> &h, unsigned first, const float sum[2],
                                 const float o[2 * STEPS][4])
    {
        const unsigned lane = threadIdx.x % 32;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float all = sum[r] + __shfl_xor_sync(0xffffffffu, sum[r], 1);
            all += __shfl_xor_sync(0xffffffffu, all, 2);
            const float factor = 1.0f / all;
            const unsigned token = first + threadIdx.x / 32 * 16 + lane / 4 + 8 * r;
#pragma unroll
            for (int n = 0; n < 2 * STEPS; n++) {
                const unsigned column = 8 * n + lane % 4 * 2;
                if (token < h.sequence && column < h.width)
                    *(uint32_t *)(h.out + token * h.ldo + column) =
                        ffl_bf16_pair(o[n][2 * r] * factor, o[n][2 * r + 1] * factor);
            }
        }
    }

    __device__ void run(const ffl_attention_head<uint16_t> &h, unsigned first)
    {
        const unsigned tiles = (h.sequence + TILE - 1) / TILE;
        float most[2] = {-INFINITY, -INFINITY}, sum[2] = {}, o[2 * STEPS][4] = {};
        uint32_t a[STEPS][4];
        ffl_attention_load<COLUMNS, PITCH, THREADS>(q, h.q, h.ldq, h, first);
        load(h, 0);
        ffl_copy_commit();
        for (unsigned tile = 0; tile < tiles; tile++) {
            ffl_copy_wait<0>();
            __syncthreads(); /* this stage is there, and the other one has been read */
            if (tile == 0)
                load_queries(a);
            if (tile + 1 < tiles)
                load(h, tile + 1);
            ffl_copy_commit();
            float s[KEY_TILES][4] = {}, shrink[2];
            score(keys(tile), a, s);
            soften(s, masks + tile % 2 * TILE, h.scale, most, sum, shrink);
#pragma unroll
            for (int n = 0; n < 2 * STEPS; n++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    o[n][i] *= shrink[i / 2];
            add_values(keys(tile) + TILE * PITCH, s, o);
        }
        store(h, first, sum, o);
    }
};

#endif
