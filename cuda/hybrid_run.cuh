/*
 * The hybrid FFF as a variant: packing, tiles by the number of tokens, launches. F is the format
 * (hybrid.cuh).
 */
#ifndef FFL_CUDA_HYBRID_RUN_CUH
#define FFL_CUDA_HYBRID_RUN_CUH

#include "cuda/hybrid_bottom.cuh"
#include "cuda/hybrid_top.cuh"
#include "cuda/hybrid_walk.cuh"
#include "kernels/variant.h"
#include <new>

/* Tokens of one pass: lists take 4 bytes a token and bucket. */
static constexpr size_t FFL_HYBRID_PASS = 1 << 16;

struct ffl_hybrid_state {
    ffl_hybrid_cut cut;
    unsigned multiprocessors;
    bool walks; /* too deep or too narrow for the products */
    size_t pitch_in, pitch_out;
    unsigned char *w_in, *w_out;
    float *b_in;
    unsigned *totals;
};

/* One block per packed row. */
template <class F>
__global__ static void __launch_bounds__(128)
    ffl_hybrid_pack(ffl_layer l, ffl_hybrid_cut cut, size_t pitch_in, size_t pitch_out, unsigned char *w_in,
                    unsigned char *w_out, float *b_in)
{
    typedef typename F::element element;
    const size_t row = blockIdx.x, tree = row / cut.rows;
    const int node = ffl_hybrid_node(&cut, (unsigned)(row % cut.rows));
    const size_t from = node >= 0 ? tree * l.nodes + (size_t)node : 0;
    element *in = (element *)(w_in + row * pitch_in), *out = (element *)(w_out + row * pitch_out);
    for (size_t i = threadIdx.x; i < pitch_in / sizeof *in; i += blockDim.x)
        in[i] = node >= 0 && i < l.width_in ? F::pack(l.w_in[from * l.width_in + i]) : (element)0;
    for (size_t i = threadIdx.x; i < pitch_out / sizeof *out; i += blockDim.x)
        out[i] = node >= 0 && i < l.width_out ? F::pack(l.w_out[from * l.width_out + i]) : (element)0;
    if (threadIdx.x == 0)
        b_in[row] = node >= 0 ? l.b_in[from] : 0.0f;
}

static inline void ffl_hybrid_release(ffl_plan *plan)
{
    ffl_hybrid_state *s = (ffl_hybrid_state *)plan->state;
    if (!s)
        return;
    cudaFree(s->w_in);
    cudaFree(s->w_out);
    cudaFree(s->b_in);
    cudaFree(s->totals);
    delete s;
    plan->state = nullptr;
}

template <class F>
static ffl_status ffl_hybrid_fill(const ffl_layer *l, ffl_plan *plan, ffl_hybrid_state *s)
{
    const size_t rows = l->trees * s->cut.rows;
    if (rows > 0x7fffffff)
        return ffl_fail(FFL_UNSUPPORTED, "%zu packed rows exceed a grid", rows);
    FFL_CUDA_TRY(cudaMalloc(&s->w_in, rows * s->pitch_in));
    FFL_CUDA_TRY(cudaMalloc(&s->w_out, rows * s->pitch_out));
    FFL_CUDA_TRY(cudaMalloc(&s->b_in, rows * sizeof(float)));
    FFL_CUDA_TRY(cudaMalloc(&s->totals, (s->cut.buckets + 1) * sizeof(unsigned)));
    FFL_CUDA_TRY(cudaMemset(s->totals, 0, (s->cut.buckets + 1) * sizeof(unsigned)));
    FFL_LAUNCH(ffl_hybrid_pack<F>, (unsigned)rows, 128, 0, 0, *l, s->cut, s->pitch_in, s->pitch_out, s->w_in,
               s->w_out, s->b_in);
    FFL_CUDA_TRY(cudaGetLastError());
    FFL_CUDA_TRY(cudaDeviceSynchronize());
    plan->packed_bytes = rows * (s->pitch_in + s->pitch_out + sizeof(float));
    return FFL_OK;
}

/* ---- Launches ---- */

