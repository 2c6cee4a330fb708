/* path.cuh */
#include "cuda/path.cuh"

static constexpr unsigned THREADS = 256, WARPS = THREADS / 32;
static constexpr size_t BLOCKS_MAX = 1 << 20, SLICES_MAX = 1 << 15;

/* A warp per token and tree. */
template <typename T>
__global__ static void __launch_bounds__(THREADS)
    find(ffl_tree<T> l, const T *x, size_t ldx, size_t walks, int32_t *nodes, float *logits)
{
    const unsigned lane = threadIdx.x % 32;
    for (size_t walk = (size_t)blockIdx.x * WARPS + threadIdx.x / 32; walk < walks;
         walk += (size_t)gridDim.x * WARPS) {
        const T *row_x = x + walk / l.trees * ldx;
        const size_t first = walk % l.trees * l.nodes;
        unsigned node = 0, own_node = 0;
        float own_logit = 0.0f;
        for (unsigned level = 0; level < l.levels; level++) {
            const T *row = l.w_in + (first + node) * l.stride_in;
            const float z = ffl_row_dot_long(row, l.stride_in, row_x, l.width_in) + l.b_in[first + node];
            if (lane == level) {
                own_node = node;
                own_logit = z;
            }
            node = 2 * node + 1 + (z > 0.0f);
        }
        if (lane < l.levels) {
            nodes[walk * l.levels + lane] = (int32_t)own_node;
            logits[walk * l.levels + lane] = own_logit;
        }
    }
}

/* A block per token and slice of the columns, a thread per 16 bytes of them. */
template <typename T>
__global__ static void __launch_bounds__(THREADS)
    sum(ffl_tree<T> l, const int32_t *nodes, const float *logits, T *y, size_t ldy, size_t tokens)
{
    __shared__ float hidden[THREADS];
    __shared__ unsigned rows[THREADS];
    constexpr unsigned PER = ffl_per_chunk<T>;
    const size_t visited = (size_t)l.trees * l.levels;
    const unsigned chunks = (unsigned)(l.stride_out / PER), slices = (chunks + THREADS - 1) / THREADS;
    for (size_t t = blockIdx.x; t < tokens; t += gridDim.x)
        for (unsigned slice = blockIdx.y; slice < slices; slice += gridDim.y) {
            const unsigned chunk = slice * THREADS + threadIdx.x;
            float out[PER] = {};
            for (size_t base = 0; base < visited; base += THREADS) {
                const size_t k = base + threadIdx.x, left = visited - base;
                __syncthreads();
                if (k < visited) {
                    hidden[threadIdx.x] = ffl_activate_device(l.activation, logits[t * visited + k]);
                    rows[threadIdx.x] = (unsigned)(k / l.levels * l.nodes) + (unsigned)nodes[t * visited + k];
                }
                __syncthreads();
                const unsigned count = left < THREADS ? (unsigned)left : THREADS;
                if (chunk >= chunks)
                    continue;
#pragma unroll 4
                for (unsigned i = 0; i < count; i++) {
                    float w[PER];
                    ffl_chunk_widen(ffl_load(l.w_out + rows[i] * l.stride_out + chunk * PER, false), w);
#pragma unroll
                    for (unsigned j = 0; j < PER; j++)
                        out[j] = __fmaf_rn(hidden[i], w[j], out[j]);
                }
            }
#pragma unroll
            for (unsigned j = 0; j < PER; j++)
                if (chunk < chunks && chunk * PER + j < l.width_out)
                    ffl_narrow(out[j], &y[t * ldy + chunk * PER + j]);
        }
}

template <typename T>
ffl_status ffl_path_find(const ffl_tree<T> *tree, const T *x, size_t ldx, size_t tokens, int32_t *nodes,
                         float *logits, cudaStream_t stream)
{
    const size_t walks = tokens * tree->trees, blocks = (walks + WARPS - 1) / WARPS;
    FFL_LAUNCH((find<T>), (unsigned)(blocks < BLOCKS_MAX ? blocks : BLOCKS_MAX), THREADS, 0, stream, *tree, x,
               ldx, walks, nodes, logits);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

template <typename T>
ffl_status ffl_path_sum(const ffl_tree<T> *tree, const int32_t *nodes, const float *logits, T *y, size_t ldy,
                        size_t tokens, cudaStream_t stream)
{
    const size_t slices = (tree->stride_out / ffl_per_chunk<T> + THREADS - 1) / THREADS;
    const dim3 grid((unsigned)(tokens < BLOCKS_MAX ? tokens : BLOCKS_MAX),
                    (unsigned)(slices < SLICES_MAX ? slices : SLICES_MAX));
    FFL_LAUNCH((sum<T>), grid, THREADS, 0, stream, *tree, nodes, logits, y, ldy, tokens);
    FFL_CUDA_TRY(cudaGetLastError());
    return FFL_OK;
}

#define INSTANCE(T)                                                                                          \
    template ffl_status ffl_path_find<T>(const ffl_tree<T> *, const T *, size_t, size_t, int32_t *, float *, \
                                         cudaStream_t);                                                      \
    template ffl_status ffl_path_sum<T>(const ffl_tree<T> *, const int32_t *, const float *, T *, size_t,    \
                                        size_t, cudaStream_t);
INSTANCE(float)
INSTANCE(uint16_t)
