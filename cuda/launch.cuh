/*
 * What differs between a GPU and the emulated device (cuda/emulate/), in one place, so that every kernel is
 * one source for both: launches, dynamic shared memory, clusters. Kernels use CUDA's own words for all the
 * rest.
 *
 *     FFL_LAUNCH((walk<4>), grid, block, shared_bytes, stream, arguments…);   grid, block: unsigned or dim3
 *     FFL_CUDA_TRY(cudaGetLastError());
 *
 *     FFL_LAUNCH_BEHIND(…);   as FFL_LAUNCH, for a kernel that may start while the one before it in the
 * stream still runs, once all its blocks have called ffl_dependents_launch() or ended; it must call
 *                             ffl_dependency_wait() before it touches what that kernel wrote or reads. Not
 * shown by the emulated device, where kernels run one after the other. FFL_LAUNCH_BEHIND_IF(behind, …): so,
 * or as FFL_LAUNCH.
 *
 * In a kernel: FFL_SHARED(float, rows); is the dynamic shared memory, 128-byte aligned. Static __shared__
 * variables work too, but not in kernels launched in clusters: the emulated device has one copy of those.
 */
#ifndef FFL_CUDA_LAUNCH_CUH
#define FFL_CUDA_LAUNCH_CUH

#include "cuda/device.cuh"

#define FFL_LAUNCH_BEHIND(...) FFL_LAUNCH_BEHIND_IF(true, __VA_ARGS__)

#ifdef FFL_CUDA_EMULATED

#define FFL_LAUNCH(kernel, grid, block, shared, stream, ...)                                                 \
    ffl_emulated_launch(#kernel, dim3(grid), dim3(block), 1, (shared), (stream),                             \
                        ffl_emulated_bind(kernel, __VA_ARGS__))
#define FFL_LAUNCH_CLUSTER(kernel, cluster, grid, block, shared, stream, ...)                                \
    ffl_emulated_launch(#kernel, dim3(grid), dim3(block), (cluster), (shared), (stream),                     \
                        ffl_emulated_bind(kernel, __VA_ARGS__))
#define FFL_LAUNCH_BEHIND_IF(behind, kernel, grid, block, shared, stream, ...)                               \
    ((void)(behind), FFL_LAUNCH(kernel, grid, block, shared, stream, __VA_ARGS__))
#define FFL_SHARED(type, name) type *const name = (type *)ffl_emulated_shared()

/* a·b + c: rounded once on a GPU, twice here, where fmaf is a call that vectors cannot make. */
__device__ static inline float ffl_multiply_add(float a, float b, float c)
{
    return a * b + c;
}

__device__ static inline void ffl_dependents_launch()
{
}

__device__ static inline void ffl_dependency_wait()
{
}

/* Rank of this block in its cluster; a barrier of all its threads; `local` as the block of that rank has it.
 */
__device__ static inline unsigned ffl_cluster_rank()
{
    return ffl_emulated_cluster_rank();
}

__device__ static inline void ffl_cluster_sync()
{
    ffl_emulated_cluster_sync();
}

template <typename T>
__device__ static inline T *ffl_cluster_map(T *local, unsigned rank)
{
    return (T *)ffl_emulated_cluster_map(local, rank);
}

/* A barrier of `threads` threads of the block; id 1 … 15. */
__device__ static inline void ffl_named_barrier(unsigned id, unsigned threads)
{
    ffl_emulated_barrier(id, threads);
}

#else

#include <stdint.h>
#include <utility>

#define FFL_LAUNCH(kernel, grid, block, shared, stream, ...)                                                 \
    kernel<<<(grid), (block), (shared), (stream)>>>(__VA_ARGS__)
#define FFL_LAUNCH_CLUSTER(kernel, cluster, grid, block, shared, stream, ...)                                \
    ffl_launch_with(ffl_cluster_attribute(cluster), kernel, dim3(grid), dim3(block), (shared), (stream),     \
                    __VA_ARGS__)
#define FFL_LAUNCH_BEHIND_IF(behind, kernel, grid, block, shared, stream, ...)                               \
    ffl_launch_with(ffl_behind_attribute(behind), kernel, dim3(grid), dim3(block), (shared), (stream),       \
                    __VA_ARGS__)
#define FFL_SHARED(type, name)                                                                               \
    extern __shared__ __align__(128) unsigned char ffl_shared_bytes[];                                       \
    type *const name = (type *)ffl_shared_bytes

/* Errors are left for cudaGetLastError. */
template <typename... P, typename... A>
static inline void ffl_launch_with(cudaLaunchAttribute attribute, void (*kernel)(P...), dim3 grid, dim3 block,
                                   size_t shared, cudaStream_t stream, A &&...arguments)
{
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = 1;
    (void)cudaLaunchKernelEx(&config, kernel, P(std::forward<A>(arguments))...);
}

static inline cudaLaunchAttribute ffl_cluster_attribute(unsigned cluster)
{
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = cluster;
    attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
    return attribute;
}

static inline cudaLaunchAttribute ffl_behind_attribute(bool behind)
{
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = behind;
    return attribute;
}

__device__ static inline float ffl_multiply_add(float a, float b, float c)
{
    return __fmaf_rn(a, b, c);
}

__device__ static inline void ffl_dependents_launch()
{
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

__device__ static inline void ffl_dependency_wait()
{
    asm volatile("griddepcontrol.wait;" ::: "memory");
}

/* In words of PTX: <cooperative_groups.h> says the same and takes nvcc six seconds a file. */
__device__ static inline unsigned ffl_cluster_rank()
{
    unsigned rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

__device__ static inline void ffl_cluster_sync()
{
    asm volatile("barrier.cluster.arrive.release;\n\tbarrier.cluster.wait.acquire;" ::: "memory");
}

template <typename T>
__device__ static inline T *ffl_cluster_map(T *local, unsigned rank)
{
    uint64_t mapped;
    asm("mapa.u64 %0, %1, %2;" : "=l"(mapped) : "l"((uint64_t)local), "r"(rank));
    return (T *)mapped;
}

__device__ static inline void ffl_named_barrier(unsigned id, unsigned threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

#endif
#endif
