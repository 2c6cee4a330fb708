#include "harness/auto/table.h"
#include "harness/build_info.h"
#include "harness/commit.h"
#include "harness/registry.h"
#include "kernels/memory.h"
#include "reports/date.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, CELLS_MAX = 20000, TIMES_MAX = 512, SIZE_LIMIT = 1 << 30, FILE_MAX = 1 << 26 };

bool ffl_tuned_kernel(const ffl_variant *v)
{
    return v->place == FFL_HOST && v->family != FFL_AUTO && v->library != FFL_CBLAS &&
           ffl_registry_built_in(v);
}

/* ---- Identity ---- */

static json_t *machine_json(void)
{
    const ffl_machine *m = ffl_machine_host();
    return json_pack("{s:s, s:I, s:I, s:I}", "cpu", m->cpu, "l1d_bytes", (json_int_t)m->l1d_bytes, "l2_bytes",
                     (json_int_t)m->l2_bytes, "l3_bytes", (json_int_t)m->l3_bytes);
}

/* What could have been chosen: a kernel that came or went since makes the table stale. */
static json_t *kernels_json(void)
{
    json_t *names = json_array();
    for (size_t i = 0; i < ffl_registry_count(); i++)
        if (ffl_tuned_kernel(ffl_registry_at(i)))
            json_array_append_new(names, json_string(ffl_registry_at(i)->name));
    return names;
}

static bool same(const json_t *root, const char *name, json_t *mine)
{
    const bool equal = json_equal(json_object_get(root, name), mine);
    json_decref(mine);
    return equal;
}

static ffl_status check_identity(const char *path, const json_t *root)
{
    const json_t *machine = json_object_get(root, "machine");
    const char *cpu = json_string_value(json_object_get(machine, "cpu"));
    const char *version = json_string_value(json_object_get(root, "version"));
    if (json_integer_value(json_object_get(root, "format")) != FFL_TUNED_FORMAT)
        return ffl_fail(FFL_BAD_INPUT, "%s: not a tuning table of format %d", path, FFL_TUNED_FORMAT);
    if (!cpu || !version || !json_is_array(json_object_get(root, "kernels")))
        return ffl_fail(FFL_BAD_INPUT, "%s: machine, version or kernels are missing", path);
    if (!same(root, "machine", machine_json()))
        return ffl_fail(FFL_BAD_INPUT, "%s: measured on another machine (%.100s)", path, cpu);
    if (strcmp(version, FFL_BUILD_VERSION) != 0)
        return ffl_fail(FFL_BAD_INPUT, "%s: measured with fflab %.32s, this is %s", path, version,
                        FFL_BUILD_VERSION);
    if (!same(root, "kernels", kernels_json()))
        return ffl_fail(FFL_BAD_INPUT, "%s: measured with other kernels than this build has", path);
    return FFL_OK;
}

/* ---- Reading ---- */

/* A whole number in its range; `absent` (NULL: not allowed) when there is none. */
static bool read_size(const json_t *object, const char *name, size_t min, size_t *out)
{
    const json_t *value = json_object_get(object, name);
    const json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < (json_int_t)min || number > SIZE_LIMIT)
        return false;
    *out = (size_t)number;
    return true;
}

static bool read_type(const char *name, ffl_type *out)
{
    for (int t = 0; name && t < FFL_TYPE_COUNT; t++)
        if (strcmp(ffl_type_name((ffl_type)t), name) == 0) {
            *out = (ffl_type)t;
            return true;
        }
    return false;
}

static bool read_shape(const json_t *json, ffl_layer *out)
{
    const char *operation = json_string_value(json_object_get(json, "operation"));
    size_t width_in, width_out, neurons, trees, depth;
    if (!operation || !read_size(json, "width_in", 1, &width_in) ||
        !read_size(json, "width_out", 1, &width_out))
        return false;
    if (strcmp(operation, "ff") == 0)
        return read_size(json, "neurons", 1, &neurons) &&
               ffl_layer_ff(width_in, width_out, neurons, out) == FFL_OK;
    return strcmp(operation, "fff") == 0 && read_size(json, "trees", 1, &trees) &&
           read_size(json, "depth", 0, &depth) && depth <= FFL_DEPTH_MAX &&
           ffl_layer_fff(width_in, width_out, trees, ffl_levels_from_depth(depth), out) == FFL_OK;
}

static bool read_time(const char *name, const json_t *value, const ffl_tuned_cell *cell, ffl_tuned_time *out)
{
    const ffl_variant *v = ffl_registry_find(name);
    const double ns = json_number_value(value);
    *out = (ffl_tuned_time){v, ns};
    return v && ffl_tuned_kernel(v) && v->operation == cell->shape.operation &&
           v->contract.weights == cell->clazz && json_is_number(value) && isfinite(ns) && ns > 0;
}

static bool read_times(const json_t *times, ffl_tuned_cell *out)
{
    const char *name;
    json_t *value;
    const size_t count = json_object_size(times);
    out->times = count && count <= TIMES_MAX ? ffl_alloc_array(count, sizeof *out->times) : NULL;
    if (!out->times)
        return false;
    json_object_foreach((json_t *)times, name,
                        value) if (!read_time(name, value, out, &out->times[out->count++])) return false;
    return true;
}

