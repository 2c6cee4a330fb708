/*
 * FFF level by level, as array libraries write it: gather every token's row of w_in, one batched product,
 * activation and next node, gather the rows of w_out, multiply and add. Gathered rows go through memory: each
 * byte of weights is read, written and read again, in four launches a level.
 *
 * Tokens come in portions, so that the gathered rows stay within GATHERED_BYTES.
 */
#include "cuda/walk.cuh"

static constexpr unsigned THREADS = 256;
static constexpr size_t BLOCKS_MAX = 1 << 20, GATHERED_BYTES = (size_t)256 << 20;

/* Of one portion of the tokens, in scratch; a pair is a token and a tree. */
struct portion {
    uint4 *gathered;    /* [pairs][chunks of the longer row] */
    unsigned *nodes[2]; /* [pairs], of this level and the next: they change places */
    float *hidden;      /* [pairs] */
    float *sums;        /* [tokens][width_out] */
    size_t tokens, pairs;
};

/* A choice, where an index would copy the parameters to the stack. */
__device__ static inline unsigned *nodes_of(const portion &p, unsigned level)
{
    return level % 2 ? p.nodes[1] : p.nodes[0];
}

__device__ static inline size_t thread_index()
{
    return (size_t)blockIdx.x * THREADS + threadIdx.x;
}

__device__ static inline size_t thread_count()
{
    return (size_t)gridDim.x * THREADS;
}

template <typename T>
__global__ static void __launch_bounds__(THREADS)
    gather(ffl_tree<T> l, portion p, unsigned level, const T *w, size_t stride)
{
    const unsigned chunks = (unsigned)(stride / ffl_per_chunk<T>);
    for (size_t i = thread_index(); i < p.pairs * chunks; i += thread_count()) {
        const size_t pair = i / chunks, row = pair % l.trees * l.nodes + nodes_of(p, level)[pair];
        p.gathered[i] = ffl_load(w + row * stride + i % chunks * ffl_per_chunk<T>, false);
    }
}

/* A warp per pair; also the activation and the next node. */
template <typename T>
__global__ static void __launch_bounds__(THREADS)
    multiply(ffl_tree<T> l, portion p, unsigned level, const T *x, size_t ldx)
{
    for (size_t pair = thread_index() / 32; pair < p.pairs; pair += thread_count() / 32) {
        const unsigned node = nodes_of(p, level)[pair];
        const T *row = (const T *)p.gathered + pair * l.stride_in;
        const float z = ffl_row_dot_long(row, l.stride_in, x + pair / l.trees * ldx, l.width_in) +
                        l.b_in[pair % l.trees * l.nodes + node];
        if (threadIdx.x % 32 == 0) {
            p.hidden[pair] = ffl_activate_device(l.activation, z);
            nodes_of(p, level + 1)[pair] = 2 * node + 1 + (z > 0.0f);
        }
    }
}

/* The first level sets the sums, the last one writes y. */
template <typename T>
__global__ static void __launch_bounds__(THREADS)
    add(ffl_tree<T> l, portion p, unsigned level, T *y, size_t ldy)
{
    for (size_t i = thread_index(); i < p.tokens * l.width_out; i += thread_count()) {
        const size_t token = i / l.width_out, j = i % l.width_out;
        const T *rows = (const T *)p.gathered + token * l.trees * l.stride_out;
        float sum = level == 0 ? 0.0f : p.sums[i];
        for (size_t tree = 0; tree < l.trees; tree++)
            sum = __fmaf_rn(p.hidden[token * l.trees + tree], ffl_widen(rows[tree * l.stride_out + j]), sum);
        if (level + 1 == l.levels)
            ffl_narrow(sum, &y[token * ldy + j]);
        else
            p.sums[i] = sum;
    }
}

/* ---- The variant ---- */

template <typename T>
struct state : ffl_walk<T> {
    size_t tokens; /* of a portion */
};

