#include "harness/environment.h"

ffl_status ffl_environment_enter(char **argv, bool keep)
{
    (void)argv;
    (void)keep;
    return FFL_OK;
}
