/* Which tuning table is in use, read once and again when the file changes. */
#define _GNU_SOURCE
#include "harness/auto/table.h"
#include "harness/cache_folder.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_SIZE = 4096 };

static struct {
    pthread_mutex_t lock;
    bool known; /* the rest says what became of this file */
    char path[PATH_SIZE];
    struct timespec changed;
    bool holds;
    ffl_tuned_table table;
    char note[1024];
} current = {.lock = PTHREAD_MUTEX_INITIALIZER};

void ffl_tuned_path(bool make, char *out, size_t size)
{
    const char *asked = getenv("FFLAB_TUNING");
    if (asked && *asked)
        snprintf(out, size, "%s", strcmp(asked, "none") == 0 ? "" : asked);
    else
        ffl_cache_file("tuning.json", make, out, size);
}

static void refresh(void)
{
    char path[PATH_SIZE];
    struct stat info = {.st_mtim = {0}};
    const char *asked = getenv("FFLAB_TUNING");
    ffl_tuned_path(false, path, sizeof path);
    const bool there = *path && stat(path, &info) == 0;
    if (current.known && strcmp(current.path, path) == 0 && info.st_mtim.tv_sec == current.changed.tv_sec &&
        info.st_mtim.tv_nsec == current.changed.tv_nsec)
        return;
    ffl_tuned_free(&current.table);
    current.known = true;
    strcpy(current.path, path);
    current.changed = info.st_mtim;
    current.note[0] = '\0';
    current.holds = false;
    if (!*path || (!there && !(asked && *asked)))
        return; /* nothing was measured yet: no news */
    current.holds = ffl_tuned_read(path, &current.table) == FFL_OK;
    if (!current.holds)
        snprintf(current.note, sizeof current.note, "%s; ff_auto and fff_auto choose by built-in rules",
                 ffl_error());
}

const ffl_tuned_table *ffl_tuned_lock(void)
{
    pthread_mutex_lock(&current.lock);
    refresh();
    return current.holds ? &current.table : NULL;
}

void ffl_tuned_unlock(void)
{
    pthread_mutex_unlock(&current.lock);
}

void ffl_tuned_note(char *out, size_t size)
{
    ffl_tuned_lock();
    snprintf(out, size, "%s", current.note);
    ffl_tuned_unlock();
}
