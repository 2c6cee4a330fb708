/* narrow_experts.cuh */
#include "cuda/activation.h"
#include "cuda/narrow_experts.cuh"
#include "cuda/small_tile.cuh"

static constexpr size_t BLOCKS_MAX = 1 << 20;

struct narrow_experts {
    ffl_layer l;
    const float *x;
    float *d;
    size_t ldx, ldd;
    bool wide_x, wide_in, wide_out, wide_d, wide_bias;
};

static constexpr unsigned GROUP = 8; /* rows of d that a thread sums at once */

__device__ static inline void load_quad(const float *from, unsigned left, bool wide, float (&to)[4])
{
    if (wide && left >= 4) {
        const float4 q = __ldg((const float4 *)from);
        to[0] = q.x, to[1] = q.y, to[2] = q.z, to[3] = q.w;
    } else {
#pragma unroll
        for (unsigned i = 0; i < 4; i++)
            to[i] = i < left ? __ldg(from + i) : 0.0f;
    }
}

__device__ static inline void store_quad(float *to, unsigned left, bool wide, const float (&v)[4])
{
    if (wide && left >= 4) {
        *(float4 *)to = make_float4(v[0], v[1], v[2], v[3]);
    } else {
#pragma unroll
        for (unsigned i = 0; i < 4; i++)
            if (i < left)
                to[i] = v[i];
    }
}

/* Eight rows of a tile and four columns of d: a row of w_out meets them in registers. */
template <unsigned HIDDEN>
__device__ static inline void
add_outputs(const narrow_experts &n, const ffl_expert_pairs &pairs, const ffl_expert_tile &tile,
            const float (&hidden)[HIDDEN][FFL_SMALL_PITCH], unsigned group, unsigned column)
{
    const unsigned width = (unsigned)n.l.expert_width, left = (unsigned)n.l.width_out - column;
    const float *w_out = n.l.w_out + (size_t)tile.expert * width * n.l.width_out + column;
    float sum[GROUP][4] = {}, bias[4] = {};
#pragma unroll 4
    for (unsigned k = 0; k < width; k++) {
        float w[4], low[4], high[4];
        load_quad(w_out + k * n.l.width_out, left, n.wide_out, w);
        ffl_small_quad(&hidden[k][group * GROUP], low);
        ffl_small_quad(&hidden[k][group * GROUP + 4], high);
#pragma unroll
        for (unsigned r = 0; r < GROUP; r++)
#pragma unroll
            for (unsigned j = 0; j < 4; j++)
                sum[r][j] = ffl_multiply_add(r < 4 ? low[r % 4] : high[r % 4], w[j], sum[r][j]);
    }
    if (n.l.b_out)
        load_quad(n.l.b_out + tile.expert * n.l.width_out + column, left, n.wide_bias, bias);
#pragma unroll
    for (unsigned r = 0; r < GROUP; r++) {
        const unsigned row = group * GROUP + r;
        if (row >= tile.rows)
            continue;
#pragma unroll
        for (unsigned j = 0; j < 4; j++)
            sum[r][j] += bias[j];
        store_quad(n.d + ffl_expert_row(pairs, FFL_ROW_OF_PAIR, tile.first + row) * n.ldd + column, left,
                   n.wide_d, sum[r]);
    }
}

/* A block per tile: up to 8·COLUMNS neurons, 32 pairs. */
template <unsigned COLUMNS>
__global__ static void __launch_bounds__(FFL_SMALL_THREADS) narrow(narrow_experts n, ffl_expert_pairs pairs)
{
    FFL_SHARED(float, ring);
    __align__(16) __shared__ float hidden[8 * COLUMNS][FFL_SMALL_PITCH];
    const unsigned width = (unsigned)n.l.expert_width, row = threadIdx.x / 8;
    const unsigned quads = ((unsigned)n.l.width_out + 3) / 4;
    ffl_dependency_wait();
    ffl_dependents_launch();
    const size_t tiles = ffl_expert_tiles(pairs);
    for (size_t i = blockIdx.x; i < tiles; i += gridDim.x) {
        const ffl_expert_tile tile = ffl_expert_tile_at(pairs, i);
        const size_t neuron = (size_t)tile.expert * width;
        ffl_small_operands o = {};
        float sum[2][COLUMNS];
        for (unsigned r = 0; r < 2; r++)
            if (row + 16 * r < tile.rows)
                o.a[r] = n.x + ffl_expert_row(pairs, FFL_ROW_OF_TOKEN, tile.first + row + 16 * r) * n.ldx;
        o.b = n.l.w_in + neuron * n.l.width_in;
        o.ldb = n.l.width_in;
        o.rows = tile.rows;
        o.columns = width;
        o.depth = (unsigned)n.l.width_in;
        o.wide_a = n.wide_x;
        o.wide_b = n.wide_in;
        ffl_small_product<true>(o, ring, sum);
#pragma unroll
        for (unsigned j = 0; j < COLUMNS; j++) {
            const unsigned c = ffl_small_column<true, COLUMNS>(j);
            for (unsigned r = 0; r < 2; r++)
                if (c < width)
                    hidden[c][row + 16 * r] =
                        ffl_activate_device(n.l.activation, sum[r][j] + n.l.b_in[neuron + c]);
        }
        __syncthreads();
        /* The next tile's product begins with a barrier, so nobody writes hidden before all are through. */
        const unsigned items = (tile.rows + GROUP - 1) / GROUP * quads;
        for (unsigned item = threadIdx.x; item < items; item += FFL_SMALL_THREADS)
            add_outputs<8 * COLUMNS>(n, pairs, tile, hidden, item / quads, item % quads * 4);
    }
}

ffl_status ffl_narrow_experts_run(const ffl_layer *l, const ffl_expert_pairs *pairs, const float *x,
                                  size_t ldx, float *d, size_t ldd, cudaStream_t stream)
{
    narrow_experts n = {};
    n.l = *l;
    n.x = x;
    n.d = d;
    n.ldx = ldx;
    n.ldd = ldd;
    n.wide_x = ffl_rows_aligned(x, ldx);
    n.wide_in = ffl_rows_aligned(l->w_in, l->width_in);
    n.wide_out = ffl_rows_aligned(l->w_out, l->width_out);
    n.wide_bias = ffl_rows_aligned(l->b_out, l->width_out);
    n.wide_d = ffl_rows_aligned(d, ldd);
    const size_t tiles = ffl_expert_tiles_most(pairs);
    const unsigned blocks = (unsigned)(tiles < BLOCKS_MAX ? tiles : BLOCKS_MAX);
    if (n.l.expert_width <= 8)
        FFL_LAUNCH_BEHIND(narrow<1>, blocks, FFL_SMALL_THREADS, ffl_small_shared<1>, stream, n, *pairs);
    else
        FFL_LAUNCH_BEHIND(narrow<4>, blocks, FFL_SMALL_THREADS, ffl_small_shared<4>, stream, n, *pairs);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}
