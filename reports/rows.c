#define _GNU_SOURCE
#include "reports/rows.h"
#include "reports/journal_line.h"
#include "reports/lines.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Room for one more item; arrays here grow by doubling from the count alone. */
static ffl_status grow(void *array, size_t count, size_t size)
{
    void **items = array;
    if (count & (count - 1))
        return FFL_OK;
    void *grown = realloc(*items, (count ? 2 * count : 1) * size);
    if (!grown)
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu journal lines", count);
    *items = grown;
    return FFL_OK;
}

static ffl_status add_text(char ***list, size_t *count, const char *text)
{
    FFL_TRY(grow(list, *count, sizeof **list));
    if (!((*list)[*count] = strdup(text)))
        return ffl_fail(FFL_NO_MEMORY, "no memory for %zu journal lines", *count);
    ++*count;
    return FFL_OK;
}

static ffl_status add_note(ffl_rows *rows, size_t line, const char *reason)
{
    char text[1600];
    snprintf(text, sizeof text, "%.400s:%zu: %.1000s; this line is not used",
             rows->files[rows->file_count - 1], line, reason);
    return add_text(&rows->notes, &rows->note_count, text);
}

static ffl_status add_row(ffl_rows *rows, const ffl_row *row)
{
    if (strcmp(row->record.kind, "run") == 0) {
        FFL_TRY(grow(&rows->runs, rows->run_count, sizeof *row));
        rows->runs[rows->run_count++] = *row;
    } else if (strcmp(row->record.kind, "encoder") == 0) {
        FFL_TRY(grow(&rows->passes, rows->pass_count, sizeof *row));
        rows->passes[rows->pass_count++] = *row;
    } else if (strcmp(row->record.kind, "published") == 0) {
        FFL_TRY(grow(&rows->published, rows->published_count, sizeof *row));
        rows->published[rows->published_count++] = *row;
    } else if (strcmp(row->record.kind, "roof") == 0) {
        FFL_TRY(grow(&rows->roofs, rows->roof_count, sizeof *row));
        rows->roofs[rows->roof_count++] = *row;
    } else {
        FFL_TRY(grow(&rows->value, rows->count, sizeof *row));
        rows->value[rows->count++] = *row;
    }
    return FFL_OK;
}

static bool is_known_kind(const char *kind)
{
    return strcmp(kind, "run") == 0 || strcmp(kind, "check") == 0 || strcmp(kind, "bench") == 0 ||
           strcmp(kind, "encoder") == 0 || strcmp(kind, "published") == 0 || strcmp(kind, "roof") == 0;
}

/* A record, or why the line holds none. */
static ffl_status decode(ffl_told *told, const ffl_lines *lines, ffl_record *out)
{
    if (lines->too_long)
        return ffl_fail(FFL_BAD_INPUT, "too long for a journal line");
    const ffl_status status = ffl_line_read(told, lines->text, lines->length, out);
    return status == FFL_BAD_INPUT && lines->torn ? ffl_fail(status, "torn off: %s", ffl_error()) : status;
}

static ffl_status read_line(ffl_rows *rows, ffl_told *told, const ffl_lines *lines)
{
    ffl_row row = {.file = rows->file_count - 1, .line = lines->number};
    if (lines->length == 0)
        return FFL_OK;
    ffl_status status = decode(told, lines, &row.record);
    if (status == FFL_NO_MEMORY)
        return status;
    if (status != FFL_OK)
        return add_note(rows, lines->number, ffl_error());
    if (strcmp(row.record.kind, "variant") == 0) {
        /* what the lines below leave out: `told` knows it now */
    } else if (!is_known_kind(row.record.kind)) {
        char reason[64];
        snprintf(reason, sizeof reason, "unknown kind \"%s\"", row.record.kind);
        status = add_note(rows, lines->number, reason);
    } else if (!row.record.key[0] && strcmp(row.record.kind, "run") != 0) {
        status = add_note(rows, lines->number, "no key");
    } else if ((status = add_row(rows, &row)) == FFL_OK) {
        return FFL_OK;
    }
    ffl_record_free(&row.record);
    return status;
}

static ffl_status read_file(ffl_rows *rows, const char *path)
{
    ffl_lines lines;
    ffl_told told;
    bool more = true;
    FFL_TRY(ffl_lines_open(path, &lines));
    ffl_status status = ffl_told_new(&told);
    if (status == FFL_OK)
        status = add_text(&rows->files, &rows->file_count, path);
    while (status == FFL_OK && more) {
        status = ffl_lines_next(&lines, &more);
        if (status == FFL_OK && more)
            status = read_line(rows, &told, &lines);
    }
    ffl_told_free(&told);
    ffl_lines_close(&lines);
    return status;
}

static int is_jsonl(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".jsonl") == 0;
}

static ffl_status read_folder(ffl_rows *rows, const char *dir)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/journal.jsonl", dir);
    struct stat info;
    if (stat(path, &info) == 0)
        return read_file(rows, path);
    struct dirent **entries;
    const int count = scandir(dir, &entries, is_jsonl, alphasort);
    if (count < 0)
        return ffl_fail(FFL_BAD_INPUT, "%s: %s", dir, strerror(errno));
    ffl_status status = FFL_OK;
    if (count == 0)
        status = ffl_fail(FFL_BAD_INPUT, "%s: no journal (*.jsonl) in this folder", dir);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, entries[i]->d_name);
        if (status == FFL_OK)
            status = read_file(rows, path);
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* Bytes of the first characters of `text`, at most `max` of them: half a character is no UTF-8, and no JSON.
 */
static int whole_characters(const char *text, size_t max)
{
    size_t length = strlen(text);
    if (length > max)
        for (length = max; length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80;)
            length--;
    return (int)length;
}