template <class F, int TOKENS, int COLUMNS>
static ffl_status ffl_hybrid_launch_top(const ffl_hybrid_args *a, cudaStream_t stream)
{
    using T = ffl_top_tile<TOKENS, COLUMNS>;
    FFL_CUDA_TRY(cudaFuncSetAttribute((ffl_hybrid_top<F, TOKENS, COLUMNS>),
                                      cudaFuncAttributeMaxDynamicSharedMemorySize, T::SHARED));
    FFL_LAUNCH((ffl_hybrid_top<F, TOKENS, COLUMNS>), (a->tokens + TOKENS - 1) / TOKENS, T::THREADS, T::SHARED,
               stream, *a);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

template <class F, int COLUMNS>
static ffl_status ffl_hybrid_top_of(const ffl_hybrid_args *a, unsigned tile, cudaStream_t stream)
{
    switch (tile) {
    case 16:
        return ffl_hybrid_launch_top<F, 16, COLUMNS>(a, stream);
    case 32:
        return ffl_hybrid_launch_top<F, 32, COLUMNS>(a, stream);
    case 64:
        return ffl_hybrid_launch_top<F, 64, COLUMNS>(a, stream);
    }
    return ffl_hybrid_launch_top<F, 128, COLUMNS>(a, stream);
}

template <class F>
static ffl_status ffl_hybrid_run_top(const ffl_hybrid_args *a, unsigned tile, cudaStream_t stream)
{
    return a->cut.top_columns == 64 ? ffl_hybrid_top_of<F, 64>(a, tile, stream)
                                    : ffl_hybrid_top_of<F, 128>(a, tile, stream);
}

template <class F, class T>
static ffl_status ffl_hybrid_launch_bottom(const ffl_hybrid_args *a, cudaStream_t stream)
{
    FFL_CUDA_TRY(cudaFuncSetAttribute((ffl_hybrid_bottom<F, T>), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      T::SHARED));
    const unsigned blocks = ffl_hybrid_bottom_blocks(&a->cut, a->tokens, T::TOKENS);
    if (a->cut.top) /* starts where the upper product's blocks have ended, and waits for the last */
        FFL_LAUNCH_BEHIND((ffl_hybrid_bottom<F, T>), blocks, T::THREADS, T::SHARED, stream, *a);
    else
        FFL_LAUNCH((ffl_hybrid_bottom<F, T>), blocks, T::THREADS, T::SHARED, stream, *a);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

template <class F, int COLUMNS>
static ffl_status ffl_hybrid_bottom_of(const ffl_hybrid_args *a, unsigned tile, cudaStream_t stream)
{
    switch (tile) {
    case 16:
        return ffl_hybrid_launch_bottom<F, ffl_bottom_tile<16, 4, COLUMNS>>(a, stream);
    case 48:
        return ffl_hybrid_launch_bottom<F, ffl_bottom_tile<48, 2, COLUMNS>>(a, stream);
    case 80:
        return ffl_hybrid_launch_bottom<F, ffl_bottom_tile<80, 2, COLUMNS>>(a, stream);
    }
    return ffl_hybrid_launch_bottom<
        F, ffl_bottom_tile<ffl_hybrid_large_tile(COLUMNS), COLUMNS == 64 ? 1 : 2, COLUMNS>>(a, stream);
}

template <class F>
static ffl_status ffl_hybrid_run_bottom(const ffl_hybrid_args *a, unsigned tile, cudaStream_t stream)
{
    return a->cut.bottom_columns == 32 ? ffl_hybrid_bottom_of<F, 32>(a, tile, stream)
                                       : ffl_hybrid_bottom_of<F, 64>(a, tile, stream);
}

/* ---- The variant's functions ---- */

static inline size_t ffl_round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* Scratch: lists, hidden values, sums. */
struct ffl_hybrid_scratch {
    size_t list, hidden, sums, bytes;
};

static inline ffl_hybrid_scratch ffl_hybrid_scratch_of(const ffl_hybrid_state *s, size_t trees, size_t tokens,
                                                       size_t element)
{
    const size_t pass = tokens < FFL_HYBRID_PASS ? tokens : FFL_HYBRID_PASS;
    ffl_hybrid_scratch at = {};
    if (s->walks)
        return at;
    at.hidden = s->cut.top ? ffl_round_up(s->cut.buckets * pass * sizeof(unsigned), 256) : 0;
    at.sums = at.hidden + ffl_round_up(pass * 8 * sizeof(float), 256);
    at.bytes = at.sums + (trees > 1 ? pass * s->pitch_out / element * sizeof(float) : 0);
    return at;
}

/* `narrowest`: inputs below that are walked. */
template <class F>
static ffl_status ffl_hybrid_prepare(const ffl_layer *l, ffl_plan *plan, unsigned whole, unsigned bottom,
                                     size_t narrowest)
{
    int device = 0;
    cudaDeviceProp properties;
    FFL_CUDA_TRY(cudaGetDevice(&device));
    FFL_CUDA_TRY(cudaGetDeviceProperties(&properties, device));
    ffl_hybrid_state *s = new (std::nothrow) ffl_hybrid_state();
    if (!s)
        return ffl_fail(FFL_NO_MEMORY, "no memory for a plan");
    plan->state = s;
    s->walks = l->levels > FFL_HYBRID_LEVELS_MAX || l->width_in < narrowest;
    s->multiprocessors = (unsigned)properties.multiProcessorCount;
    s->pitch_in = ffl_round_up(l->width_in * F::ELEMENT, FFL_TILE_ROW);
    s->pitch_out = ffl_round_up(l->width_out * F::ELEMENT, FFL_TILE_ROW);
    if (s->walks)
        return FFL_OK;
    s->cut = ffl_hybrid_cut_new((unsigned)l->levels, whole, bottom);
    plan->scratch_bytes = ffl_hybrid_scratch_of(s, l->trees, plan->max_tokens, F::ELEMENT).bytes;
    const ffl_status status = ffl_hybrid_fill<F>(l, plan, s);
    if (status != FFL_OK)
        ffl_hybrid_release(plan);
    return status;
}

template <class F>
static ffl_status ffl_hybrid_pass(const ffl_plan *plan, const ffl_exec *exec, ffl_hybrid_args a)
{
    const ffl_hybrid_state *s = (const ffl_hybrid_state *)plan->state;
    const ffl_layer *l = plan->layer;
    const cudaStream_t stream = ffl_cuda_stream(exec->stream);
    const ffl_hybrid_scratch at = ffl_hybrid_scratch_of(s, l->trees, plan->max_tokens, F::ELEMENT);
    a.list = (unsigned *)exec->scratch;
    a.hidden = (float *)((unsigned char *)exec->scratch + at.hidden);
    a.sums = (float *)((unsigned char *)exec->scratch + at.sums);
    const unsigned top = ffl_hybrid_top_tile(a.tokens, s->multiprocessors);
    const unsigned bottom = ffl_hybrid_bottom_tile(&s->cut, a.tokens, s->multiprocessors);
    for (size_t tree = 0; tree < l->trees; tree++) {
        const size_t row = tree * s->cut.rows;
        a.w_in = s->w_in + row * s->pitch_in;
        a.w_out = s->w_out + row * s->pitch_out;
        a.b_in = s->b_in + row;
        a.first = tree == 0;
        a.last = tree + 1 == l->trees;
        a.tree = (unsigned)tree;
        a.trees = (unsigned)l->trees;
        if (s->cut.top)
            FFL_TRY(ffl_hybrid_run_top<F>(&a, top, stream));
        FFL_TRY(ffl_hybrid_run_bottom<F>(&a, bottom, stream));
    }
    return FFL_OK;
}

/* Outputs into y, or nodes and logits. */
template <class F>
static ffl_status ffl_hybrid_enqueue(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx,
                                     float *y, size_t ldy, size_t tokens, int32_t *nodes, float *logits)
{
    const ffl_hybrid_state *s = (const ffl_hybrid_state *)plan->state;
    const ffl_layer *l = plan->layer;
    if (s->walks)
        return ffl_hybrid_walk_run<F>(l, exec, x, ldx, y, ldy, tokens, nodes, logits);
    constexpr size_t PER_CHUNK = 16 / F::ELEMENT;
    ffl_hybrid_args a = {};
    a.cut = s->cut;
    a.activation = l->activation;
    a.pitch_in = s->pitch_in;
    a.pitch_out = s->pitch_out;
    a.ldx = ldx;
    a.ldy = ldy;
    a.width_in = l->width_in;
    a.width_out = l->width_out;
    a.aligned_x = (uintptr_t)x % 16 == 0 && ldx % PER_CHUNK == 0 && l->width_in % PER_CHUNK == 0;
    a.aligned_y = (uintptr_t)y % 16 == 0 && ldy % PER_CHUNK == 0 && l->width_out % PER_CHUNK == 0;
    a.totals = s->totals;
    for (size_t done = 0; done < tokens; done += FFL_HYBRID_PASS) {
        a.x = (const typename F::element *)x + done * ldx;
        a.y = y ? (typename F::element *)y + done * ldy : nullptr;
        a.nodes = nodes ? nodes + done * l->trees * l->levels : nullptr;
        a.logits = logits ? logits + done * l->trees * l->levels : nullptr;
        a.tokens = (unsigned)(tokens - done < FFL_HYBRID_PASS ? tokens - done : FFL_HYBRID_PASS);
        FFL_TRY(ffl_hybrid_pass<F>(plan, exec, a));
    }
    return FFL_OK;
}

template <class F>
static ffl_status ffl_hybrid_run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx,
                                 float *y, size_t ldy, size_t tokens)
{
    return ffl_hybrid_enqueue<F>(plan, exec, x, ldx, y, ldy, tokens, nullptr, nullptr);
}

template <class F>
static ffl_status ffl_hybrid_trace(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx,
                                   size_t tokens, int32_t *nodes, float *logits)
{
    return ffl_hybrid_enqueue<F>(plan, exec, x, ldx, nullptr, 0, tokens, nodes, logits);
}

#endif
