#define _GNU_SOURCE
#include "reports/date.h"

static const char format[] = "%Y-%m-%dT%H:%M:%SZ";

void ffl_date_write(time_t when, char out[FFL_DATE_SIZE])
{
    struct tm utc;
    if (!gmtime_r(&when, &utc) || strftime(out, FFL_DATE_SIZE, format, &utc) == 0)
        out[0] = '\0';
}

bool ffl_date_read(const char *text, time_t *out)
{
    struct tm utc = {0};
    const char *end = strptime(text, format, &utc);
    *out = end ? timegm(&utc) : 0;
    return end && !*end;
}
