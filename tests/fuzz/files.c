#define _GNU_SOURCE
#include "tests/fuzz/targets.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char folder[64];

void fuzz_expect(int held, const char *promise)
{
    if (held)
        return;
    fprintf(stderr, "broken promise: %s (last error: %s)\n", promise, ffl_error());
    abort();
}

void fuzz_expect_named(ffl_status status, const char *path)
{
    fuzz_expect(status == FFL_OK || *ffl_error(), "a refusal has a message");
    fuzz_expect(status != FFL_BAD_INPUT || strstr(ffl_error(), path), "a refusal names the file");
}

const char *fuzz_file(const uint8_t *data, size_t size)
{
    static int file = -1;
    static char path[64];
    if (file < 0) {
        file = memfd_create("input", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    fuzz_expect(file >= 0 && ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size,
                "a file in memory");
    return path;
}

static void remove_folder(void)
{
    char path[512];
    DIR *entries = opendir(folder);
    for (const struct dirent *entry; entries && (entry = readdir(entries));) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    if (entries)
        closedir(entries);
    rmdir(folder);
}

const char *fuzz_folder(void)
{
    if (!folder[0]) {
        strcpy(folder, "/tmp/fflab-fuzz-XXXXXX");
        fuzz_expect(mkdtemp(folder) != NULL, "a folder of our own");
        atexit(remove_folder);
    }
    return folder;
}
