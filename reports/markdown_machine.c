/* Where the numbers come from: machines, builds, libraries, journals. */
#include "reports/format.h"
#include "reports/markdown.h"
#include "reports/roof_table.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static void print_line(FILE *file, const char *name, const char *value)
{
    if (!value[0])
        return;
    fprintf(file, "| %s | ", name);
    ffl_print_text(file, value);
    fputs(" |\n", file);
}

static void print_bytes(FILE *file, const json_t *machine, const char *name, const char *label)
{
    char cell[FFL_CELL];
    const json_int_t bytes = json_integer_value(json_object_get(machine, name));
    if (bytes <= 0)
        return;
    snprintf(cell, sizeof cell, bytes >= 1 << 30 ? "%.1f GiB" : "%.0f KiB",
             (double)bytes / (bytes >= 1 << 30 ? 1073741824.0 : 1024.0));
    print_line(file, label, cell);
}

static void print_blas(FILE *file, const json_t *libraries)
{
    size_t i;
    const json_t *library;
    json_array_foreach(libraries, i, library)
    {
        char cell[1024];
        const double rate = json_number_value(json_object_get(library, "gflops"));
        int used = snprintf(cell, sizeof cell, "not available: %.500s", text_of(library, "missing"));
        if (!text_of(library, "missing")[0])
            used = snprintf(cell, sizeof cell, "%.200s; kernels %.80s", text_of(library, "version"),
                            text_of(library, "family")[0] ? text_of(library, "family") : "not stated");
        if (rate > 0)
            used += snprintf(cell + used, sizeof cell - (size_t)used, ", sgemm %.0f GFLOP/s", rate);
        if (json_is_true(json_object_get(library, "handicapped")))
            used += snprintf(cell + used, sizeof cell - (size_t)used, "; HANDICAPPED: %.200s",
                             text_of(library, "reason"));
        if (text_of(library, "path")[0])
            snprintf(cell + used, sizeof cell - (size_t)used, "; %.200s", text_of(library, "path"));
        print_line(file, text_of(library, "library"), cell);
    }
}

