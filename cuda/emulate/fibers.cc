#include "cuda/emulate/fibers.h"
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define FFL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FFL_ASAN 1
#endif
#endif
#ifdef FFL_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

static constexpr size_t STACK = 256 << 10; /* untouched pages cost nothing */

#ifdef __x86_64__
/* Callee-saved registers and the stack pointer: a hundredth of what swapcontext's system calls cost. */
extern "C" void ffl_fiber_switch(void **save, void *load);
__asm__(R"(
.text
.type ffl_fiber_switch, @function
ffl_fiber_switch:
    .cfi_startproc
    endbr64
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .cfi_endproc
.size ffl_fiber_switch, .-ffl_fiber_switch
)");
#endif

struct ffl_fiber {
    void (*body)(void *);
    void *user;
    unsigned char *stack;
    bool over;
#ifdef __x86_64__
    void *pointer;
#else
    ucontext_t context;
#endif
};

static ffl_fiber *running;
#ifdef __x86_64__
static void *main_pointer;
#else
static ucontext_t main_context;
#endif
#ifdef FFL_ASAN
static const void *main_stack;
static size_t main_stack_size;
#endif

static void switch_to_main(bool last)
{
    ffl_fiber *self = running;
#ifdef FFL_ASAN
    void *fake = nullptr;
    __sanitizer_start_switch_fiber(last ? nullptr : &fake, main_stack, main_stack_size);
#else
    (void)last;
#endif
#ifdef __x86_64__
    ffl_fiber_switch(&self->pointer, main_pointer);
#else
    swapcontext(&self->context, &main_context);
#endif
#ifdef FFL_ASAN
    __sanitizer_finish_switch_fiber(fake, &main_stack, &main_stack_size);
#endif
}

static void enter()
{
#ifdef FFL_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &main_stack, &main_stack_size);
#endif
    running->body(running->user);
    running->over = true;
    switch_to_main(true);
    abort();
}

ffl_fiber *ffl_fiber_new()
{
    ffl_fiber *fiber = new ffl_fiber();
    void *stack =
        mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) {
        fputs("emulated device: no memory for the stacks of a block\n", stderr);
        abort();
    }
    fiber->stack = (unsigned char *)stack;
    return fiber;
}

void ffl_fiber_start(ffl_fiber *fiber, void (*body)(void *), void *user)
{
    fiber->body = body;
    fiber->user = user;
    fiber->over = false;
#ifdef __x86_64__
    void **top = (void **)(fiber->stack + STACK) - 1; /* the stack as a call of enter leaves it */
    *top = nullptr;
    *--top = (void *)enter;
    for (int i = 0; i < 6; i++)
        *--top = nullptr;
    fiber->pointer = top;
#else
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK;
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, enter, 0);
#endif
}

bool ffl_fiber_resume(ffl_fiber *fiber)
{
    running = fiber;
#ifdef FFL_ASAN
    void *fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, fiber->stack, STACK);
#endif
#ifdef __x86_64__
    ffl_fiber_switch(&main_pointer, fiber->pointer);
#else
    swapcontext(&main_context, &fiber->context);
#endif
#ifdef FFL_ASAN
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
    running = nullptr;
    return !fiber->over;
}

void ffl_fiber_yield()
{
    switch_to_main(false);
}

void ffl_fiber_free(ffl_fiber *fiber)
{
    munmap(fiber->stack, STACK);
    delete fiber;
}
