#define _GNU_SOURCE
#include "harness/machine.h"
#include "harness/bench/gbench.h"
#include "harness/build_info.h"
#include "harness/commit.h"
#include "harness/device/nvml.h"
#include "harness/environment.h"
#include "harness/selftest/score.h"
#include "kernels/blas.h"
#include "kernels/cpu.h"
#include "kernels/cublas.h"
#include "kernels/device.h"
#include "kernels/onednn.h"
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown"
#endif

/* Text may come from files and the environment: what is not UTF-8 is left out, as is the empty string. */
static void set_text(json_t *object, const char *name, const char *text)
{
    json_t *value = text[0] ? json_string(text) : NULL;
    if (value)
        json_object_set_new(object, name, value);
}

static void set_size(json_t *object, const char *name, size_t value)
{
    if (value)
        json_object_set_new(object, name, json_integer((json_int_t)value));
}

/* First line of a small file, "" when it cannot be read. */
static void read_line(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "r");
    out[0] = '\0';
    if (!file)
        return;
    if (fgets(out, (int)size, file))
        out[strcspn(out, "\n")] = '\0';
    fclose(file);
}

static void set_line(json_t *object, const char *name, const char *path)
{
    char line[128];
    read_line(path, line, sizeof line);
    set_text(object, name, line);
}

/* "Debian GNU/Linux 12 (bookworm)" */
static void set_os(json_t *object)
{
    FILE *file = fopen("/etc/os-release", "r");
    char line[256];
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "PRETTY_NAME=\"", 13) == 0) {
            line[13 + strcspn(line + 13, "\"\n")] = '\0';
            set_text(object, "os", line + 13);
        }
    if (file)
        fclose(file);
}

/* "0-3,8": processors this process may use. */
static void set_affinity(json_t *object)
{
    cpu_set_t set;
    char text[1024] = "";
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return;
    for (int from = 0; from < CPU_SETSIZE; from++) {
        if (!CPU_ISSET(from, &set))
            continue;
        int to = from;
        while (to + 1 < CPU_SETSIZE && CPU_ISSET(to + 1, &set))
            to++;
        const size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, to > from ? "%s%d-%d" : "%s%d", used ? "," : "", from, to);
        from = to;
    }
    set_text(object, "affinity", text);
}

/* Inside a virtual machine the kernel shows the processor flag "hypervisor". */
static void set_hypervisor(json_t *object)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char *line = NULL;
    size_t capacity = 0;
    while (file && getline(&line, &capacity, file) > 0)
        if (strncmp(line, "flags", 5) == 0) {
            json_object_set_new(object, "hypervisor", json_boolean(strstr(line, " hypervisor")));
            break;
        }
    free(line);
    if (file)
        fclose(file);
}