static double number_of(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

static void print_device(FILE *file, const json_t *device)
{
    char cell[512];
    if (!device || json_is_true(json_object_get(device, "emulated")))
        return;
    snprintf(cell, sizeof cell, "%.100s, compute capability %.10s, %.0f multiprocessors",
             text_of(device, "name"), text_of(device, "compute_capability"),
             number_of(device, "multiprocessors"));
    print_line(file, "GPU", cell);
    print_bytes(file, device, "l2_bytes", "GPU L2 cache");
    print_bytes(file, device, "memory_bytes", "GPU memory");
    snprintf(cell, sizeof cell, "driver for %.20s, runtime %.20s", text_of(device, "driver"),
             text_of(device, "runtime"));
    print_line(file, "CUDA", cell);
    snprintf(cell, sizeof cell, "SM %.0f of %.0f MHz, memory %.0f of %.0f MHz, %.0f of %.0f W at the start",
             number_of(device, "sm_mhz"), number_of(device, "sm_max_mhz"), number_of(device, "memory_mhz"),
             number_of(device, "memory_max_mhz"), number_of(device, "watts"),
             number_of(device, "watts_limit"));
    print_line(file, "GPU clocks", text_of(device, "clocks")[0] ? text_of(device, "clocks") : cell);
}

static void print_environment(FILE *file, json_t *environment)
{
    const char *name;
    json_t *value;
    json_object_foreach(environment, name, value)
    {
        fputs("| environment | ", file);
        ffl_print_text(file, name);
        fputc('=', file);
        ffl_print_text(file, json_string_value(value) ? json_string_value(value) : "");
        fputs(" |\n", file);
    }
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* What the hypervisor took while rows were timed. */
static void print_stolen(FILE *file, const ffl_rows *rows, const char *machine)
{
    double *share = malloc((rows->count + 1) * sizeof *share);
    size_t count = 0;
    for (size_t i = 0; share && i < rows->count; i++)
        if (rows->value[i].machine == machine && isfinite(rows->value[i].record.stolen))
            share[count++] = rows->value[i].record.stolen;
    if (count) {
        char cell[FFL_CELL];
        qsort(share, count, sizeof *share, by_value);
        snprintf(cell, sizeof cell, "%.1f %% of the processors' time for the median row, %.1f %% at most",
                 100 * share[count / 2], 100 * share[count - 1]);
        print_line(file, "given to others by the hypervisor", cell);
    }
    free(share);
}

static void print_machine(FILE *file, const ffl_rows *rows, const ffl_row *run)
{
    const json_t *all = run->record.circumstances, *machine = json_object_get(all, "machine"),
                 *build = json_object_get(all, "build"), *isa = json_object_get(machine, "isa");
    char cell[1024] = "";
    fprintf(file, "### %s\n\n| | |\n|---|---|\n", run->machine);
    print_line(file, "processor", text_of(machine, "cpu"));
    snprintf(cell, sizeof cell, "%lld usable (%.200s)%s",
             (long long)json_integer_value(json_object_get(machine, "cpus")), text_of(machine, "affinity"),
             json_is_true(json_object_get(machine, "hypervisor")) ? ", a virtual machine" : "");
    print_line(file, "processors", cell);
    cell[0] = '\0';
    for (size_t i = 0; i < json_array_size(isa); i++) {
        const char *name = json_string_value(json_array_get(isa, i));
        const size_t used = strlen(cell);
        snprintf(cell + used, sizeof cell - used, "%s%s", i ? ", " : "", name ? name : "");
    }
    print_line(file, "instruction sets", cell);
    print_bytes(file, machine, "l1d_bytes", "L1 data cache");
    print_bytes(file, machine, "l2_bytes", "L2 cache");
    print_bytes(file, machine, "l3_bytes", "L3 cache");
    print_bytes(file, machine, "memory_bytes", "memory");
    print_line(file, "clock governor", text_of(machine, "governor"));
    print_line(file, "system", text_of(machine, "os"));
    print_line(file, "kernel", text_of(machine, "kernel"));
    print_line(file, "transparent huge pages", text_of(machine, "huge_pages"));
    snprintf(cell, sizeof cell, "%.60s, commit %.60s, %.200s, %.40s build at -O%.10s %.300s",
             text_of(build, "version"), text_of(build, "commit"), text_of(build, "compiler"),
             text_of(build, "build_type"), text_of(build, "optimization"), text_of(build, "c_args"));
    print_line(file, "fflab", text_of(build, "version")[0] ? cell : "");
    if (text_of(build, "sanitize")[0] && strcmp(text_of(build, "sanitize"), "none") != 0)
        print_line(file, "sanitizer", text_of(build, "sanitize"));
    print_device(file, json_object_get(all, "device"));
    print_blas(file, json_object_get(all, "blas"));
    print_environment(file, json_object_get(all, "environment"));
    /* "verifier: 64/64 …": the name is the line's own. */
    const char *verifier = strchr(text_of(all, "verifier"), ' ');
    print_line(file, "verifier", verifier ? verifier + 1 : "");
    print_line(file, "set aside", text_of(all, "overridden"));
    print_stolen(file, rows, run->machine);
    fputc('\n', file);
}

/* The last run of each machine: by then every library was open. */
static const ffl_row *last_run(const ffl_rows *rows, const char *machine)
{
    const ffl_row *last = NULL;
    for (size_t i = 0; i < rows->run_count; i++)
        if (rows->runs[i].machine == machine &&
            (!last || strcmp(rows->runs[i].record.date, last->record.date) >= 0))
            last = &rows->runs[i];
    return last;
}

static void print_commands(const ffl_rows *rows, FILE *file)
{
    fputs("Written by:\n\n", file);
    for (size_t i = 0; i < rows->run_count; i++) {
        const ffl_row *run = &rows->runs[i];
        char source[FFL_CELL];
        bool repeated = false; /* a study opens its journal once per step */
        for (size_t k = 0; k < i && !repeated; k++)
            repeated = strcmp(rows->runs[k].record.run, run->record.run) == 0;
        if (repeated)
            continue;
        ffl_format_source(rows, run, source);
        fprintf(file, "- %s, %s: `", source, run->record.date);
        ffl_print_text(file, text_of(run->record.circumstances, "command"));
        fputs("`\n", file);
    }
    fputc('\n', file);
}

static void print_shards(const ffl_rows *rows, FILE *file)
{
    size_t parts = 0, present = 0;
    bool seen[1024] = {false};
    for (size_t i = 0; i < rows->run_count; i++) {
        size_t part, of;
        const char *shard = text_of(rows->runs[i].record.circumstances, "shard");
        if (sscanf(shard, "%zu/%zu", &part, &of) != 2 || part < 1 || part > of ||
            of > sizeof seen / sizeof *seen)
            continue;
        parts = of > parts ? of : parts;
        present += !seen[part - 1];
        seen[part - 1] = true;
    }
    if (present < parts)
        fprintf(file,
                "**Partial:** only %zu of %zu shards are here; what is missing may be the fastest. Merge the "
                "others:\n"
                "`fflab report RUN1 RUN2 … --out DIR`.\n\n",
                present, parts);
}

void ffl_markdown_circumstances(const ffl_rows *rows, FILE *file)
{
    fputs("## Where and how\n\n", file);
    print_shards(rows, file);
    if (rows->machine_count > 1)
        fprintf(file, "Rows of %zu machines; numbers of different machines are never compared.\n\n",
                rows->machine_count);
    for (size_t m = 0; m < rows->machine_count; m++) {
        print_machine(file, rows, last_run(rows, rows->machines[m]));
        ffl_markdown_roofs(rows, rows->machines[m], file);
    }
    if (rows->run_count == 0)
        fputs("The journal holds no line of kind `run`: machine and build are unknown.\n\n", file);
    else
        print_commands(rows, file);
    if (rows->file_count > 1) {
        fputs("Journals:\n\n", file);
        for (size_t f = 0; f < rows->file_count; f++)
            fprintf(file, "- J%zu: `%s`\n", f + 1, rows->files[f]);
        fputc('\n', file);
    }
}
