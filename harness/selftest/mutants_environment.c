/* What a kernel leaves behind for others: registers, threads, memory, files; or that it does not come back.
 */
#define _GNU_SOURCE
#include "harness/selftest/mutant.h"
#include <fcntl.h>
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>

static void leave_flushing(const ffl_call *c)
{
    (void)c;
    _mm_setcsr(_mm_getcsr() | 0x8040); /* flush to zero, denormals are zero */
}

static void leave_x87_short(const ffl_call *c)
{
    uint16_t word;
    (void)c;
    __asm__ volatile("fnstcw %0" : "=m"(word));
    word &= (uint16_t)~0x300; /* 24 bits of significand */
    __asm__ volatile("fldcw %0" : : "m"(word));
}

/* As MMX code without emms does. */
static void leave_x87_stack(const ffl_call *c)
{
    (void)c;
    __asm__ volatile("fld1");
}

/* As hand-written AVX code without vzeroupper does. */
static void leave_upper(const ffl_call *c)
{
    (void)c;
    __asm__ volatile("vxorps %%ymm7, %%ymm7, %%ymm7\n\tvcmpeqps %%ymm7, %%ymm7, %%ymm7" : : : "xmm7");
}
#endif

static void leave_rounding(const ffl_call *c)
{
    (void)c;
    fesetround(FE_UPWARD);
}

static void *sleep_a_while(void *argument)
{
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    return argument;
}

static void leave_thread(const ffl_call *c)
{
    pthread_t thread;
    (void)c;
    if (pthread_create(&thread, NULL, sleep_a_while, NULL) == 0)
        pthread_detach(thread);
}

/* Keeps the first processor that it may run on. */
static void leave_bound(const ffl_call *c)
{
    cpu_set_t all, one;
    (void)c;
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
}

/* Grows by a row with every call. */
static void leave_memory(const ffl_call *c)
{
    void *grown = realloc(c->state->own, (c->state->calls + 1) * 4096);
    if (grown)
        c->state->own = grown;
}

static void leave_file(const ffl_call *c)
{
    (void)c;
    if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
        abort();
}

static bool hang(ffl_call *c)
{
    (void)c;
    for (;;)
        pause();
    return true;
}

static bool crash(ffl_call *c)
{
    (void)c;
    abort();
}

#define ENVIRONMENT(name, summary) FFL_MUTANT(FFL_FFF, "fff_mutant_" name, summary, "environment")

const ffl_mutant ffl_environment_mutants[] = {
#if defined(__x86_64__)
    {ENVIRONMENT("leaves_flushing", "leaves denormals flushed"),
     .expect = {"FAILED *left the floating-point control changed*"}, .steps.after = leave_flushing},
    {ENVIRONMENT("leaves_x87_short", "leaves x87 at 24 bits"),
     .expect = {"FAILED *left the floating-point control changed*"}, .steps.after = leave_x87_short},
    {ENVIRONMENT("leaves_x87_stack", "leaves x87 registers in use"),
     .expect = {"FAILED *left x87 registers in use"}, .steps.after = leave_x87_stack},
    {ENVIRONMENT("leaves_upper", "leaves upper halves of vectors in use"),
     .expect = {"FAILED *left the upper halves of vector registers in use"}, .needs = "visible upper halves",
     .steps.after = leave_upper},
#endif
    {ENVIRONMENT("leaves_rounding", "leaves another rounding mode"),
     .expect = {"FAILED *left the floating-point control changed*"}, .steps.after = leave_rounding},
    {ENVIRONMENT("leaves_thread", "leaves a thread running"), .expect = {"FAILED *left * threads running"},
     .steps.after = leave_thread},
    {ENVIRONMENT("leaves_bound", "binds its caller to a processor"),
     .expect = {"FAILED *left the calling thread bound*"}, .needs = "two processors",
     .steps.after = leave_bound},
    {ENVIRONMENT("leaves_memory", "allocates with every call"), .expect = {"FAILED *left * bytes allocated"},
     .needs = "visible heap", .steps.after = leave_memory},
    {ENVIRONMENT("leaves_file", "opens a file with every call"), .expect = {"FAILED *left * files open"},
     .steps.after = leave_file},
    {ENVIRONMENT("hangs", "does not come back"), .expect = {"TIMEOUT *no answer*"}, .steps.before = hang},
    {ENVIRONMENT("aborts", "ends the process"), .expect = {"CRASHED *signal 6*"}, .steps.before = crash},
    {.family = NULL},
};
