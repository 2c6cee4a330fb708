/*
 * Copies from global to shared memory that run beside the arithmetic (cp.async, 16 bytes a thread, or 4).
 * Both addresses are multiples of as many.
 *
 *     ffl_copy_async(shared, global); … ffl_copy_commit();      one group
 *     ffl_copy_wait<1>(); __syncthreads();                      all groups but the newest one have landed
 *
 * The emulated device copies when a group is waited for, so a missing wait reads stale data there.
 */
#ifndef FFL_CUDA_ASYNC_CUH
#define FFL_CUDA_ASYNC_CUH

#include "cuda/launch.cuh"

#ifdef FFL_CUDA_EMULATED

__device__ static inline void ffl_copy_async(void *shared, const void *global)
{
    ffl_emulated_copy(shared, global, 16);
}

/* Zeros when `valid` is false; global is not read then. */
__device__ static inline void ffl_copy_async_or_zero(void *shared, const void *global, bool valid)
{
    ffl_emulated_copy(shared, valid ? global : nullptr, 16);
}

/* The first `bytes` of 16, a multiple of 4; zeros behind them. */
__device__ static inline void ffl_copy_async_part(void *shared, const void *global, unsigned bytes)
{
    for (unsigned i = 0; i < 16; i += 4)
        ffl_emulated_copy((char *)shared + i, i < bytes ? (const char *)global + i : nullptr, 4);
}

/* Four bytes, or zeros. */
__device__ static inline void ffl_copy_async_word(void *shared, const void *global, bool valid)
{
    ffl_emulated_copy(shared, valid ? global : nullptr, 4);
}

__device__ static inline void ffl_copy_commit()
{
    ffl_emulated_copy_commit();
}

template <int NEWEST>
__device__ static inline void ffl_copy_wait()
{
    ffl_emulated_copy_wait(NEWEST);
}

#else

__device__ static inline void ffl_copy_async(void *shared, const void *global)
{
    asm volatile(
        "cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((unsigned)__cvta_generic_to_shared(shared)),
        "l"(global)
        : "memory");
}

__device__ static inline void ffl_copy_async_or_zero(void *shared, const void *global, bool valid)
{
    asm volatile(
        "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((unsigned)__cvta_generic_to_shared(shared)),
        "l"(global), "r"(valid ? 16 : 0)
        : "memory");
}

__device__ static inline void ffl_copy_async_part(void *shared, const void *global, unsigned bytes)
{
    asm volatile(
        "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((unsigned)__cvta_generic_to_shared(shared)),
        "l"(global), "r"(bytes)
        : "memory");
}

__device__ static inline void ffl_copy_async_word(void *shared, const void *global, bool valid)
{
    asm volatile(
        "cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"((unsigned)__cvta_generic_to_shared(shared)),
        "l"(global), "r"(valid ? 4 : 0)
        : "memory");
}

__device__ static inline void ffl_copy_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int NEWEST>
__device__ static inline void ffl_copy_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(NEWEST) : "memory");
}

#endif
#endif