void ffl_machine_title(const json_t *circumstances, char *out, size_t size)
{
    const json_t *machine = json_object_get(circumstances, "machine");
    const char *cpu = json_string_value(json_object_get(machine, "cpu"));
    const json_int_t l3 = json_integer_value(json_object_get(machine, "l3_bytes"));
    const json_int_t cpus = json_integer_value(json_object_get(machine, "cpus"));
    const json_t *device = json_object_get(circumstances, "device");
    const char *gpu = json_string_value(json_object_get(device, "name"));
    if (!cpu)
        cpu = "unknown machine";
    int used = snprintf(out, size, "%.*s, %lld processor%s", whole_characters(cpu, 96), cpu, (long long)cpus,
                        cpus == 1 ? "" : "s");
    if (l3 > 0 && used > 0 && (size_t)used < size)
        used += snprintf(out + used, size - (size_t)used, ", %.4g MiB L3", (double)l3 / 1048576);
    if (gpu && !json_is_true(json_object_get(device, "emulated")) && used > 0 && (size_t)used < size)
        snprintf(out + used, size - (size_t)used, ", %.*s", whole_characters(gpu, 64), gpu);
}

static void name_machines(const ffl_rows *rows, ffl_row *value, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ffl_row *row = &value[i];
        for (size_t r = 0; r < rows->run_count && !row->machine; r++)
            if (strcmp(rows->runs[r].record.run, row->record.run) == 0)
                row->machine = rows->runs[r].machine;
        if (!row->machine)
            row->machine = "unknown machine (the line of kind run is missing)";
    }
}

/* Runs name the machine; their rows refer to them. */
static ffl_status find_machines(ffl_rows *rows)
{
    for (size_t r = 0; r < rows->run_count; r++) {
        char title[256];
        size_t m = 0;
        ffl_machine_title(rows->runs[r].record.circumstances, title, sizeof title);
        while (m < rows->machine_count && strcmp(rows->machines[m], title) != 0)
            m++;
        if (m == rows->machine_count)
            FFL_TRY(add_text(&rows->machines, &rows->machine_count, title));
        rows->runs[r].machine = rows->machines[m];
    }
    name_machines(rows, rows->value, rows->count);
    name_machines(rows, rows->passes, rows->pass_count);
    name_machines(rows, rows->published, rows->published_count);
    name_machines(rows, rows->roofs, rows->roof_count);
    return FFL_OK;
}

/* Dates are ISO 8601 and sort as text; within a second the later line wins. */
static bool is_later(const ffl_row *a, const ffl_row *b)
{
    return strcmp(a->record.date, b->record.date) >= 0;
}

/* The later row takes the place of the earlier one, so the order of first appearance stays. */
static ffl_status drop_superseded(ffl_row *value, size_t *count)
{
    json_t *seen = json_object();
    size_t kept = 0;
    char key[1024];
    if (!seen)
        return ffl_fail(FFL_NO_MEMORY, "no memory to merge journals");
    for (size_t i = 0; i < *count; i++) {
        ffl_row row = value[i];
        snprintf(key, sizeof key, "%s|%s|%s", row.record.kind, row.record.key, row.machine);
        const json_t *place = json_object_get(seen, key);
        if (!place) {
            json_object_set_new(seen, key, json_integer((json_int_t)kept));
            value[kept++] = row;
            continue;
        }
        ffl_row *old = &value[json_integer_value(place)];
        if (is_later(&row, old)) {
            const ffl_row gone = *old;
            *old = row;
            row = gone;
        }
        ffl_record_free(&row.record);
    }
    *count = kept;
    json_decref(seen);
    return FFL_OK;
}

ffl_status ffl_rows_read(const char *const *paths, size_t count, ffl_rows *out)
{
    *out = (ffl_rows){0};
    ffl_status status = FFL_OK;
    for (size_t i = 0; i < count && status == FFL_OK; i++) {
        struct stat info;
        if (stat(paths[i], &info) != 0)
            status = ffl_fail(FFL_BAD_INPUT, "%s: %s", paths[i], strerror(errno));
        else
            status = S_ISDIR(info.st_mode) ? read_folder(out, paths[i]) : read_file(out, paths[i]);
    }
    if (status == FFL_OK)
        status = find_machines(out);
    if (status == FFL_OK)
        status = drop_superseded(out->value, &out->count);
    if (status == FFL_OK)
        status = drop_superseded(out->passes, &out->pass_count);
    if (status == FFL_OK)
        status = drop_superseded(out->published, &out->published_count);
    if (status == FFL_OK)
        status = drop_superseded(out->roofs, &out->roof_count);
    if (status == FFL_OK)
        status = ffl_rows_chain(out);
    if (status != FFL_OK)
        ffl_rows_free(out);
    return status;
}

static void free_texts(char **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

void ffl_rows_free(ffl_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        ffl_record_free(&rows->value[i].record);
    for (size_t i = 0; i < rows->pass_count; i++)
        ffl_record_free(&rows->passes[i].record);
    for (size_t i = 0; i < rows->roof_count; i++)
        ffl_record_free(&rows->roofs[i].record);
    for (size_t i = 0; i < rows->run_count; i++)
        ffl_record_free(&rows->runs[i].record);
    for (size_t i = 0; i < rows->published_count; i++)
        ffl_record_free(&rows->published[i].record);
    free(rows->value);
    free(rows->passes);
    free(rows->published);
    free(rows->roofs);
    free(rows->runs);
    free_texts(rows->files, rows->file_count);
    free_texts(rows->machines, rows->machine_count);
    free_texts(rows->notes, rows->note_count);
    *rows = (ffl_rows){0};
}
