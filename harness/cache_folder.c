#include "harness/cache_folder.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { PATH_SIZE = 4096 };

static void make_folder(bool make, const char *path, mode_t mode)
{
    if (make && *path)
        mkdir(path, mode);
}

/* At most the last two folders are made. */
static void find_folder(bool make, char out[PATH_SIZE])
{
    const char *own = getenv("FFLAB_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    out[0] = '\0';
    if (own && *own) {
        snprintf(out, PATH_SIZE, "%s", own);
    } else if (xdg && *xdg == '/') {
        make_folder(make, xdg, 0700);
        snprintf(out, PATH_SIZE, "%s/fflab", xdg);
    } else if (home && *home) {
        snprintf(out, PATH_SIZE, "%s/.cache", home);
        make_folder(make, out, 0700);
        snprintf(out, PATH_SIZE, "%s/.cache/fflab", home);
    }
    make_folder(make, out, 0755);
}

void ffl_cache_file(const char *name, bool make, char *out, size_t size)
{
    char folder[PATH_SIZE];
    find_folder(make, folder);
    const int length = *folder ? snprintf(out, size, "%s/%s", folder, name) : -1;
    if (length < 0 || (size_t)length >= size)
        out[0] = '\0';
}