static bool read_cell(const json_t *json, ffl_tuned_cell *out)
{
    const char *routing = json_string_value(json_object_get(json, "routing"));
    const json_t *shared = json_object_get(json, "shared");
    size_t threads;
    *out = (ffl_tuned_cell){.shared = json_number_value(shared)};
    if (!read_shape(json, &out->shape) ||
        !read_type(json_string_value(json_object_get(json, "class")), &out->clazz) ||
        !read_size(json, "batch", 1, &out->batch) || !read_size(json, "threads", 1, &threads) || !routing ||
        strlen(routing) >= sizeof out->routing || !json_is_number(shared) ||
        !(out->shared >= 0 && out->shared <= 1))
        return false;
    out->threads = (int)threads;
    strcpy(out->routing, routing);
    return read_times(json_object_get(json, "ns_per_token"), out);
}

static ffl_status read_cells(const char *path, const json_t *cells, ffl_tuned_table *out)
{
    const size_t count = json_array_size(cells);
    if (!json_is_array(cells) || count == 0 || count > CELLS_MAX)
        return ffl_fail(FFL_BAD_INPUT, "%s: expected 1 to %d cells", path, CELLS_MAX);
    out->cells = ffl_alloc_array(count, sizeof *out->cells);
    if (!out->cells)
        return FFL_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const bool fine = read_cell(json_array_get(cells, i), &out->cells[i]);
        out->count++;
        if (!fine)
            return ffl_fail(FFL_BAD_INPUT,
                            "%s: cell %zu: a field is missing, of the wrong type or out of range, or a time "
                            "is of no kernel of this build",
                            path, i);
    }
    return FFL_OK;
}

ffl_status ffl_tuned_read(const char *path, ffl_tuned_table *out)
{
    struct stat info;
    json_error_t error;
    *out = (ffl_tuned_table){0};
    if (stat(path, &info) != 0)
        return ffl_fail(FFL_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode) || info.st_size > FILE_MAX)
        return ffl_fail(FFL_BAD_INPUT, "%s: not a file of at most %d MiB", path, FILE_MAX >> 20);
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return ffl_fail(FFL_BAD_INPUT, "%s: line %d: %.100s", path, error.line, error.text);
    ffl_status status = check_identity(path, root);
    if (status == FFL_OK)
        status = read_cells(path, json_object_get(root, "cells"), out);
    json_decref(root);
    if (status != FFL_OK)
        ffl_tuned_free(out);
    return status;
}

void ffl_tuned_free(ffl_tuned_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        ffl_free(table->cells[i].times);
    ffl_free(table->cells);
    *table = (ffl_tuned_table){0};
}

/* ---- Writing ---- */

static json_t *cell_json(const ffl_tuned_cell *c)
{
    const bool tree = c->shape.operation == FFL_FFF;
    json_t *times = json_object();
    json_t *json = json_pack("{s:s, s:s, s:I, s:I, s:I, s:i, s:s, s:f}", "operation", tree ? "fff" : "ff",
                             "class", ffl_type_name(c->clazz), "width_in", (json_int_t)c->shape.width_in,
                             "width_out", (json_int_t)c->shape.width_out, "batch", (json_int_t)c->batch,
                             "threads", c->threads, "routing", c->routing, "shared", c->shared);
    if (tree) {
        json_object_set_new(json, "trees", json_integer((json_int_t)c->shape.trees));
        json_object_set_new(json, "depth", json_integer((json_int_t)c->shape.levels - 1));
    } else {
        json_object_set_new(json, "neurons", json_integer((json_int_t)c->shape.neurons));
    }
    for (size_t i = 0; i < c->count; i++)
        json_object_set_new(times, c->times[i].variant->name, json_real(c->times[i].ns));
    json_object_set_new(json, "ns_per_token", times);
    return json;
}

static json_t *table_json(const ffl_tuned_table *table)
{
    char date[FFL_DATE_SIZE];
    ffl_date_write(time(NULL), date);
    json_t *cells = json_array();
    for (size_t i = 0; i < table->count; i++)
        json_array_append_new(cells, cell_json(&table->cells[i]));
    return json_pack("{s:i, s:s, s:s, s:s, s:o, s:o, s:o}", "format", FFL_TUNED_FORMAT, "version",
                     FFL_BUILD_VERSION, "commit", FFL_COMMIT, "date", date, "machine", machine_json(),
                     "kernels", kernels_json(), "cells", cells);
}

ffl_status ffl_tuned_write(const char *path, const ffl_tuned_table *table)
{
    char draft[PATH_SIZE];
    json_t *root = table_json(table);
    if (!root)
        return ffl_fail(FFL_NO_MEMORY, "%s: no memory for the table", path);
    /* Under another name first: a full disk or Ctrl-C leaves the old file or none. */
    ffl_status status = FFL_OK;
    if (snprintf(draft, sizeof draft, "%s.%ld", path, (long)getpid()) >= (int)sizeof draft)
        status = ffl_fail(FFL_BAD_INPUT, "%.64s…: the path is too long", path);
    else if (json_dump_file(root, draft, JSON_INDENT(1) | JSON_REAL_PRECISION(5)) != 0 ||
             rename(draft, path) != 0) {
        status = ffl_fail(FFL_IO, "%s: %s", path, strerror(errno));
        unlink(draft);
    }
    json_decref(root);
    return status;
}
