#define _GNU_SOURCE
#include "harness/variant_list.h"
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The stem that a line of the list names, between its first two quotes; false for comments and the like. */
static bool read_stem(const char *line, char *stem, size_t size)
{
    const char *start = line + strspn(line, " \t");
    if (strncmp(start, "['", 2) != 0)
        return false;
    start += 2;
    const size_t length = strcspn(start, "'\n");
    if (start[length] != '\'' || length >= size)
        return false;
    memcpy(stem, start, length);
    stem[length] = '\0';
    return true;
}

/* Copies the list from `in` to `out` with the new line in its place. */
static ffl_status copy_with_line(const char *path, FILE *in, FILE *out, const char *stem, const char *isa,
                                 const char *library)
{
    enum { BEFORE, INSIDE, AFTER } where = BEFORE;
    bool added = false;
    char *line = NULL;
    size_t capacity = 0;
    ffl_status status = FFL_OK;
    while (status == FFL_OK && getline(&line, &capacity, in) > 0) {
        char other[256];
        const bool names_one = where == INSIDE && read_stem(line, other, sizeof other);
        const bool ends = where == INSIDE && line[strspn(line, " \t")] == ']';
        if (names_one && strcmp(other, stem) == 0)
            status = ffl_fail(FFL_BAD_INPUT, "%s lists '%s' already", path, stem);
        if (!added && (ends || (names_one && strcmp(other, stem) > 0))) {
            fprintf(out, "  ['%s', '%s', '%s'],\n", stem, isa, library);
            added = true;
        }
        if (ends)
            where = AFTER;
        else if (where == BEFORE && strncmp(line, "variant_files = [", 17) == 0)
            where = INSIDE;
        fputs(line, out);
    }
    free(line);
    if (status == FFL_OK && !added)
        status = ffl_fail(FFL_BAD_INPUT, "%s: no list 'variant_files = [' … ']' to add a line to", path);
    return status;
}

ffl_status ffl_variant_list_add(const char *path, const char *stem, const char *isa, const char *library)
{
    char fresh[PATH_MAX];
    struct stat permissions;
    if (snprintf(fresh, sizeof fresh, "%s.XXXXXX", path) >= (int)sizeof fresh)
        return ffl_fail(FFL_BAD_INPUT, "%s: the path is too long", path);
    FILE *in = fopen(path, "r");
    if (!in || fstat(fileno(in), &permissions) != 0) {
        if (in)
            fclose(in);
        return ffl_fail(FFL_IO, "%s: %s", path, strerror(errno));
    }
    const int file = mkstemp(fresh);
    FILE *out = file < 0 ? NULL : fdopen(file, "w");
    if (!out) {
        fclose(in);
        return ffl_fail(FFL_IO, "%s cannot be written beside: %s", path, strerror(errno));
    }
    ffl_status status = copy_with_line(path, in, out, stem, isa, library);
    const bool written = fchmod(file, permissions.st_mode & 07777) == 0 && !ferror(out);
    if ((fclose(out) != 0 || !written) && status == FFL_OK)
        status = ffl_fail(FFL_IO, "%s could not be written: %s", fresh, strerror(errno));
    fclose(in);
    if (status == FFL_OK && rename(fresh, path) != 0)
        status = ffl_fail(FFL_IO, "%s could not be replaced: %s", path, strerror(errno));
    if (status != FFL_OK)
        unlink(fresh);
    return status;
}
