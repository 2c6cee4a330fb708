#include "harness/encoder/timeline.h"
#include "harness/files/file.h"

static double at(const json_t *event, size_t i)
{
    return json_number_value(json_array_get(event, i));
}

static void add_track(json_t *all, size_t track, const json_t *row)
{
    const json_t *events = json_object_get(row, "events");
    const json_t *event;
    const double begin = at(json_array_get(events, 0), 2);
    size_t i;
    json_array_append_new(all, json_pack("{s:s, s:s, s:i, s:I, s:{s:O}}", "name", "thread_name", "ph", "M",
                                         "pid", 1, "tid", (json_int_t)track, "args", "name",
                                         json_object_get(row, "variant")));
    json_array_foreach((json_t *)events, i, event)
    {
        json_array_append_new(all, json_pack("{s:O, s:s, s:i, s:I, s:f, s:f, s:{s:O}}", "name",
                                             json_array_get(event, 0), "ph", "X", "pid", 1, "tid",
                                             (json_int_t)track, "ts", at(event, 2) - begin, "dur",
                                             at(event, 3), "args", "layer", json_array_get(event, 1)));
    }
}

ffl_status ffl_timeline_check(const char *path)
{
    ffl_new_file file;
    const ffl_status status = ffl_file_begin(path, &file);
    if (status != FFL_OK)
        return ffl_fail(status, "--trace %s", ffl_error());
    ffl_file_abandon(&file);
    return FFL_OK;
}

ffl_status ffl_timeline_write(const char *path, const json_t *rows)
{
    json_t *all = json_array(), *row;
    ffl_new_file file;
    size_t i;
    json_array_foreach((json_t *)rows, i, row)
    {
        if (json_array_size(json_object_get(row, "events")))
            add_track(all, i, row);
    }
    json_t *document = json_pack("{s:o, s:s}", "traceEvents", all, "displayTimeUnit", "ms");
    ffl_status status = document ? ffl_file_begin(path, &file) : FFL_NO_MEMORY;
    if (status == FFL_OK) {
        const int written = json_dumpf(document, file.stream, JSON_COMPACT);
        if (written != 0)
            ffl_file_abandon(&file);
        status = written == 0 ? ffl_file_commit(&file) : ffl_fail(FFL_IO, "--trace %s: writing failed", path);
    }
    json_decref(document);
    return status;
}
