/*
 * The loops whose speed is a roof, once per instruction set: compiled from one source (rate_loops.c), always
 * optimised and without sanitizers, since a slow roof would call honest kernels implausible.
 *
 * Arithmetic stays in registers; loops over memory do nothing but load (and store).
 */
#ifndef FFL_HARNESS_RATE_LOOPS_H
#define FFL_HARNESS_RATE_LOOPS_H

#include "kernels/cpu.h"
#include <stddef.h>
#include <stdint.h>

enum {
    FFL_GATHER_ROW = 3072, /* bytes of a gathered row: 768 floats */
    FFL_READ_GRAIN = 4096, /* read and copy take multiples of this many bytes per stream */
};

typedef struct ffl_rate_loops {
    ffl_isa isa;
    /* Operations done by `rounds` rounds, a multiply and an add counting as two. NULL: no such instructions.
     */
    double (*fma_f32)(size_t rounds);
    double (*fma_bf16)(size_t rounds); /* pairs of bf16 into f32 sums */
    double (*fma_int8)(size_t rounds); /* bytes into wider integer sums */
    /* Goes over `bytes` in 1, 2 or 4 equal parts side by side, `passes` times; 64-byte aligned. */
    void (*read)(const char *from, size_t bytes, size_t streams, size_t passes);
    void (*copy)(char *to, const char *from, size_t bytes);
    /* With stores that leave nothing in the caches, where there are such. */
    void (*copy_past)(char *to, const char *from, size_t bytes);
    /* Reads the rows order[0..count), FFL_GATHER_ROW bytes each; ahead: rows to prefetch before their turn.
     */
    void (*gather)(const char *from, const uint32_t *order, size_t count, size_t ahead);
} ffl_rate_loops;

/* The loops that this build has, widest last, ended by NULL; whether they run here is for the CPU to say. */
extern const ffl_rate_loops *const ffl_rate_loops_built[];

/* Eight times `rounds` additions that wait for each other: one per clock cycle on every processor we know. */
void ffl_rate_chain(size_t rounds);

#endif
