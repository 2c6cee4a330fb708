#define _GNU_SOURCE
#include "harness/counters/events.h"
#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#if defined(__linux__)
#include <linux/perf_event.h>
#include <sys/syscall.h>

#define CACHE(level, result)                                                                                 \
    (PERF_COUNT_HW_CACHE_##level | PERF_COUNT_HW_CACHE_OP_READ << 8 |                                        \
     PERF_COUNT_HW_CACHE_RESULT_##result << 16)

static const struct {
    const char *name;
    uint32_t type;
    uint64_t config;
} wanted[] = {
    {"cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES},
    {"instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS},
    {"branch misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES},
    {"L1 loads", PERF_TYPE_HW_CACHE, CACHE(L1D, ACCESS)},
    {"L1 misses", PERF_TYPE_HW_CACHE, CACHE(L1D, MISS)},
    {"L3 reads", PERF_TYPE_HW_CACHE, CACHE(LL, ACCESS)},
    {"L3 misses", PERF_TYPE_HW_CACHE, CACHE(LL, MISS)},
    {"TLB misses", PERF_TYPE_HW_CACHE, CACHE(DTLB, MISS)},
    {"CPU ns", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK},
    {"page faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS},
    {"switches", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES},
    {"migrations", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_MIGRATIONS},
};

static const char *reason_of(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
        return "not permitted: sysctl kernel.perf_event_paranoid=2 or lower allows it";
    case ENOENT:
    case ENODEV:
    case EOPNOTSUPP:
        return "not offered by this processor or virtual machine";
    case ENOSYS:
        return "not offered by this kernel";
    default:
        return strerror(error);
    }
}

void ffl_events_open(ffl_events *out)
{
    *out = (ffl_events){.count = sizeof wanted / sizeof *wanted};
    for (size_t i = 0; i < out->count; i++) {
        ffl_event *e = &out->value[i];
        struct perf_event_attr attr = {.type = wanted[i].type,
                                       .size = sizeof attr,
                                       .config = wanted[i].config,
                                       .read_format =
                                           PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
                                       .inherit = 1,
                                       .exclude_kernel = wanted[i].type != PERF_TYPE_SOFTWARE,
                                       .exclude_hv = 1};
        e->name = wanted[i].name;
        e->hardware = wanted[i].type != PERF_TYPE_SOFTWARE;
        e->descriptor = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
        if (e->descriptor < 0)
            e->reason = reason_of(errno);
        out->available += e->descriptor >= 0;
        out->hardware += e->descriptor >= 0 && e->hardware;
    }
}

void ffl_events_read(const ffl_events *events, ffl_reading *out)
{
    for (size_t i = 0; i < events->count; i++) {
        uint64_t value[3]; /* count, time enabled, time really counting */
        out->value[i] = NAN;
        if (events->value[i].descriptor < 0 ||
            read(events->value[i].descriptor, value, sizeof value) != (ssize_t)sizeof value)
            continue;
        if (value[2] > 0)
            out->value[i] = (double)value[0] * ((double)value[1] / (double)value[2]);
        else if (value[0] == 0)
            out->value[i] = 0;
    }
}

#else

void ffl_events_open(ffl_events *out)
{
    *out = (ffl_events){.count = 1,
                        .value = {{.name = "cycles",
                                   .hardware = true,
                                   .descriptor = -1,
                                   .reason = "perf events exist on Linux only"}}};
}

void ffl_events_read(const ffl_events *events, ffl_reading *out)
{
    for (size_t i = 0; i < events->count; i++)
        out->value[i] = NAN;
}

#endif

void ffl_events_close(ffl_events *events)
{
    for (size_t i = 0; i < events->count; i++)
        if (events->value[i].descriptor >= 0)
            close(events->value[i].descriptor);
    *events = (ffl_events){0};
}
