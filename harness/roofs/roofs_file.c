/*
 * roofs.json in the cache folder: an object with one array of journal lines of kind "roof" per machine and
 * build. A file that cannot be used is no obstacle: one calibrates again.
 */
#include "harness/build_info.h"
#include "harness/cache_folder.h"
#include "harness/roofs/roofs.h"
#include "kernels/cpu.h"
#include "kernels/device.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* FORMAT grows when a loop changes in a way that makes it faster: old roofs would then be too low. */
enum { FORMAT = 1, PATH_SIZE = 4096, KEY_SIZE = 1024 };

/* What a roof depends on. The caches are part of it: a virtual machine may show fewer than another. */
static void machine_key(char key[KEY_SIZE])
{
    const ffl_machine *m = ffl_machine_host();
    int used = snprintf(key, KEY_SIZE, "%d|%s|%d|%zu:%zu:%zu|", FORMAT, m->cpu, m->cpus, m->l1d_bytes,
                        m->l2_bytes, m->l3_bytes);
    for (int isa = 0; isa < FFL_ISA_COUNT; isa++)
        used += snprintf(key + used, KEY_SIZE - (size_t)used, "%d", m->isa[isa]);
    snprintf(key + used, KEY_SIZE - (size_t)used, "|%s|%.500s", __VERSION__, FFL_BUILD_C_ARGS);
}

static bool is_of_this_machine(const ffl_roof *roof)
{
    return strcmp(roof->place, "cuda") != 0 || strcmp(roof->device, ffl_device_name()) == 0;
}

/* A line that makes no sense is left out; the others may still hold. */
static ffl_status take_line(const json_t *line, bool all_devices, ffl_roofs *out)
{
    ffl_record record;
    ffl_roof roof;
    if (ffl_record_from_json(line, &record) != FFL_OK)
        return FFL_OK;
    const bool good = strcmp(record.kind, "roof") == 0 && ffl_roof_from_record(&record, &roof) == FFL_OK;
    ffl_record_free(&record);
    return good && (all_devices || is_of_this_machine(&roof)) ? ffl_roofs_put(out, &roof) : FFL_OK;
}

static json_t *read_file(const char *path)
{
    json_t *all = *path ? json_load_file(path, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (json_is_object(all))
        return all;
    json_decref(all);
    return json_object();
}

static ffl_status take_lines(const json_t *lines, bool all_devices, ffl_roofs *out)
{
    *out = (ffl_roofs){0};
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const ffl_status status = take_line(json_array_get(lines, i), all_devices, out);
        if (status != FFL_OK) {
            ffl_roofs_free(out);
            return status;
        }
    }
    return FFL_OK;
}

ffl_status ffl_roofs_load(ffl_roofs *out)
{
    char path[PATH_SIZE], key[KEY_SIZE];
    ffl_cache_file("roofs.json", false, path, sizeof path);
    machine_key(key);
    json_t *all = read_file(path);
    const ffl_status status = take_lines(json_object_get(all, key), false, out);
    json_decref(all);
    return status;
}

static json_t *lines_of(const ffl_roofs *roofs)
{
    json_t *lines = json_array();
    for (size_t i = 0; i < roofs->count; i++) {
        ffl_record record;
        if (ffl_roof_to_record(&roofs->value[i], &record) == FFL_OK)
            json_array_append_new(lines, ffl_record_to_json(&record));
        ffl_record_free(&record);
    }
    return lines;
}

/* Replaces the file at once: of two programs that write together one is lost, none is torn. */
static ffl_status write_file(const char *path, const json_t *all)
{
    char temporary[PATH_SIZE + 32];
    snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    if (json_dump_file(all, temporary, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) == 0 &&
        rename(temporary, path) == 0)
        return FFL_OK;
    unlink(temporary);
    return ffl_fail(FFL_IO, "%s: the roofs cannot be written there", path);
}

ffl_status ffl_roofs_store(const ffl_roofs *roofs, char *path, size_t size)
{
    char key[KEY_SIZE];
    ffl_roofs merged;
    ffl_cache_file("roofs.json", true, path, size);
    if (!*path)
        return ffl_fail(FFL_IO, "no place to keep the roofs: set FFLAB_CACHE_DIR, XDG_CACHE_HOME or HOME");
    machine_key(key);
    json_t *all = read_file(path);
    ffl_status status = take_lines(json_object_get(all, key), true, &merged);
    for (size_t i = 0; i < roofs->count && status == FFL_OK; i++)
        status = ffl_roofs_put(&merged, &roofs->value[i]);
    if (status == FFL_OK) {
        json_object_set_new(all, key, lines_of(&merged));
        status = write_file(path, all);
        ffl_roofs_free(&merged);
    }
    json_decref(all);
    return status;
}

ffl_status ffl_roofs_journal(const ffl_roofs *roofs, ffl_journal *journal)
{
    for (size_t i = 0; i < roofs->count; i++) {
        ffl_record record;
        ffl_status status = ffl_roof_to_record(&roofs->value[i], &record);
        if (status == FFL_OK)
            status = ffl_journal_write(journal, &record);
        ffl_record_free(&record);
        FFL_TRY(status);
    }
    return ffl_journal_flush(journal);
}
