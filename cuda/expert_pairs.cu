/* expert_pairs.cuh */
#include "cuda/expert_pairs.cuh"

static constexpr unsigned THREADS = 256, ONE_BLOCK = 1024;

/* Pairs that one block places and lists in one go. */
static constexpr size_t ONE_BLOCK_PAIRS = 8192;

/* All kernels here run behind the one before them: each waits first (launch.cuh). */

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

ffl_status ffl_expert_pairs_order(cudaStream_t stream, const ffl_expert_pairs *p)
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
