#include "reports/gbench_json.h"
#include <errno.h>
#include <math.h>
#include <string.h>

/* Above this many samples the repetitions are summed up: compare.py reads a file of them at once. */
enum { REPETITIONS_MAX = 64 };

static json_t *cache_json(const json_t *machine, const char *name, int level, const char *type)
{
    return json_pack("{s:s, s:i, s:I, s:i}", "type", type, "level", level, "size",
                     json_integer_value(json_object_get(machine, name)), "num_sharing", level == 3 ? 0 : 1);
}

static json_t *context_json(const ffl_rows *rows)
{
    const ffl_row *run = rows->run_count ? &rows->runs[rows->run_count - 1] : NULL;
    const json_t *all = run ? run->record.circumstances : NULL, *machine = json_object_get(all, "machine"),
                 *build = json_object_get(all, "build");
    const char *type = json_string_value(json_object_get(build, "build_type"));
    json_t *context = json_pack(
        "{s:s, s:s, s:s, s:I, s:i, s:b, s:[o, o, o], s:[], s:s, s:i}", "date", run ? run->record.date : "",
        "host_name", run ? run->machine : "", "executable", "fflab", "num_cpus",
        json_integer_value(json_object_get(machine, "cpus")), "mhz_per_cpu", 0, "cpu_scaling_enabled", 0,
        "caches", cache_json(machine, "l1d_bytes", 1, "Data"), cache_json(machine, "l2_bytes", 2, "Unified"),
        cache_json(machine, "l3_bytes", 3, "Unified"), "load_avg", "library_build_type",
        type && strcmp(type, "debug") == 0 ? "debug" : "release", "json_schema_version", 1);
    if (context && all)
        json_object_set(context, "fflab", (json_t *)all);
    return context;
}

/* What every line of a case starts with. `suffix` is "" or "_median". */
static json_t *line_json(const ffl_row *row, size_t family, const char *suffix, const char *type)
{
    char name[sizeof row->record.key + 16];
    snprintf(name, sizeof name, "%s%s", row->record.key, suffix);
    return json_pack("{s:s, s:I, s:i, s:s, s:s, s:I}", "name", name, "family_index", (json_int_t)family,
                     "per_family_instance_index", 0, "run_name", row->record.key, "run_type", type, "threads",
                     (json_int_t)row->record.threads);
}

static void set_times(json_t *line, double ns, int64_t calls)
{
    json_object_set_new(line, "iterations", json_integer(calls));
    json_object_set_new(line, "real_time", json_real(ns));
    json_object_set_new(line, "cpu_time", json_real(ns));
    json_object_set_new(line, "time_unit", json_string("ns"));
}

static void set_counters(json_t *line, const ffl_record *r)
{
    json_object_set_new(line, "label", json_string(r->variant));
    if (r->median_ns > 0)
        json_object_set_new(line, "items_per_second", json_real(1e9 * (double)r->tokens / r->median_ns));
    if (r->median_ns > 0 && isfinite(r->flops))
        json_object_set_new(line, "FLOPS", json_real(1e9 * r->flops / r->median_ns));
}

static void add_error(json_t *lines, const ffl_row *row, size_t family)
{
    const ffl_record *r = &row->record;
    char message[600];
    snprintf(message, sizeof message, "%s%s%s%s", r->emulated ? "emulated device, " : "",
             r->verdict[0] ? r->verdict : "no verdict", r->reason[0] ? ": " : "", r->reason);
    json_t *line = line_json(row, family, "", "iteration");
    json_object_set_new(line, "repetitions", json_integer(1));
    json_object_set_new(line, "repetition_index", json_integer(0));
    json_object_set_new(line, "error_occurred", json_true());
    json_object_set_new(line, "error_message", json_string(message));
    set_times(line, 0, 0);
    json_array_append_new(lines, line);
}

static void add_repetitions(json_t *lines, const ffl_row *row, size_t family)
{
    const ffl_samples *s = &row->record.samples;
    json_int_t index = 0;
    for (size_t i = 0; i < s->distinct; i++)
        for (uint64_t k = 0; k < s->count[i]; k++) {
            json_t *line = line_json(row, family, "", "iteration");
            json_object_set_new(line, "repetitions", json_integer((json_int_t)ffl_samples_total(s)));
            json_object_set_new(line, "repetition_index", json_integer(index++));
            set_times(line, s->ns[i], 1);
            set_counters(line, &row->record);
            json_array_append_new(lines, line);
        }
}

static void add_aggregate(json_t *lines, const ffl_row *row, size_t family, const char *name, double ns)
{
    char suffix[16];
    if (!isfinite(ns))
        return;
    snprintf(suffix, sizeof suffix, "_%s", name);
    json_t *line = line_json(row, family, suffix, "aggregate");
    json_object_set_new(line, "repetitions", json_integer(row->record.calls));
    json_object_set_new(line, "aggregate_name", json_string(name));
    json_object_set_new(line, "aggregate_unit", json_string("time"));
    set_times(line, ns, row->record.calls);
    set_counters(line, &row->record);
    json_array_append_new(lines, line);
}

ffl_status ffl_gbench_json_write(const ffl_rows *rows, FILE *file)
{
    json_t *lines = json_array();
    for (size_t i = 0, family = 0; i < rows->count; i++) {
        const ffl_row *row = &rows->value[i];
        const ffl_record *r = &row->record;
        if (strcmp(r->kind, "bench") != 0)
            continue;
        if (strcmp(r->verdict, "PASSED") != 0 || r->emulated) {
            add_error(lines, row, family++);
            continue;
        }
        const uint64_t samples = ffl_samples_total(&r->samples);
        if (samples >= 1 && samples <= REPETITIONS_MAX)
            add_repetitions(lines, row, family);
        add_aggregate(lines, row, family, "mean", r->mean_ns);
        add_aggregate(lines, row, family++, "median", r->median_ns);
    }
    json_t *document = json_pack("{s:o, s:o}", "context", context_json(rows), "benchmarks", lines);
    if (!document)
        return ffl_fail(FFL_NO_MEMORY, "no memory to write the benchmark file");
    const int failed = json_dumpf(document, file, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
    json_decref(document);
    if (failed || putc('\n', file) == EOF || fflush(file) != 0)
        return ffl_fail(FFL_IO, "the benchmark file could not be written: %s", strerror(errno));
    return FFL_OK;
}
