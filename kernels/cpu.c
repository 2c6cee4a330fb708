#define _GNU_SOURCE
#include "kernels/cpu.h"
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const isa_names[FFL_ISA_COUNT] = {"base", "avx2", "avx512", "avx512vnni", "avx512bf16"};
static ffl_machine machine;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void read_model_name(char *out, size_t size)
{
    snprintf(out, size, "unknown CPU");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file)
        return;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon) {
            colon += 1 + (colon[1] == ' ');
            colon[strcspn(colon, "\n")] = '\0';
            snprintf(out, size, "%.*s", (int)size - 1, colon);
            break;
        }
    }
    fclose(file);
}

static size_t positive(long value)
{
    return value > 0 ? (size_t)value : 0;
}

static void detect(void)
{
    read_model_name(machine.cpu, sizeof machine.cpu);
    machine.isa[FFL_ISA_BASE] = true;
#if defined(__x86_64__)
    __builtin_cpu_init();
    machine.isa[FFL_ISA_AVX2] = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    machine.isa[FFL_ISA_AVX512] = machine.isa[FFL_ISA_AVX2] && __builtin_cpu_supports("avx512f") &&
                                  __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                                  __builtin_cpu_supports("avx512vl");
    machine.isa[FFL_ISA_AVX512_VNNI] = machine.isa[FFL_ISA_AVX512] && __builtin_cpu_supports("avx512vnni");
    machine.isa[FFL_ISA_AVX512_BF16] =
        machine.isa[FFL_ISA_AVX512_VNNI] && __builtin_cpu_supports("avx512bf16");
#endif
    machine.l1d_bytes = positive(sysconf(_SC_LEVEL1_DCACHE_SIZE));
    machine.l2_bytes = positive(sysconf(_SC_LEVEL2_CACHE_SIZE));
    machine.l3_bytes = positive(sysconf(_SC_LEVEL3_CACHE_SIZE));
    machine.memory_bytes = positive(sysconf(_SC_PHYS_PAGES)) * positive(sysconf(_SC_PAGESIZE));
    cpu_set_t set;
    machine.cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

const ffl_machine *ffl_machine_host(void)
{
    pthread_once(&once, detect);
    return &machine;
}

const char *ffl_isa_name(ffl_isa isa)
{
    return isa_names[isa];
}
