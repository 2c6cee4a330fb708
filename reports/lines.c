#include "reports/lines.h"
#include "kernels/memory_left.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

ffl_status ffl_lines_open(const char *path, ffl_lines *out)
{
    struct stat info;
    const double left = (double)ffl_memory_left();
    *out = (ffl_lines){.path = path, .file = fopen(path, "r")};
    if (!out->file)
        return ffl_fail(FFL_BAD_INPUT, "%s: %s", path, strerror(errno));
    if (fstat(fileno(out->file), &info) == 0 && (double)info.st_size > left) {
        ffl_lines_close(out);
        return ffl_fail(FFL_BAD_INPUT, "%s: a journal of %.1f GB, and %.1f GB of memory are left", path,
                        (double)info.st_size / 1e9, left / 1e9);
    }
    return FFL_OK;
}

static ffl_status grow(ffl_lines *lines)
{
    const size_t capacity = lines->capacity ? 2 * lines->capacity : 4096;
    char *grown = realloc(lines->text, capacity);
    if (!grown)
        return ffl_fail(FFL_NO_MEMORY, "%s: no memory for a line of %zu bytes", lines->path, lines->length);
    lines->text = grown;
    lines->capacity = capacity;
    return FFL_OK;
}

ffl_status ffl_lines_next(ffl_lines *lines, bool *more)
{
    int c;
    lines->length = 0;
    lines->too_long = false;
    while ((c = getc_unlocked(lines->file)) != EOF && c != '\n') {
        if (lines->length == FFL_LINE_MAX) {
            lines->too_long = true;
            continue;
        }
        if (lines->length == lines->capacity)
            FFL_TRY(grow(lines));
        lines->text[lines->length++] = (char)c;
    }
    lines->torn = c == EOF;
    lines->number++;
    *more = c != EOF || lines->length > 0;
    return ferror(lines->file) ? ffl_fail(FFL_BAD_INPUT, "%s: %s", lines->path, strerror(errno)) : FFL_OK;
}

void ffl_lines_close(ffl_lines *lines)
{
    if (lines->file)
        fclose(lines->file);
    free(lines->text);
    *lines = (ffl_lines){0};
}
