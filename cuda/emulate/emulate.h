/*
 * An emulated CUDA device: kernels run on the host, every thread a fiber, so that indexes, barriers, shuffles
 * and matrix fragments can be checked where there is no GPU. It proves what a kernel computes, not how fast,
 * nor what a compiler for the GPU makes of it.
 *
 * Blocks run one after the other (those of a cluster together). Threads run in a random order, each up to its
 * next barrier, and now and then a warp or a block runs ahead as far as it can, so a missing barrier shows
 * as a wrong result; a barrier that some thread never reaches ends
 * the program with the kernel's name. FFL_EMULATE_SEED=N repeats an order. Asynchronous copies land when they
 * are waited for. Device memory is the host's: AddressSanitizer finds what compute-sanitizer would.
 *
 * Not emulated: blocks that wait for other blocks of the grid, static __shared__ variables in clusters.
 */
#ifndef FFL_EMULATE_H
#define FFL_EMULATE_H

#include "cuda/emulate/cuda_runtime.h" /* which includes this header once its types are there */
#include <algorithm>
#include <bit>
#include <functional>
#include <tuple>

using std::max;
using std::min;

typedef struct ffl_emulated_stream *ffl_emulated_stream_handle;

/* Of the running thread. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
static const int warpSize = 32;

void ffl_emulated_launch(const char *kernel, dim3 grid, dim3 block, unsigned cluster, size_t shared,
                         ffl_emulated_stream_handle stream, std::function<void()> thread);

template <typename... P, typename... A>
static inline std::function<void()> ffl_emulated_bind(void (*kernel)(P...), A &&...arguments)
{
    return [kernel, held = std::tuple<P...>(P(arguments)...)] { std::apply(kernel, held); };
}

unsigned char *ffl_emulated_shared();
unsigned ffl_emulated_cluster_rank();
void ffl_emulated_cluster_sync();
void *ffl_emulated_cluster_map(void *local, unsigned rank);
void ffl_emulated_barrier(unsigned id, unsigned threads); /* id 0: all of the block */

void ffl_emulated_copy(void *to, const void *from, unsigned bytes); /* from NULL: zeros */
void ffl_emulated_copy_commit();
void ffl_emulated_copy_wait(unsigned newest);

void ffl_emulated_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2]);
void ffl_emulated_mma_tf32(float d[4], const uint32_t a[4], const uint32_t b[2]);
void ffl_emulated_load_matrices(uint32_t out[4], const void *row, bool transposed);
uint16_t ffl_emulated_bf16(float value);
uint16_t ffl_emulated_f16(float value);
float ffl_emulated_f16_to_float(uint16_t value);

/*
 * All lanes named by mask give 32 bytes and wait for each other; `all` [32] then holds everyone's until the
 * lane has been through 63 others. The mask must name the caller.
 */
typedef struct ffl_emulated_word {
    alignas(16) unsigned char bytes[32]; /* both operands of a matrix instruction: one exchange, not two */
} ffl_emulated_word;
const ffl_emulated_word *ffl_emulated_exchange(unsigned mask, ffl_emulated_word own);
unsigned ffl_emulated_lane();

/* ---- CUDA's own functions ---- */

static inline void __syncthreads()
{
    ffl_emulated_barrier(0, 0);
}

static inline void __threadfence()
{
}
static inline void __threadfence_block()
{
}

template <typename T>
static inline T ffl_emulated_from(unsigned mask, T value, unsigned lane)
{
    static_assert(sizeof(T) <= 16);
    ffl_emulated_word own = {};
    memcpy(own.bytes, &value, sizeof value);
    const ffl_emulated_word *all = ffl_emulated_exchange(mask, own);
    memcpy(&value, all[lane & 31].bytes, sizeof value);
    return value;
}

static inline void __syncwarp(unsigned mask = 0xffffffffu)
{
    (void)ffl_emulated_exchange(mask, {});
}

template <typename T>
static inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32)
{
    const unsigned own = ffl_emulated_lane();
    return ffl_emulated_from(mask, value,
                             (own & ~(unsigned)(width - 1)) + ((unsigned)lane & (unsigned)(width - 1)));
}

template <typename T>
static inline T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32)
{
    const unsigned own = ffl_emulated_lane(), lane = own ^ (unsigned)with;
    return ffl_emulated_from(mask, value, lane / (unsigned)width <= own / (unsigned)width ? lane : own);
}

template <typename T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32)
{
    const unsigned own = ffl_emulated_lane();
    return ffl_emulated_from(mask, value, own % (unsigned)width + by < (unsigned)width ? own + by : own);
}

template <typename T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32)
{
    const unsigned own = ffl_emulated_lane();
    return ffl_emulated_from(mask, value, own % (unsigned)width >= by ? own - by : own);
}

unsigned __ballot_sync(unsigned mask, int predicate);
unsigned __match_any_sync(unsigned mask, unsigned value);
unsigned __reduce_add_sync(unsigned mask, unsigned value);
unsigned __reduce_max_sync(unsigned mask, unsigned value);

static inline int __any_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, predicate) != 0;
}
static inline int __all_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, predicate) == mask;
}

/* Threads change places at barriers only. */
template <typename T>
static inline T atomicAdd(T *at, T value)
{
    const T old = *at;
    *at = old + value;
    return old;
}
template <typename T>
static inline T atomicMax(T *at, T value)
{
    const T old = *at;
    *at = old < value ? value : old;
    return old;
}
template <typename T>
static inline T atomicExch(T *at, T value)
{
    const T old = *at;
    *at = value;
    return old;
}

template <typename T>
static inline T __ldg(const T *at)
{
    return *at;
}
template <typename T>
static inline T __ldcg(const T *at)
{
    return *at;
}
template <typename T>
static inline T __ldcs(const T *at)
{
    return *at;
}
template <typename T>
static inline void __stcs(T *at, T value)
{
    *at = value;
}
template <typename T>
static inline void __stcg(T *at, T value)
{
    *at = value;
}

static inline unsigned __float_as_uint(float value)
{
    return std::bit_cast<unsigned>(value);
}
static inline float __uint_as_float(unsigned value)
{
    return std::bit_cast<float>(value);
}
static inline int __float_as_int(float value)
{
    return std::bit_cast<int>(value);
}
static inline float __int_as_float(int value)
{
    return std::bit_cast<float>(value);
}
static inline int __popc(unsigned value)
{
    return std::popcount(value);
}
static inline int __ffs(int value)
{
    return value ? std::countr_zero((unsigned)value) + 1 : 0;
}
static inline int __clz(int value)
{
    return std::countl_zero((unsigned)value);
}
static inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}
static inline float __fadd_rn(float a, float b)
{
    return a + b;
}
static inline float __fmul_rn(float a, float b)
{
    return a * b;
}

#endif
