/* experts.cuh */
#include "cuda/activation.h"
#include "cuda/experts.cuh"
#include "cuda/grouped_product.cuh"
#include "cuda/small_tile.cuh"
#include "kernels/memory.h"

static constexpr unsigned THREADS = 256, ONE_BLOCK = 1024;
static constexpr size_t BLOCKS_MAX = 1 << 20;

/* All kernels here run behind the one before them: each waits first (launch.cuh). */

/* Pairs that are not worth two more kernels: their experts are read once for each of them. */
static constexpr size_t LOOSE = 64;

/* Pairs that one block places and lists in one go. */
static constexpr size_t ONE_BLOCK_PAIRS = 8192;

struct ffl_experts {
    const ffl_layer *layer;
    size_t max_tokens, own_bytes;
    size_t hidden_pitch, out_pitch; /* 0: no such scratch */
    unsigned multiprocessors;
    unsigned *count, *start;
    unsigned long long *total;
};

/* ---- Places ---- */

/*
 * The first of each expert's pairs takes places and tiles for all of them: a sum over the warp, one addition
 * to the totals. Experts lie in the order in which their warps come by.
 */
__device__ static void place(const ffl_expert_pairs &p, size_t i)
{
    const unsigned lane = threadIdx.x % 32;
    const unsigned expert = i < p.pairs ? p.expert[i] : 0;
    const bool first = i < p.pairs && p.rank[i] == 0;
    const unsigned count = first ? p.count[expert] : 0, tiles = (count + p.tile_rows - 1) / p.tile_rows;
    const unsigned long long own = (unsigned long long)tiles << 32 | count;
    unsigned long long upto = own, base = 0;
    for (unsigned by = 1; by < 32; by *= 2) {
        const unsigned long long left = __shfl_up_sync(0xffffffffu, upto, by);
        upto += lane >= by ? left : 0;
    }
    if (lane == 31 && upto)
        base = atomicAdd(p.total, upto);
    base = __shfl_sync(0xffffffffu, base, 31) + upto - own;
    if (!first)
        return;
    const unsigned start = (unsigned)base;
    p.start[expert] = start;
    p.count[expert] = 0; /* for the next run */
    for (unsigned t = 0; t < tiles; t++) {
        const unsigned done = t * p.tile_rows, left = count - done;
        p.tile[(base >> 32) + t] =
            make_uint4(expert, start + done, left < p.tile_rows ? left : p.tile_rows, 0);
    }
}

__device__ static void list(const ffl_expert_pairs &p, size_t i)
{
    if (i < p.pairs)
        p.order[p.start[p.expert[i]] + p.rank[i]] = (unsigned)i;
}

__global__ static void __launch_bounds__(THREADS) place_pairs(ffl_expert_pairs p)
{
    ffl_dependency_wait();
    ffl_dependents_launch();
    place(p, (size_t)blockIdx.x * THREADS + threadIdx.x);
}

__global__ static void __launch_bounds__(THREADS) list_pairs(ffl_expert_pairs p)
{
    ffl_dependency_wait();
    ffl_dependents_launch();
    list(p, (size_t)blockIdx.x * THREADS + threadIdx.x);
}

__global__ static void __launch_bounds__(ONE_BLOCK) order_pairs(ffl_expert_pairs p)
{
    ffl_dependency_wait();
    ffl_dependents_launch();
    for (size_t i = 0; i < p.pairs; i += ONE_BLOCK)
        place(p, i + threadIdx.x);
    __syncthreads();
    for (size_t i = 0; i < p.pairs; i += ONE_BLOCK)
        list(p, i + threadIdx.x);
}

