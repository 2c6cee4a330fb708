/*
 * What the processor offers: instruction sets, caches, cores. Read once, constant afterwards.
 */
#ifndef FFL_KERNELS_CPU_H
#define FFL_KERNELS_CPU_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ffl_isa {
    FFL_ISA_BASE = 0,    /* whatever the compiler targets by default */
    FFL_ISA_AVX2,        /* AVX2 and FMA */
    FFL_ISA_AVX512,      /* AVX-512 F, BW, DQ and VL */
    FFL_ISA_AVX512_VNNI, /* the above and VNNI */
    FFL_ISA_AVX512_BF16, /* the above and BF16 */
    FFL_ISA_COUNT
} ffl_isa;

typedef struct ffl_machine {
    char cpu[96];                                /* model name as the kernel prints it */
    bool isa[FFL_ISA_COUNT];                     /* usable by this process */
    size_t l1d_bytes, l2_bytes, l3_bytes;        /* per core, per core, shared; 0 when unknown */
    size_t memory_bytes;                         /* physical memory */
    int cpus;                                    /* processors this process may run on */
} ffl_machine;

/* The machine this process runs on; the same pointer every time. */
const ffl_machine *ffl_machine_host(void);

/* "base", "avx2", "avx512", …: as in file names and on the command line. */
const char *ffl_isa_name(ffl_isa isa);

#ifdef __cplusplus
}
#endif
#endif
