/* A build without CUDA: variants of the device do not exist there, and so nobody asks for this. */
#include "harness/encoder/encoder_host.h"
#include "kernels/device.h"

ffl_status ffl_encoder_device_open(ffl_encoder *e)
{
    const char *why;
    (void)e;
    ffl_device_available(&why);
    return ffl_fail(FFL_UNSUPPORTED, "%s", why);
}
