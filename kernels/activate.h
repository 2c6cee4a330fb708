/*
 * ffl_activate_array for one instruction set each: every file is compiled with its own flags and called only
 * where the CPU has them (activate.c). Not for variants, which inline kernels/simd/<isa>.h.
 */
#ifndef FFL_KERNELS_ACTIVATE_H
#define FFL_KERNELS_ACTIVATE_H

#include "kernels/layer.h"

void ffl_activate_array_avx2(ffl_activation activation, float *z, size_t count);
void ffl_activate_array_avx512(ffl_activation activation, float *z, size_t count);

#endif
