#define _GNU_SOURCE
#include "harness/bench/stolen.h"
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>

enum { STATES = 8, STEAL = 7, TICKS_MIN = 50 }; /* user nice system idle iowait irq softirq steal */

/* "cpu3 …"; the line "cpu …" is the sum of all, and others are of something else. */
static int processor_of(const char *line, double ticks[STATES])
{
    int cpu;
    const int read = sscanf(line, "cpu%d %lf %lf %lf %lf %lf %lf %lf %lf", &cpu, &ticks[0], &ticks[1],
                            &ticks[2], &ticks[3], &ticks[4], &ticks[5], &ticks[6], &ticks[STEAL]);
    return read == 1 + STATES ? cpu : -1;
}

ffl_ticks ffl_ticks_read(const char *name)
{
    ffl_ticks sum = {0};
    cpu_set_t own;
    char line[512];
    FILE *file = fopen(name, "re");
    const bool known = file && sched_getaffinity(0, sizeof own, &own) == 0;
    while (known && fgets(line, sizeof line, file)) {
        double ticks[STATES];
        const int cpu = processor_of(line, ticks);
        if (cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &own))
            continue;
        for (int i = 0; i < STATES; i++)
            sum.all += ticks[i];
        sum.stolen += ticks[STEAL];
    }
    if (file)
        fclose(file);
    return sum.all > 0 ? sum : (ffl_ticks){NAN, NAN};
}

double ffl_stolen_share(ffl_ticks before, ffl_ticks after)
{
    const double all = after.all - before.all, stolen = after.stolen - before.stolen;
    return all >= TICKS_MIN && stolen >= 0 ? fmin(1, stolen / all) : NAN;
}