static size_t round_up(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

/* Where the parts of a portion of `tokens` lie in scratch; returns its bytes. */
template <typename T>
static size_t lay_out(const ffl_tree<T> *l, size_t tokens, void *scratch, portion *p)
{
    const size_t stride = l->stride_in > l->stride_out ? l->stride_in : l->stride_out;
    const size_t pairs = tokens * l->trees;
    const size_t sizes[] = {pairs * stride * sizeof(T), pairs * sizeof(unsigned), pairs * sizeof(unsigned),
                            pairs * sizeof(float), tokens * l->width_out * sizeof(float)};
    size_t at[5], bytes = 0;
    for (unsigned i = 0; i < 5; i++) {
        at[i] = bytes;
        bytes += round_up(sizes[i]);
    }
    unsigned char *base = (unsigned char *)scratch;
    *p = {};
    p->gathered = (uint4 *)(base + at[0]);
    p->nodes[0] = (unsigned *)(base + at[1]);
    p->nodes[1] = (unsigned *)(base + at[2]);
    p->hidden = (float *)(base + at[3]);
    p->sums = (float *)(base + at[4]);
    p->tokens = tokens;
    p->pairs = pairs;
    return bytes;
}

template <typename T>
static ffl_status prepare(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    state<T> *s;
    portion p;
    (void)machine;
    FFL_TRY((ffl_walk_new<T>(layer, plan, &s)));
    const size_t one = lay_out(&s->tree, 1, NULL, &p);
    s->tokens = one < GATHERED_BYTES ? GATHERED_BYTES / one : 1;
    if (s->tokens > plan->max_tokens)
        s->tokens = plan->max_tokens;
    plan->scratch_bytes = lay_out(&s->tree, s->tokens, NULL, &p);
    return FFL_OK;
}

static unsigned blocks_for(size_t threads)
{
    const size_t blocks = (threads + THREADS - 1) / THREADS;
    return (unsigned)(blocks < BLOCKS_MAX ? blocks : BLOCKS_MAX);
}

template <typename T>
static ffl_status run_portion(const ffl_tree<T> &l, const portion &p, const T *x, size_t ldx, T *y,
                              size_t ldy, cudaStream_t stream)
{
    const size_t chunks_in = p.pairs * (l.stride_in / ffl_per_chunk<T>);
    const size_t chunks_out = p.pairs * (l.stride_out / ffl_per_chunk<T>);
    FFL_CUDA_TRY(cudaMemsetAsync(p.nodes[0], 0, p.pairs * sizeof(unsigned), stream));
    for (unsigned level = 0; level < l.levels; level++) {
        FFL_LAUNCH((gather<T>), blocks_for(chunks_in), THREADS, 0, stream, l, p, level, l.w_in, l.stride_in);
        FFL_LAUNCH((multiply<T>), blocks_for(32 * p.pairs), THREADS, 0, stream, l, p, level, x, ldx);
        FFL_LAUNCH((gather<T>), blocks_for(chunks_out), THREADS, 0, stream, l, p, level, l.w_out,
                   l.stride_out);
        FFL_LAUNCH((add<T>), blocks_for(p.tokens * l.width_out), THREADS, 0, stream, l, p, level, y, ldy);
        FFL_CUDA_TRY(cudaGetLastError());
    }
    return FFL_OK;
}

template <typename T>
static ffl_status run(const ffl_plan *plan, const ffl_exec *exec, const float *x, size_t ldx, float *y,
                      size_t ldy, size_t tokens)
{
    const state<T> *s = (const state<T> *)plan->state;
    for (size_t first = 0; first < tokens; first += s->tokens) {
        portion p;
        lay_out(&s->tree, tokens - first < s->tokens ? tokens - first : s->tokens, exec->scratch, &p);
        FFL_TRY(run_portion<T>(s->tree, p, (const T *)x + first * ldx, ldx, (T *)y + first * ldy, ldy,
                               ffl_cuda_stream(exec->stream)));
    }
    return FFL_OK;
}

#define BMM(type, name_, summary_)                                                                           \
    FFL_WALK_VARIANT(type, FFL_BLAS3, ffl_tree_supports, prepare<type>, run<type>, name_,                    \
                     "arXiv:2311.10770, its PyTorch form", summary_)

FFL_VARIANTS(fff_bmm_cuda) = {
    BMM(float, "fff_bmm_cuda",
        "level by level: gathered rows, batched products, as array libraries write it"),
    BMM(uint16_t, "fff_bmm_bf16_cuda", "level by level: gathered rows, batched products, bf16"),
    {},
};
