/*
 * What a call leaves behind beside its outputs: floating-point control, registers, threads, affinity, heap
 * and open files. Looked at before and after a call; what was changed is put back where that is possible, so
 * that the next variant in the process does not suffer.
 */
#ifndef FFL_HARNESS_LEAKS_H
#define FFL_HARNESS_LEAKS_H

#include "kernels/variant.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Processors of the affinity mask that are looked at. */
enum { FFL_LEAKS_CPUS = 1024 };

typedef struct ffl_leaks {
    uint64_t control; /* rounding, flushing and exception masks: MXCSR, FPCR */
    unsigned x87;     /* its control word */
    bool x87_stack;   /* some x87 register is in use */
    bool upper;       /* upper halves of vector registers are in use */
    unsigned char affinity[FFL_LEAKS_CPUS / 8];
    unsigned char
        parents[FFL_LEAKS_CPUS / 8]; /* affinity of the parent process: changes with the machine's */
    size_t threads, files, heap;     /* heap in bytes, 0 where nobody counts */
} ffl_leaks;

/* Clears the upper halves of vector registers, then notes everything. */
void ffl_leaks_before(ffl_leaks *out);

/* A kernel on the host without library and threads: it leaves nothing at all. */
bool ffl_leaks_own(const ffl_variant *variant);

/*
 * False, with what was left in `why`. `own`: see above; otherwise threads, files and memory of a library
 * count only when `warm`: after calls of the same size.
 */
bool ffl_leaks_after(const ffl_leaks *before, bool own, bool warm, char *why, size_t size);

/* Threads of this process. */
size_t ffl_leaks_threads(void);

/* Can this machine tell whether upper halves are in use? */
bool ffl_leaks_upper_visible(void);

/* Does the heap count what is allocated? Not under a sanitizer's allocator. */
bool ffl_leaks_heap_visible(void);

#endif
