#define _GNU_SOURCE
#include "harness/peers/room.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char prefix[] = "fflab-peer-";
static const double reserve = 64 << 20; /* of a folder that others use, too */

static void remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder && (entry = readdir(folder));)
        unlinkat(dirfd(folder), entry->d_name, 0); /* "." and ".." are refused */
    if (folder)
        closedir(folder);
    rmdir(path);
}

/* Our own folders whose process is gone: "fflab-peer-PID-XXXXXX". */
static void sweep(const char *base)
{
    DIR *folder = opendir(base);
    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        char path[512];
        struct stat info;
        char *end = NULL;
        if (strncmp(entry->d_name, prefix, sizeof prefix - 1) != 0)
            continue;
        const long pid = strtol(entry->d_name + sizeof prefix - 1, &end, 10);
        snprintf(path, sizeof path, "%s/%s", base, entry->d_name);
        if (pid > 0 && *end == '-' && kill((pid_t)pid, 0) != 0 && errno == ESRCH && lstat(path, &info) == 0 &&
            S_ISDIR(info.st_mode) && info.st_uid == getuid())
            remove_folder(path);
    }
    if (folder)
        closedir(folder);
}

static bool has_space(const char *base, double bytes)
{
    struct statvfs info;
    return access(base, W_OK | X_OK) == 0 && statvfs(base, &info) == 0 &&
           (double)info.f_bavail * (double)info.f_frsize > bytes + reserve;
}

ffl_status ffl_room_new(double bytes, ffl_room *out)
{
    const char *own = getenv("TMPDIR");
    const char *const bases[] = {"/dev/shm", own && *own == '/' ? own : "/tmp"};
    out->path[0] = '\0';
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
        char path[sizeof out->path];
        sweep(bases[i]);
        if (!has_space(bases[i], bytes) || snprintf(path, sizeof path, "%s/%s%d-XXXXXX", bases[i], prefix,
                                                    (int)getpid()) >= (int)sizeof path)
            continue;
        if (mkdtemp(path)) {
            strcpy(out->path, path);
            return FFL_OK;
        }
    }
    return ffl_fail(FFL_IO, "no room for %.0f MB of files in %s or %s", 1e-6 * bytes, bases[0], bases[1]);
}

void ffl_room_file(const ffl_room *room, const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s/%s", room->path, name);
}

void ffl_room_free(ffl_room *room)
{
    if (*room->path)
        remove_folder(room->path);
    room->path[0] = '\0';
}
