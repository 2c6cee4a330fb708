/* Stands in for gbench.cc in a build without Google Benchmark. */
#include "harness/bench/gbench.h"

static const char reason[] =
    "this fflab was built without Google Benchmark; install it with its headers "
    "(Debian, Ubuntu: libbenchmark-dev; Fedora: google-benchmark-devel) and build again";

bool ffl_gbench_available(const char **why)
{
    *why = reason;
    return false;
}

const char *ffl_gbench_version(void)
{
    return "";
}

ffl_status ffl_gbench_run(const ffl_gbench_case *cases, size_t count, bool interleave)
{
    (void)cases;
    (void)count;
    (void)interleave;
    return ffl_fail(FFL_UNSUPPORTED, "%s", reason);
}
