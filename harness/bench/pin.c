#define _GNU_SOURCE
#include "harness/bench/pin.h"
#include "kernels/team.h"
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ffl_status bad_list(const char *list)
{
    return ffl_fail(FFL_BAD_INPUT, "--cpus %s: expected processors such as 0, 0-3 or 0,2", list);
}

static ffl_status read_number(const char *list, const char **at, int *out)
{
    char *end;
    errno = 0;
    const long value = **at >= '0' && **at <= '9' ? strtol(*at, &end, 10) : -1;
    if (value < 0 || value >= CPU_SETSIZE || errno)
        return bad_list(list);
    *at = end;
    *out = (int)value;
    return FFL_OK;
}

static ffl_status read_list(const char *list, cpu_set_t *out)
{
    CPU_ZERO(out);
    for (const char *at = list;; at++) {
        int from = 0, to = 0;
        FFL_TRY(read_number(list, &at, &from));
        to = from;
        if (*at == '-') {
            at++;
            FFL_TRY(read_number(list, &at, &to));
        }
        if (to < from)
            return bad_list(list);
        for (int cpu = from; cpu <= to; cpu++)
            CPU_SET(cpu, out);
        if (*at == '\0')
            return FFL_OK;
        if (*at != ',')
            return bad_list(list);
    }
}

ffl_status ffl_pin_check(const char *list)
{
    cpu_set_t wanted, allowed;
    FFL_TRY(read_list(list, &wanted));
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return ffl_fail(FFL_IO, "--cpus %s: the allowed processors cannot be read: %s", list,
                        strerror(errno));
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &wanted) && !CPU_ISSET(cpu, &allowed))
            return ffl_fail(FFL_BAD_INPUT, "--cpus %s: processor %d is not there, or not for this process",
                            list, cpu);
    return FFL_OK;
}

ffl_status ffl_pin(const char *list)
{
    static cpu_set_t start;
    if (CPU_COUNT(&start) == 0 && sched_getaffinity(0, sizeof start, &start) != 0)
        return ffl_fail(FFL_IO, "the allowed processors cannot be read: %s", strerror(errno));
    cpu_set_t wanted = start;
    if (*list)
        FFL_TRY(read_list(list, &wanted));
    /* A BLAS library may have started its threads already: they do not follow the main thread by themselves.
     */
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks)
        return ffl_fail(FFL_IO, "/proc/self/task: %s", strerror(errno));
    int error = 0;
    for (const struct dirent *task; (task = readdir(tasks));) {
        const int thread = atoi(task->d_name);
        if (thread > 0 && sched_setaffinity(thread, sizeof wanted, &wanted) != 0 && errno != ESRCH)
            error = errno;
    }
    closedir(tasks);
    return error ? ffl_fail(FFL_IO, "--cpus %s: %s", list, strerror(error)) : FFL_OK;
}

/* The n-th of the allowed processors, from the first again after the last. */
static void bind_member(void *work, int member, int members)
{
    const cpu_set_t *allowed = work;
    int left = member % CPU_COUNT(allowed);
    (void)members;
    for (int cpu = 0; member > 0 && cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, allowed) && left-- == 0) {
            cpu_set_t own;
            CPU_ZERO(&own);
            CPU_SET(cpu, &own);
            sched_setaffinity(0, sizeof own, &own); /* a refusal costs speed, nothing else */
        }
}

void ffl_pin_team(int threads)
{
    cpu_set_t allowed;
    if (threads > 1 && sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 1)
        ffl_team_run(threads, bind_member, &allowed);
}

void ffl_pin_first(char *out, size_t size)
{
    cpu_set_t allowed;
    out[0] = '\0';
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed)) {
            snprintf(out, size, "%d", cpu);
            return;
        }
    }
}