static json_t *machine_json(void)
{
    const ffl_machine *m = ffl_machine_host();
    json_t *object = json_object(), *isa = json_array();
    struct utsname system;
    char kernel[256] = "";
    set_text(object, "cpu", m->cpu);
    set_size(object, "cpus", (size_t)m->cpus);
    set_affinity(object);
    for (int i = 0; i < FFL_ISA_COUNT; i++)
        if (m->isa[i])
            json_array_append_new(isa, json_string(ffl_isa_name((ffl_isa)i)));
    json_object_set_new(object, "isa", isa);
    set_size(object, "l1d_bytes", m->l1d_bytes);
    set_size(object, "l2_bytes", m->l2_bytes);
    set_size(object, "l3_bytes", m->l3_bytes);
    set_size(object, "memory_bytes", m->memory_bytes);
    if (uname(&system) == 0)
        snprintf(kernel, sizeof kernel, "%s %s %s", system.sysname, system.release, system.machine);
    set_text(object, "kernel", kernel);
    set_os(object);
    set_hypervisor(object);
    set_line(object, "governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    set_line(object, "no_turbo", "/sys/devices/system/cpu/intel_pstate/no_turbo");
    set_line(object, "huge_pages", "/sys/kernel/mm/transparent_hugepage/enabled");
    return object;
}

static json_t *build_json(void)
{
    json_t *object = json_object();
    set_text(object, "version", FFL_BUILD_VERSION);
    set_text(object, "commit", FFL_COMMIT);
    set_text(object, "compiler", COMPILER);
    set_text(object, "build_type", FFL_BUILD_TYPE);
    set_text(object, "optimization", FFL_BUILD_OPTIMIZATION);
    set_text(object, "sanitize", FFL_BUILD_SANITIZE);
    set_text(object, "c_args", FFL_BUILD_C_ARGS);
    set_text(object, "loop", ffl_gbench_version());
    return object;
}

static void set_real(json_t *object, const char *name, double value)
{
    if (isfinite(value))
        json_object_set_new(object, name, json_real(value));
}

/* "13.0" of 13000 */
static void set_version(json_t *object, const char *name, int version)
{
    char text[32];
    snprintf(text, sizeof text, "%d.%d", version / 1000, version % 1000 / 10);
    set_text(object, name, version > 0 ? text : "");
}

/* The GPU; NULL without one. Clocks and power are those of this moment: a row has its own. */
static json_t *device_json(void)
{
    const ffl_device_info *d = ffl_device_describe();
    ffl_nvml_clocks clocks;
    char text[64];
    if (!d)
        return NULL;
    json_t *object = json_object();
    set_text(object, "name", d->name);
    snprintf(text, sizeof text, "%d.%d", d->major, d->minor);
    set_text(object, "compute_capability", text);
    set_size(object, "multiprocessors", (size_t)d->multiprocessors);
    set_size(object, "l2_bytes", d->l2_bytes);
    set_size(object, "memory_bytes", d->memory_bytes);
    set_version(object, "driver", d->driver);
    set_version(object, "runtime", d->runtime);
    if (ffl_device_emulated())
        json_object_set_new(object, "emulated", json_true());
    if (!ffl_nvml_read(d->pci, &clocks)) {
        set_text(object, "clocks", "not available");
        return object;
    }
    set_real(object, "sm_mhz", clocks.sm_mhz);
    set_real(object, "sm_max_mhz", clocks.sm_max_mhz);
    set_real(object, "memory_mhz", clocks.memory_mhz);
    set_real(object, "memory_max_mhz", clocks.memory_max_mhz);
    set_real(object, "watts", clocks.watts);
    set_real(object, "watts_limit", clocks.watts_limit);
    return object;
}

/* Only where there is a device: the file has hundreds of megabytes. */
static json_t *cublas_json(void)
{
    const char *why;
    const bool device = ffl_device_available(&why);
    const ffl_cublas *cublas = device ? ffl_cublas_open() : NULL;
    json_t *object = json_object();
    set_text(object, "library", ffl_library_name(FFL_CUBLAS));
    set_text(object, cublas ? "version" : "missing", cublas ? cublas->version : device ? ffl_error() : why);
    if (cublas)
        set_text(object, "path", cublas->path);
    return object;
}

/* The providers as opened, with their measured rates; those that cannot be had, with the reason. */
static json_t *blas_json(void)
{
    json_t *all = ffl_environment_providers();
    for (int l = FFL_NO_LIBRARY + 1; l <= FFL_CBLAS; l++) {
        if (ffl_blas_open((ffl_library)l))
            continue;
        json_t *object = json_object();
        set_text(object, "library", ffl_library_name((ffl_library)l));
        set_text(object, "missing", ffl_error());
        json_array_append_new(all, object);
    }
    const ffl_onednn *onednn = ffl_onednn_open();
    json_t *object = json_object();
    set_text(object, "library", ffl_library_name(FFL_ONEDNN));
    if (onednn) {
        set_text(object, "version", onednn->version);
        set_text(object, "family", onednn->family);
    } else {
        set_text(object, "missing", ffl_error());
    }
    json_array_append_new(all, object);
    json_array_append_new(all, cublas_json());
    return all;
}

/* What the libraries and the loader read; the value counts, so it is kept even when we set it ourselves. */
static json_t *environment_json(void)
{
    static const char *const prefixes[] = {"OPENBLAS_",
                                           "BLIS_",
                                           "OMP_",
                                           "GOMP_",
                                           "KMP_",
                                           "MKL_",

                                           "CUDA_VISIBLE_DEVICES=",
                                           "GOTO_",
                                           "LD_PRELOAD=",
                                           "LD_LIBRARY_PATH=",
                                           "LD_BIND_NOW=",
                                           "GLIBC_TUNABLES=",
                                           "MALLOC_"};
    json_t *object = json_object();
    for (char **variable = environ; *variable; variable++)
        for (size_t p = 0; p < sizeof prefixes / sizeof *prefixes; p++)
            if (strncmp(*variable, prefixes[p], strlen(prefixes[p])) == 0) {
                char name[256];
                const char *equals = strchr(*variable, '=');
                snprintf(name, sizeof name, "%.*s", equals ? (int)(equals - *variable) : 0, *variable);
                set_text(object, name, equals ? equals + 1 : "");
            }
    return object;
}

/* Appends a word, quoted when a shell would read more into it than itself. */
static void append_word(char *out, size_t size, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+./,:@%";
    size_t used = strlen(out);
    const bool bare = word[0] && word[strspn(word, plain)] == '\0';
    snprintf(out + used, size - used, "%s%s", used ? " " : "", bare ? word : "'");
    for (const char *c = word; !bare && *c; c++) {
        used = strlen(out);
        snprintf(out + used, size - used, *c == '\'' ? "'\\''" : "%c", *c);
    }
    used = strlen(out);
    snprintf(out + used, size - used, "%s", bare ? "" : "'");
}

void ffl_command_line(char *out, size_t size)
{
    FILE *file = fopen("/proc/self/cmdline", "r");
    char *word = NULL;
    size_t capacity = 0;
    out[0] = '\0';
    while (file && getdelim(&word, &capacity, '\0', file) > 0)
        append_word(out, size, out[0] ? word : "fflab");
    free(word);
    if (file)
        fclose(file);
}

json_t *ffl_circumstances(void)
{
    char command[4096], verifier[256];
    ffl_command_line(command, sizeof command);
    json_t *all = json_object();
    if (!all)
        return NULL;
    json_object_set_new(all, "machine", machine_json());
    json_t *device = device_json();
    if (device)
        json_object_set_new(all, "device", device);
    json_object_set_new(all, "build", build_json());
    json_object_set_new(all, "blas", blas_json());
    json_object_set_new(all, "environment", environment_json());
    set_text(all, "overridden", ffl_environment_overridden());
    set_text(all, "command", command);
    ffl_score_line(verifier, sizeof verifier);
    set_text(all, "verifier", verifier);
    return all;
}
