#define _GNU_SOURCE
#include "harness/check/leaks.h"
#include "harness/check/checks.h"
#include <dirent.h>
#include <fenv.h>
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Registers ---- */

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

enum { MXCSR_STATUS = 0x3F, AVX_STATE = 1 << 2, ZMM_STATE = 1 << 6, X87_EMPTY = 0xFFFF };

static void clear_upper(void)
{
    if (__builtin_cpu_supports("avx"))
        __asm__ volatile("vzeroupper");
}

/* XINUSE: which register state differs from its initial one; 0 where it cannot be asked for. */
static uint32_t state_in_use(void)
{
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !__get_cpuid_count(0xD, 1, &a, &b, &c, &d) ||
        !(a & 4))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    return low;
}

static void read_registers(ffl_leaks *out)
{
    uint16_t x87[14];                                             /* control, -, status, -, tags, … */
    out->upper = (state_in_use() & (AVX_STATE | ZMM_STATE)) != 0; /* first: before anything touches them */
    __asm__ volatile("fnstenv %0\n\tfldenv %0" : "+m"(x87));
    out->x87 = x87[0];
    out->x87_stack = x87[4] != X87_EMPTY;
    out->control = _mm_getcsr() & ~(unsigned)MXCSR_STATUS; /* flags that an operation raised are no leak */
}

static void restore_registers(const ffl_leaks *before)
{
    const uint16_t word = (uint16_t)before->x87;
    __asm__ volatile("fninit\n\tfldcw %0" : : "m"(word));
    _mm_setcsr((unsigned)before->control);
    clear_upper();
}

bool ffl_leaks_upper_visible(void)
{
    if (!__builtin_cpu_supports("avx"))
        return false;
    __asm__ volatile("vxorps %%ymm7, %%ymm7, %%ymm7\n\tvcmpeqps %%ymm7, %%ymm7, %%ymm7" : : : "xmm7");
    const bool used = (state_in_use() & AVX_STATE) != 0;
    clear_upper();
    return used && !(state_in_use() & AVX_STATE);
}
#else
static void clear_upper(void)
{
}

static void read_registers(ffl_leaks *out)
{
#if defined(__aarch64__)
    __asm__ volatile("mrs %0, fpcr" : "=r"(out->control));
#else
    out->control = (uint64_t)fegetround();
#endif
}

static void restore_registers(const ffl_leaks *before)
{
#if defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(before->control));
#else
    fesetround((int)before->control);
#endif
}

bool ffl_leaks_upper_visible(void)
{
    return false;
}
#endif

/* ---- The process ---- */

static size_t count_entries(const char *folder)
{
    DIR *dir = opendir(folder);
    size_t count = 0;
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

static size_t heap_in_use(void)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#else
    return 0;
#endif
}

bool ffl_leaks_heap_visible(void)
{
    const size_t before = heap_in_use();
    void *volatile some = malloc(4096);
    const bool visible = heap_in_use() > before;
    free(some);
    return visible;
}

size_t ffl_leaks_threads(void)
{
    return count_entries("/proc/self/task");
}

bool ffl_leaks_own(const ffl_variant *v)
{
    return v->place == FFL_HOST && v->library == FFL_NO_LIBRARY && !v->threaded && v->family != FFL_AUTO;
}

/* The heap is counted last before a call and first after it: opendir allocates, too. */
static void read_process(ffl_leaks *out)
{
    _Static_assert(sizeof(cpu_set_t) == sizeof out->affinity, "a mask of 1024 processors");
    memset(out->affinity, 0, sizeof out->affinity);
    memset(out->parents, 0, sizeof out->parents);
    sched_getaffinity(0, sizeof out->affinity, (cpu_set_t *)(void *)out->affinity);
    sched_getaffinity(getppid(), sizeof out->parents, (cpu_set_t *)(void *)out->parents);
    out->threads = ffl_leaks_threads();
    out->files = count_entries("/proc/self/fd");
}

void ffl_leaks_before(ffl_leaks *out)
{
    read_process(out);
    out->heap = heap_in_use();
    clear_upper();
    read_registers(out);
}

bool ffl_leaks_after(const ffl_leaks *before, bool own, bool warm, char *why, size_t size)
{
    ffl_leaks now = {0};
    read_registers(&now);
    restore_registers(before);
    now.heap = heap_in_use();
    read_process(&now);
    /* Where the parent moved as well, somebody gave all of them other processors. */
    const bool moved = memcmp(now.affinity, before->affinity, sizeof now.affinity) != 0 &&
                       memcmp(now.parents, before->parents, sizeof now.parents) == 0;
    if (moved)
        sched_setaffinity(0, sizeof before->affinity, (const cpu_set_t *)(const void *)before->affinity);
    if (ffl_check_on(FFL_CHECK_FP_CONTROL) && (now.control != before->control || now.x87 != before->x87))
        snprintf(why, size, "left the floating-point control changed: %#llx, x87 %#x; it was %#llx, x87 %#x",
                 (unsigned long long)now.control, now.x87, (unsigned long long)before->control, before->x87);
    else if (ffl_check_on(FFL_CHECK_X87_STACK) && now.x87_stack && !before->x87_stack)
        snprintf(why, size, "left x87 registers in use");
    else if (ffl_check_on(FFL_CHECK_UPPER_VECTORS) && own && now.upper && !before->upper)
        snprintf(why, size, "left the upper halves of vector registers in use");
    else if (ffl_check_on(FFL_CHECK_THREADS_LEFT) && (own || warm) && now.threads > before->threads)
        snprintf(why, size, "left %zu threads running", now.threads - before->threads);
    else if (ffl_check_on(FFL_CHECK_AFFINITY) && moved)
        snprintf(why, size, "left the calling thread bound to other processors");
    else if (ffl_check_on(FFL_CHECK_DESCRIPTORS) && (own || warm) && now.files > before->files)
        snprintf(why, size, "left %zu files open", now.files - before->files);
    else if (ffl_check_on(FFL_CHECK_HEAP) && (own || warm) && now.heap > before->heap)
        snprintf(why, size, "left %zu bytes allocated", now.heap - before->heap);
    else
        return true;
    return false;
}