static ffl_status order_on(cudaStream_t stream, const ffl_expert_pairs *p)
{
    if (p->loose)
        return FFL_OK;
    const unsigned blocks = (unsigned)(((size_t)p->pairs + THREADS - 1) / THREADS);
    if (p->pairs <= ONE_BLOCK_PAIRS) {
        FFL_LAUNCH_BEHIND(order_pairs, 1, ONE_BLOCK, 0, stream, *p);
    } else {
        FFL_LAUNCH_BEHIND(place_pairs, blocks, THREADS, 0, stream, *p);
        FFL_LAUNCH_BEHIND(list_pairs, blocks, THREADS, 0, stream, *p);
    }
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

/* ---- Narrow experts ---- */

struct narrow_experts {
    ffl_layer l;
    const float *x;
    float *d;
    size_t ldx, ldd;
    ffl_row_of row_d;
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
        store_quad(n.d + ffl_expert_row(pairs, n.row_d, tile.first + row) * n.ldd + column, left, n.wide_d,
                   sum[r]);
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

/* ---- All of an expert's pairs ---- */

/* y = Σ share · output, in the order of a token's pairs. */
__global__ static void __launch_bounds__(THREADS)
    combine(const float *out, size_t pitch, const float *share, unsigned chosen, float *y, size_t ldy,
            unsigned width, size_t tokens)
{
    ffl_dependency_wait();
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < tokens * width;
         i += (size_t)gridDim.x * THREADS) {
        const size_t token = i / width, column = i % width;
        const float *from = out + token * chosen * pitch + column, *shares = share + token * chosen;
        float sum = shares[0] * from[0];
        for (unsigned c = 1; c < chosen; c++)
            sum = ffl_multiply_add(shares[c], from[c * pitch], sum);
        y[token * ldy + column] = sum;
    }
}

static ffl_status narrow_on(cudaStream_t stream, const narrow_experts &n, const ffl_expert_pairs *pairs)
{
    const size_t tiles = ffl_expert_tiles_most(pairs);
    const unsigned blocks = (unsigned)(tiles < BLOCKS_MAX ? tiles : BLOCKS_MAX);
    if (n.l.expert_width <= 8)
        FFL_LAUNCH_BEHIND(narrow<1>, blocks, FFL_SMALL_THREADS, ffl_small_shared<1>, stream, n, *pairs);
    else
        FFL_LAUNCH_BEHIND(narrow<4>, blocks, FFL_SMALL_THREADS, ffl_small_shared<4>, stream, n, *pairs);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

/* ---- Scratch ---- */

static size_t carve(const ffl_experts *e, char *base, ffl_expert_pairs *p, float **hidden, float **out)
{
    const size_t pairs = e->max_tokens * e->layer->chosen, experts = e->layer->experts;
    const size_t tiles = pairs / FFL_EXPERT_TILE + (pairs < experts ? pairs : experts);
    size_t used = (e->own_bytes + 255) / 256 * 256;
#define CARVE(field, type, count)                                                                            \
    (field = (type *)(base + used), used += ((count) * sizeof(type) + 255) / 256 * 256)
    CARVE(p->expert, unsigned, pairs);
    CARVE(p->rank, unsigned, pairs);
    CARVE(p->order, unsigned, pairs);
    CARVE(p->tile, uint4, tiles);
    CARVE(p->share, float, e->layer->chosen > 1 ? pairs : 0);
    CARVE(*hidden, float, pairs * e->hidden_pitch);
    CARVE(*out, float, pairs * e->out_pitch);
#undef CARVE
    return used;
}

ffl_status ffl_experts_new(const ffl_layer *layer, size_t own_bytes, ffl_plan *plan, ffl_experts **out)
{
    cudaDeviceProp device;
    int index;
    FFL_CUDA_TRY(cudaGetDevice(&index));
    FFL_CUDA_TRY(cudaGetDeviceProperties(&device, index));
    ffl_experts *e = (ffl_experts *)ffl_alloc(sizeof *e);
    if (!e)
        return FFL_NO_MEMORY;
    *e = {};
    e->layer = layer;
    e->max_tokens = plan->max_tokens;
    e->own_bytes = own_bytes;
    e->hidden_pitch = layer->expert_width > FFL_EXPERT_NARROW ? (layer->expert_width + 3) / 4 * 4 : 0;
    e->out_pitch = layer->chosen > 1 ? (layer->width_out + 3) / 4 * 4 : 0;
    e->multiprocessors = (unsigned)device.multiProcessorCount;
    const size_t bytes = sizeof *e->total + 2 * layer->experts * sizeof *e->count;
    void *memory = NULL;
    ffl_status status = ffl_device_alloc(bytes, &memory);
    if (status == FFL_OK)
        status = ffl_device_fill(memory, 0, bytes);
    if (status != FFL_OK) {
        ffl_device_free(memory);
        ffl_free(e);
        return status;
    }
    e->total = (unsigned long long *)memory;
    e->count = (unsigned *)(e->total + 1);
    e->start = e->count + layer->experts;
    ffl_expert_pairs unused = {};
    float *hidden, *outputs;
    plan->scratch_bytes = carve(e, NULL, &unused, &hidden, &outputs);
    *out = e;
    return FFL_OK;
}

void ffl_experts_free(ffl_experts *e)
{
    if (e)
        ffl_device_free(e->total);
    ffl_free(e);
}

ffl_expert_pairs ffl_experts_pairs(const ffl_experts *e, const ffl_exec *exec, size_t tokens)
{
    ffl_expert_pairs p = {};
    float *hidden, *out;
    (void)carve(e, (char *)exec->scratch, &p, &hidden, &out);
    p.count = e->count;
    p.start = e->start;
    p.total = e->total;
    p.pairs = (unsigned)(tokens * e->layer->chosen);
    p.experts = (unsigned)e->layer->experts;
    p.chosen = (unsigned)e->layer->chosen;
    p.tile_rows = FFL_EXPERT_TILE;
    p.loose = p.pairs <= LOOSE;
    if (p.chosen == 1)
        p.share = NULL;
    return p;
}

/* ---- Run ---- */

static ffl_status narrow_run(const ffl_experts *e, const ffl_expert_pairs *pairs, const float *x, size_t ldx,
                             float *d, size_t ldd, cudaStream_t stream)
{
    const ffl_layer *l = e->layer;
    narrow_experts n = {};
    n.l = *l;
    n.x = x;
    n.d = d;
    n.ldx = ldx;
    n.ldd = ldd;
    n.row_d = FFL_ROW_OF_PAIR;
    n.wide_x = ffl_rows_wide(x, ldx);
    n.wide_in = ffl_rows_wide(l->w_in, l->width_in);
    n.wide_out = ffl_rows_wide(l->w_out, l->width_out);
    n.wide_bias = ffl_rows_wide(l->b_out, l->width_out);
    n.wide_d = ffl_rows_wide(d, ldd);
    FFL_TRY(order_on(stream, pairs));
    return narrow_on(stream, n, pairs);
}

/* The two products of wide experts; hidden values lie by place. */
static ffl_grouped_product first_product(const ffl_experts *e, const float *x, size_t ldx, float *hidden)
{
    const ffl_layer *l = e->layer;
    ffl_grouped_product p = {};
    p.a = x;
    p.lda = ldx;
    p.row_a = FFL_ROW_OF_TOKEN;
    p.b = l->w_in;
    p.ldb = l->width_in;
    p.transposed = true;
    p.bias = l->b_in;
    p.activate = true;
    p.activation = l->activation;
    p.d = hidden;
    p.ldd = e->hidden_pitch;
    p.row_d = FFL_ROW_OF_PLACE;
    p.columns = (unsigned)l->expert_width;
    p.depth = (unsigned)l->width_in;
    return p;
}

static ffl_grouped_product second_product(const ffl_experts *e, const float *hidden, float *d, size_t ldd)
{
    const ffl_layer *l = e->layer;
    ffl_grouped_product p = {};
    p.a = hidden;
    p.lda = e->hidden_pitch;
    p.row_a = FFL_ROW_OF_PLACE;
    p.b = l->w_out;
    p.ldb = l->width_out;
    p.bias = l->b_out;
    p.d = d;
    p.ldd = ldd;
    p.row_d = FFL_ROW_OF_PAIR;
    p.columns = (unsigned)l->width_out;
    p.depth = (unsigned)l->expert_width;
    return p;
}

/* Both take the same tiles. */
static ffl_status wide_run(const ffl_experts *e, ffl_expert_pairs pairs, const float *x, size_t ldx,
                           float *hidden, float *d, size_t ldd, cudaStream_t stream)
{
    const ffl_layer *l = e->layer;
    const ffl_grouped_product first = first_product(e, x, ldx, hidden),
                              second = second_product(e, hidden, d, ldd);
    const size_t columns = l->expert_width < l->width_out ? l->expert_width : l->width_out;
    if (!pairs.loose && ffl_grouped_fits_large(&first) && ffl_grouped_fits_large(&second))
        pairs.tile_rows = ffl_grouped_tile_rows(pairs.pairs, l->experts, columns, e->multiprocessors);
    FFL_TRY(order_on(stream, &pairs));
    FFL_TRY(ffl_grouped_run(&first, &pairs, e->multiprocessors, true, stream));
    return ffl_grouped_run(&second, &pairs, e->multiprocessors, true, stream);
}

static ffl_status combine_on(const ffl_experts *e, const ffl_expert_pairs *pairs, const float *out, float *y,
                             size_t ldy, size_t tokens, cudaStream_t stream)
{
    const size_t width = e->layer->width_out, blocks = (tokens * width + THREADS - 1) / THREADS;
    FFL_LAUNCH_BEHIND(combine, (unsigned)(blocks < BLOCKS_MAX ? blocks : BLOCKS_MAX), THREADS, 0, stream, out,
                      e->out_pitch, pairs->share, pairs->chosen, y, ldy, (unsigned)width, tokens);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

ffl_status ffl_experts_run(const ffl_experts *e, const ffl_exec *exec, const ffl_expert_pairs *pairs,
                           const float *x, size_t ldx, float *y, size_t ldy, size_t tokens)
{
    const cudaStream_t stream = ffl_cuda_stream(exec->stream);
    ffl_expert_pairs unused = {};
    float *hidden, *out;
    (void)carve(e, (char *)exec->scratch, &unused, &hidden, &out);
    const bool several = e->layer->chosen > 1;
    float *d = several ? out : y;
    const size_t ldd = several ? e->out_pitch : ldy;
    if (e->hidden_pitch)
        FFL_TRY(wide_run(e, *pairs, x, ldx, hidden, d, ldd, stream));
    else
        FFL_TRY(narrow_run(e, pairs, x, ldx, d, ldd, stream));
    return several ? combine_on(e, pairs, out, y, ldy, tokens, stream) : FFL_OK;
}

bool ffl_experts_on_device(const ffl_layer *shape, size_t tokens, const char **why)
{
    *why = "rows and pairs are counted in 32 bits here";
    return tokens <= (1u << 31) / shape->chosen && shape->neurons <= UINT32_MAX && shape->gates <= 1u << 31 &&
           shape->width_in <= 1u << 30 && shape->width_out <= 1u << 30;
}
