/* experts.cuh */
#include "cuda/experts.cuh"
#include "cuda/grouped_product.cuh"
#include "cuda/narrow_experts.cuh"
#include "kernels/memory.h"

static constexpr unsigned THREADS = 256;
static constexpr size_t BLOCKS_MAX = 1 << 20;

/* Pairs that are not worth two more kernels: their experts are read once for each of them. */
static constexpr size_t LOOSE = 64;

struct ffl_experts {
    const ffl_layer *layer;
    size_t max_tokens, own_bytes;
    size_t hidden_pitch, out_pitch; /* 0: no such scratch */
    unsigned multiprocessors;
    unsigned *count, *start;
    unsigned long long *total;
};

/* ---- The sum over a token's experts ---- */

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
    FFL_TRY(ffl_expert_pairs_order(stream, &pairs));
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
    if (e->hidden_pitch) {
        FFL_TRY(wide_run(e, *pairs, x, ldx, hidden, d, ldd, stream));
    } else {
        FFL_TRY(ffl_expert_pairs_order(stream, pairs));
        FFL_TRY(ffl_narrow_experts_run(e->layer, pairs, x, ldx, d, ldd, stream));
    }
    return several ? combine_on(e, pairs, out, y, ldy, tokens, stream) : FFL_OK;
}

bool ffl_experts_on_device(const ffl_layer *shape, size_t tokens, const char **why)
{
    *why = "rows and pairs are counted in 32 bits here";
    return tokens <= (1u << 31) / shape->chosen && shape->neurons <= UINT32_MAX && shape->gates <= 1u << 31 &&
           shape->width_in <= 1u << 30 && shape->width_out <= 1u << 30;
}
