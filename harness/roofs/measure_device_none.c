/* A build without device code: the driver's or the build's reason, and no roofs. */
#include "harness/bench/device_stage.h"
#include "harness/roofs/roofs.h"

ffl_status ffl_roofs_measure_device(ffl_roofs *out, const char **why)
{
    (void)out;
    (void)ffl_device_timing(why);
    return FFL_OK;
}
