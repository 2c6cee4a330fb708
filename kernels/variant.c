#include "kernels/variant.h"

ffl_status ffl_prepare_nothing(const ffl_layer *layer, const ffl_machine *machine, ffl_plan *plan)
{
    (void)layer;
    (void)machine;
    (void)plan;
    return FFL_OK;
}

bool ffl_variant_on_device(const ffl_variant *variant)
{
    return variant->place == FFL_CUDA && variant->library != FFL_PROCESS;
}

const char *ffl_family_name(ffl_family family)
{
    static const char *const names[FFL_FAMILY_COUNT] = {"naive", "blas1",  "blas2", "blas3",
                                                        "simd",  "tensor", "auto"};
    return names[family];
}

const char *ffl_type_name(ffl_type type)
{
    static const char *const names[FFL_TYPE_COUNT] = {"f32", "tf32", "bf16", "f16", "int8", "int16"};
    return names[type];
}

const char *ffl_library_name(ffl_library library)
{
    static const char *const names[FFL_LIBRARY_COUNT] = {"none",   "openblas", "blis",   "cblas",
                                                         "onednn", "cublas",   "process"};
    return names[library];
}
