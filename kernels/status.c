#include "kernels/status.h"
#include <stdarg.h>
#include <stdio.h>

static _Thread_local char message[1024];

ffl_status ffl_fail(ffl_status code, const char *format, ...)
{
    char text[sizeof message]; /* the arguments may point into `message` */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(message, sizeof message, "%s", text);
    return code;
}

const char *ffl_error(void)
{
    return message;
}
