#include "kernels/activate.h"
#include "kernels/cpu.h"
#include "kernels/simd/scalar.h"

/* FFL_BUILT_AVX2 and FFL_BUILT_AVX512: the compiler knows the flags, the twin files are in the library. */
void ffl_activate_array(ffl_activation activation, float *z, size_t count)
{
#if defined(FFL_BUILT_AVX512)
    if (ffl_machine_host()->isa[FFL_ISA_AVX512]) {
        ffl_activate_array_avx512(activation, z, count);
        return;
    }
#endif
#if defined(FFL_BUILT_AVX2)
    if (ffl_machine_host()->isa[FFL_ISA_AVX2]) {
        ffl_activate_array_avx2(activation, z, count);
        return;
    }
#endif
    ffl_activate_scalar(activation, z, count);
}
