#include "kernels/blas.h"

ffl_blas *ffl_blas_open(ffl_library library)
{
    ffl_fail(FFL_UNSUPPORTED, "%s could not be opened", ffl_library_name(library));
    return NULL;
}

void ffl_blas_set_path(const char *path)
{
    (void)path;
}
