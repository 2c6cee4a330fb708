#define _GNU_SOURCE
#include "harness/files/file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

ffl_status ffl_file_open(const char *path, int *descriptor, size_t *bytes)
{
    struct stat info;
    /* O_NONBLOCK: a named pipe must be refused below, not waited for. */
    *descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*descriptor < 0)
        return ffl_fail(FFL_BAD_INPUT, "%s: %s", path, strerror(errno));
    if (fstat(*descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(*descriptor);
        *descriptor = -1;
        return ffl_fail(FFL_BAD_INPUT, "%s: %s, expected a regular file", path,
                        S_ISDIR(info.st_mode) ? "a directory" : "not a file");
    }
    *bytes = (size_t)info.st_size;
    return FFL_OK;
}

ffl_status ffl_file_begin(const char *path, ffl_new_file *out)
{
    struct stat info;
    const bool exists = stat(path, &info) == 0;
    char resolved[PATH_MAX];
    *out = (ffl_new_file){0};
    if (exists && !S_ISREG(info.st_mode))
        return ffl_fail(FFL_BAD_INPUT, "%s: %s, cannot be written as a file", path,
                        S_ISDIR(info.st_mode) ? "a directory" : "a device or pipe");
    if (exists && realpath(path, resolved))
        path = resolved;
    if (strlen(path) >= sizeof out->path)
        return ffl_fail(FFL_BAD_INPUT, "the path '%.40s…' is longer than %zu bytes", path,
                        sizeof out->path - 1);
    strcpy(out->path, path);
    snprintf(out->temporary, sizeof out->temporary, "%s.XXXXXX", path);
    const int descriptor = mkostemp(out->temporary, O_CLOEXEC);
    if (descriptor < 0)
        return ffl_fail(FFL_BAD_INPUT, "%s: cannot be written: %s", path, strerror(errno));
    /* mkstemp makes files private; give it the mode that an ordinary new file gets, or the old file's. */
    const mode_t mask = umask(0);
    umask(mask);
    out->stream = fdopen(descriptor, "wb");
    if (!out->stream || fchmod(descriptor, exists ? info.st_mode & 0777 : 0666 & ~mask) != 0) {
        ffl_status status = ffl_fail(FFL_IO, "%s: cannot be written: %s", path, strerror(errno));
        if (!out->stream)
            close(descriptor);
        ffl_file_abandon(out);
        return status;
    }
    return FFL_OK;
}

ffl_status ffl_file_commit(ffl_new_file *file)
{
    const bool failed = ferror(file->stream);
    const bool closed = fclose(file->stream) == 0;
    file->stream = NULL;
    if (failed || !closed || rename(file->temporary, file->path) != 0) {
        const ffl_status status = ffl_fail(FFL_IO, "%s: writing failed: %s", file->path, strerror(errno));
        ffl_file_abandon(file);
        return status;
    }
    return FFL_OK;
}

void ffl_file_abandon(ffl_new_file *file)
{
    if (file->stream)
        fclose(file->stream);
    if (file->temporary[0])
        unlink(file->temporary);
    *file = (ffl_new_file){0};
}
