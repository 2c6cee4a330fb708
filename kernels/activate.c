#include "kernels/gelu.h"

void ffl_activate_array(ffl_activation activation, float *z, size_t count)
{
    for (size_t i = 0; i < count; i++)
        z[i] = ffl_activate(activation, z[i]);
}
