/*
 * Attention in float. 256 threads: sixteen rows of sixteen. Thread (i, j) owns queries i + 16a and keys
 * j + 16b of a tile of scores, and columns 4j + 64c of the outputs, so that the sixteen threads of a row
 * share their queries' maxima, sums and weights, and a half-warp is all that has to agree on them.
 */
#ifndef FFL_CUDA_ATTENTION_F32_CUH
#define FFL_CUDA_ATTENTION_F32_CUH

#include "cuda/attention_tile.cuh"

template <int COLUMNS>
struct ffl_attention_f32 {
    static constexpr int TILE = FFL_ATTENTION_TILE, THREADS = 256, SIDE = 16, OWN = TILE / SIDE;
    static constexpr int PITCH = COLUMNS + 4, WEIGHTS_PITCH = TILE + 4, PIECES = COLUMNS / 64;

    /* The tile's parts of shared memory: floats. */
    float *q, *k, *v, *weights, *mask;

    __device__ explicit ffl_attention_f32(float *shared)
        : q(shared), k(q + TILE * PITCH), v(k + TILE * PITCH), weights(v + TILE * PITCH),
          mask(weights + TILE * WEIGHTS_PITCH)
    {
    }

    __device__ void score(float s[OWN][OWN]) const
    {
        const unsigned i = threadIdx.x / SIDE, j = threadIdx.x % SIDE;
#pragma unroll 4
        for (int c = 0; c < COLUMNS; c += 4) {
            float4 a[OWN], b[OWN];
#pragma unroll
            for (int n = 0; n < OWN; n++) {
                a[n] = *(const float4 *)(q + (i + SIDE * n) * PITCH + c);
                b[n] = *(const float4 *)(k + (j + SIDE * n) * PITCH + c);
            }
#pragma unroll
            for (int m = 0; m < OWN; m++)
#pragma unroll
                for (int n = 0; n < OWN; n++)
                    s[m][n] = fmaf(a[m].w, b[n].w,
                                   fmaf(a[m].z, b[n].z, fmaf(a[m].y, b[n].y, fmaf(a[m].x, b[n].x, s[m][n]))));
        }
    }

    /* Scores become weights, in shared memory; returns by what the sums so far shrink. */
    __device__ float soften(float s[OWN], unsigned row, float scale, float &most, float &sum) const
    {
        const unsigned j = threadIdx.x % SIDE;
        float top = most;
#pragma unroll
        for (int n = 0; n < OWN; n++) {
            s[n] = s[n] * scale + mask[j + SIDE * n];
            top = fmaxf(top, s[n]);
        }
#pragma unroll
        for (int with = SIDE / 2; with > 0; with /= 2)
            top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, with));
        float part = 0;
#pragma unroll
        for (int n = 0; n < OWN; n++) {
            const float weight = exp2f(s[n] - top);
            weights[row * WEIGHTS_PITCH + j + SIDE * n] = weight;
            part += weight;
        }
        const float shrink = exp2f(most - top); /* 0 for the first tile, where most is -infinity */
        most = top;
        sum = sum * shrink + part; /* of this thread's keys; added up in the end */
        return shrink;
    }

    __device__ void add_values(float4 o[OWN][PIECES]) const
    {
        const unsigned i = threadIdx.x / SIDE, j = threadIdx.x % SIDE;
#pragma unroll 2
        for (int key = 0; key < TILE; key += 4) {
            float4 w[OWN];
#pragma unroll
            for (int m = 0; m < OWN; m++)
                w[m] = *(const float4 *)(weights + (i + SIDE * m) * WEIGHTS_PITCH + key);
#pragma unroll
            for (int n = 0; n < 4; n++)
#pragma unroll
                for (int p = 0; p < PIECES; p++) {
                    const float4 x = *(const float4 *)(v + (key + n) * PITCH + 64 * p + 4 * j);
#pragma unroll
                    for (int m = 0; m < OWN; m++) {
                        const float f = n == 0 ? w[m].x : n == 1 ? w[m].y : n == 2 ? w[m].z : w[m].w;
                        o[m][p].x = fmaf(f, x.x, o[m][p].x);
                        o[m][p].y = fmaf(f, x.y, o[m][p].y);
                        o[m][p].z = fmaf(f, x.z, o[m][p].z);
                        o[m][p].w = fmaf(f, x.w, o[m][p].w);
                    }
                }
        }
    }

    __device__ void store(const ffl_attention_head<float> &h, unsigned first, const float sum[OWN],
                          const float4 o[OWN][PIECES]) const
    {
        const unsigned i = threadIdx.x / SIDE, j = threadIdx.x % SIDE;
#pragma unroll
        for (int m = 0; m < OWN; m++) {
            float all = sum[m];
#pragma unroll
            for (int with = SIDE / 2; with > 0; with /= 2)
                all += __shfl_xor_sync(0xffffffffu, all, with);
            const unsigned token = first + i + SIDE * m;
#pragma unroll
            for (int p = 0; p < PIECES; p++) {
                const unsigned column = 64 * p + 4 * j;
                if (token < h.sequence && column < h.width)
                    *(float4 *)(h.out + token * h.ldo + column) =
                        make_float4(o[m][p].x / all, o[m][p].y / all, o[m][p].z / all, o[m][p].w / all);
            }
        }
    }

    __device__ void run(const ffl_attention_head<float> &h, unsigned first)
    {
        float most[OWN], sum[OWN] = {};
        float4 o[OWN][PIECES] = {};
#pragma unroll
        for (int m = 0; m < OWN; m++)
            most[m] = -INFINITY;
        ffl_attention_load<COLUMNS, PITCH, THREADS>(q, h.q, h.ldq, h, first);
        for (unsigned key = 0; key < h.sequence; key += TILE) {
            ffl_attention_load<COLUMNS, PITCH, THREADS>(k, h.k, h.ldq, h, key);
            ffl_copy_commit();
            ffl_attention_load<COLUMNS, PITCH, THREADS>(v, h.v, h.ldq, h, key);
            ffl_copy_commit();
            ffl_attention_load_mask(mask, h, key);
            ffl_copy_wait<1>();
            __syncthreads();
            float s[OWN][OWN] = {};
            score(s);
#pragma unroll
            for (int m = 0; m < OWN; m++) {
                const float shrink = soften(s[m], threadIdx.x / SIDE + SIDE * m, h.scale, most[m], sum[m]);
#pragma unroll
                for (int p = 0; p < PIECES; p++)
                    o[m][p] = make_float4(o[m][p].x * shrink, o[m][p].y * shrink, o[m][p].z * shrink,
                                          o[m][p].w * shrink);
            }
            ffl_copy_wait<0>();
            __syncthreads();
            add_values(o);
            __syncthreads(); /* keys, values, weights and masks have been read */
        }
        store(h, first, sum, o);
    }
};

#endif
